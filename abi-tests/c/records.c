/* Objects that are implemented in C and record the calls of each of their slots. */
#include "abi.h"

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU64, uint64_t);

static uint32_t called(void *self, uint32_t slot, const void *a, const void *b) {
    struct abi_record *record = ((struct abi_recorder *)self)->record;
    struct abi_call *call = &record->calls[record->count++];
    call->slot = slot;
    call->self = self;
    call->arguments[0] = (void *)(uintptr_t)a;
    call->arguments[1] = (void *)(uintptr_t)b;
    return ABI_ANSWER(slot);
}

static NTSTATUS NTCOM_CALL query(void *self, const GUID *iid, void **out) { return (NTSTATUS)called(self, 0, iid, out); }
static ULONG NTCOM_CALL add_ref(void *self) { return called(self, 1, NULL, NULL); }
static ULONG NTCOM_CALL release(void *self) { return called(self, 2, NULL, NULL); }
static NTSTATUS NTCOM_CALL get_status(void *self, ntcom_AsyncStatus *out) { return (NTSTATUS)called(self, 3, out, NULL); }
static NTSTATUS NTCOM_CALL get_result(void *self, uint64_t *out) { return (NTSTATUS)called(self, 4, out, NULL); }

static NTSTATUS NTCOM_CALL cancel(void *self) { return (NTSTATUS)called(self, 3, NULL, NULL); }
static NTSTATUS NTCOM_CALL get_error(void *self, NTSTATUS *out) { return (NTSTATUS)called(self, 4, out, NULL); }
static NTSTATUS NTCOM_CALL set_completed(void *self, ntcom_CompletedHandler handler, void *context) {
    return (NTSTATUS)called(self, 5, (void *)(uintptr_t)handler, context);
}
static NTSTATUS NTCOM_CALL wait(void *self, const LONGLONG *timeout) { return (NTSTATUS)called(self, 6, timeout, NULL); }
static NTSTATUS NTCOM_CALL get_result_size(void *self, ULONG *size) { return (NTSTATUS)called(self, 7, size, NULL); }

static const IAsyncOperationU64Vtbl operation = {query, add_ref, release, get_status, get_result};
static const ntcom_IAsyncControlVtbl control = {query, add_ref, release, cancel, get_error, set_completed, wait, get_result_size};

static void *make(struct abi_recorder *place, const void *table, struct abi_record *record) {
    place->table = table;
    place->record = record;
    return place;
}

void *ABI_NAME(abi_c_records_operation)(struct abi_recorder *place, struct abi_record *record) {
    return make(place, &operation, record);
}
void *ABI_NAME(abi_c_records_control)(struct abi_recorder *place, struct abi_record *record) {
    return make(place, &control, record);
}

static void NTCOM_CALL handler(void *context, ntcom_AsyncStatus status) {
    struct abi_record *record = context;
    struct abi_call *call = &record->calls[record->count++];
    call->slot = 0;
    call->self = context;
    call->arguments[0] = (void *)(uintptr_t)(uint32_t)status;
    call->arguments[1] = NULL;
}

void *ABI_NAME(abi_c_handler)(void) { return (void *)(uintptr_t)handler; }
