/* An operation that is implemented in C, from the header alone, as small as possible. It yields a
 * uint32_t. Only one processor may use it at a time; an operation for a driver needs a lock or
 * atomics. */
#include "abi.h"

#include <stdlib.h>
#include <string.h>

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);

struct operation {
    IAsyncOperationU32 operation; /* IUnknown too */
    ntcom_IAsyncControl control;
    ULONG references;
    ntcom_AsyncStatus status;
    NTSTATUS stored;
    uint32_t value;
    ntcom_CompletedHandler handler;
    void *context;
    int32_t *alive;
};

static struct operation *from_control(void *self) {
    return (struct operation *)((char *)self - offsetof(struct operation, control));
}

static NTSTATUS query(struct operation *operation, const GUID *iid, void **out) {
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    *out = NULL;
    if (iid == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    if (ntcom_is_equal_guid(iid, &ntcom_IID_IUnknown) || ntcom_is_equal_guid(iid, &ntcom_IID_IAsyncOperation)) {
        *out = &operation->operation;
    } else if (ntcom_is_equal_guid(iid, &ntcom_IID_IAsyncControl)) {
        *out = &operation->control;
    } else {
        return NTCOM_STATUS_NOINTERFACE;
    }
    operation->references++;
    return NTCOM_STATUS_SUCCESS;
}

static ULONG release(struct operation *operation) {
    ULONG left = --operation->references;
    if (left == 0) {
        *operation->alive = 0;
        free(operation);
    }
    return left;
}

static NTSTATUS outcome(const struct operation *operation) {
    return operation->status == NTCOM_STARTED ? NTCOM_STATUS_PENDING : operation->stored;
}

/* The call of the handler is last, because the handler may release the last reference. */
static void end(struct operation *operation, ntcom_AsyncStatus status, NTSTATUS stored) {
    operation->status = status;
    operation->stored = stored;
    if (operation->handler != NULL) {
        operation->handler(operation->context, status);
    }
}

static NTSTATUS NTCOM_CALL operation_query(void *self, const GUID *iid, void **out) { return query(self, iid, out); }
static ULONG NTCOM_CALL operation_add_ref(void *self) { return ++((struct operation *)self)->references; }
static ULONG NTCOM_CALL operation_release(void *self) { return release(self); }

static NTSTATUS NTCOM_CALL get_status(void *self, ntcom_AsyncStatus *out) {
    const struct operation *operation = self;
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    memcpy((void *)out, &operation->status, sizeof operation->status);
    return NTCOM_STATUS_SUCCESS;
}

static NTSTATUS NTCOM_CALL get_result(void *self, uint32_t *out) {
    const struct operation *operation = self;
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    /* A struct with padding would be written member by member, over zeros, because its padding must
     * be zero [C5]. */
    uint32_t value = operation->status == NTCOM_COMPLETED ? operation->value : 0;
    memcpy((void *)out, &value, sizeof value);
    return outcome(operation);
}

static NTSTATUS NTCOM_CALL control_query(void *self, const GUID *iid, void **out) {
    return query(from_control(self), iid, out);
}
static ULONG NTCOM_CALL control_add_ref(void *self) { return ++from_control(self)->references; }
static ULONG NTCOM_CALL control_release(void *self) { return release(from_control(self)); }

static NTSTATUS NTCOM_CALL cancel(void *self) {
    struct operation *operation = from_control(self);
    if (operation->status == NTCOM_STARTED) {
        end(operation, NTCOM_CANCELED, NTCOM_STATUS_CANCELLED);
    }
    return NTCOM_STATUS_SUCCESS;
}

static NTSTATUS NTCOM_CALL get_error(void *self, NTSTATUS *out) {
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    NTSTATUS error = outcome(from_control(self));
    memcpy((void *)out, &error, sizeof error);
    return NTCOM_STATUS_SUCCESS;
}

static NTSTATUS NTCOM_CALL set_completed(void *self, ntcom_CompletedHandler handler, void *context) {
    struct operation *operation = from_control(self);
    if (handler == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    if (operation->handler != NULL) {
        return NTCOM_STATUS_INVALID_DEVICE_STATE;
    }
    operation->handler = handler;
    operation->context = context;
    if (operation->status != NTCOM_STARTED) {
        handler(context, operation->status);
    }
    return NTCOM_STATUS_SUCCESS;
}

static NTSTATUS NTCOM_CALL wait(void *self, const LONGLONG *timeout) {
    if (timeout == NULL || *timeout != 0) {
        return NTCOM_STATUS_NOT_SUPPORTED;
    }
    return from_control(self)->status == NTCOM_STARTED ? NTCOM_STATUS_TIMEOUT : NTCOM_STATUS_SUCCESS;
}

static NTSTATUS NTCOM_CALL get_result_size(void *self, ULONG *size) {
    (void)self;
    if (size == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    *size = sizeof(uint32_t);
    return NTCOM_STATUS_SUCCESS;
}

static const IAsyncOperationU32Vtbl operation_table = {
    operation_query, operation_add_ref, operation_release, get_status, get_result,
};
static const ntcom_IAsyncControlVtbl control_table = {
    control_query, control_add_ref, control_release, cancel, get_error, set_completed, wait, get_result_size,
};

void *abi_c_operation(int32_t *alive) {
    struct operation *operation = calloc(1, sizeof *operation);
    if (operation == NULL) {
        return NULL;
    }
    operation->operation.lpVtbl = &operation_table;
    operation->control.lpVtbl = &control_table;
    operation->references = 1;
    operation->status = NTCOM_STARTED;
    operation->alive = alive;
    *alive = 1;
    return operation;
}

void abi_c_operation_complete(void *self, uint32_t value) {
    struct operation *operation = self;
    operation->value = value;
    end(operation, NTCOM_COMPLETED, NTCOM_STATUS_SUCCESS);
}
