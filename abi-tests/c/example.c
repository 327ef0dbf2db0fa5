/* Reads a sensor whose driver offers a method that returns an operation. Ends by itself, or is cancelled. */
#include <ntcom.h>

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);

struct sensor_read {
    IAsyncOperationU32 *operation;
    ntcom_IAsyncControl *control;
    NTSTATUS status;  /* STATUS_PENDING until it is over */
    uint32_t reading; /* if the status is STATUS_SUCCESS */
};

/* At <= DISPATCH_LEVEL, on any processor, once. The operation is alive: `read` has a reference. */
static void NTCOM_CALL on_completed(void *context, ntcom_AsyncStatus status) {
    struct sensor_read *read = context;
    NTSTATUS why;
    (void)status; /* get_result says more */
    IAsyncOperationU32_try_get(read->operation, &read->reading, &why);
    read->status = why; /* a driver sets an event here, or completes its IRP */
}

/*
 * Begins. `operation` is what the method returned, with its reference, which is `read`'s afterwards whatever the answer. It may have
 * ended already: then on_completed runs in here. After STATUS_SUCCESS `read` stays where it is until its status is not
 * STATUS_PENDING; then comes sensor_read_end.
 */
NTSTATUS sensor_read_begin(struct sensor_read *read, IAsyncOperationU32 *operation) {
    void *control = NULL;
    NTSTATUS status;

    read->operation = operation;
    read->control = NULL;
    read->status = NTCOM_STATUS_PENDING;
    read->reading = 0;

    status = IAsyncOperationU32_QueryInterface(operation, &ntcom_IID_IAsyncControl, &control);
    if (status != NTCOM_STATUS_SUCCESS) {
        IAsyncOperationU32_Release(operation);
        return status;
    }
    read->control = control;

    status = ntcom_IAsyncControl_set_completed(read->control, on_completed, read);
    if (status != NTCOM_STATUS_SUCCESS) {
        ntcom_IAsyncControl_Release(read->control);
        IAsyncOperationU32_Release(operation);
    }
    return status;
}

/* Asks it to end soon. It is over when `read` says so, not when this returns; then it was cancelled, or was faster. */
void sensor_read_cancel(struct sensor_read *read) {
    ntcom_IAsyncControl_cancel(read->control);
}

/* Gives up the references. To release an operation does not cancel it. */
void sensor_read_end(struct sensor_read *read) {
    ntcom_IAsyncControl_Release(read->control);
    IAsyncOperationU32_Release(read->operation);
}
