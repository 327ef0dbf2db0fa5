/* Operations that break the contract, one rule at a time. */
#include "abi.h"

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);

static const struct abi_script *script_of(void *self) { return ((struct abi_broken *)self)->script; }

static struct abi_broken *from_control(void *self) {
    return (struct abi_broken *)((char *)self - offsetof(struct abi_broken, control));
}

static NTSTATUS NTCOM_CALL query(void *self, const GUID *iid, void **out) {
    struct abi_broken *broken = self;
    (void)iid;
    *out = broken->script->query_gives == 0   ? NULL
           : broken->script->query_gives == 1 ? (void *)broken
                                              : (void *)&broken->control;
    return broken->script->query_answer;
}
static ULONG NTCOM_CALL one(void *self) {
    (void)self;
    return 1;
}
static NTSTATUS NTCOM_CALL get_status(void *self, ntcom_AsyncStatus *out) {
    if (script_of(self)->status_is_written) {
        *out = script_of(self)->status;
    }
    return script_of(self)->status_answer;
}
static NTSTATUS NTCOM_CALL get_result(void *self, uint32_t *out) {
    *out = script_of(self)->result;
    return script_of(self)->result_answer;
}

static NTSTATUS NTCOM_CALL control_query(void *self, const GUID *iid, void **out) {
    return query(from_control(self), iid, out);
}
static NTSTATUS NTCOM_CALL cancel(void *self) { return from_control(self)->script->control_answer; }
static NTSTATUS NTCOM_CALL get_error(void *self, NTSTATUS *out) {
    (void)out;
    return from_control(self)->script->control_answer;
}
static NTSTATUS NTCOM_CALL set_completed(void *self, ntcom_CompletedHandler handler, void *context) {
    (void)handler;
    (void)context;
    return from_control(self)->script->control_answer;
}

static const IAsyncOperationU32Vtbl whole = {query, one, one, get_status, get_result};
static const IAsyncOperationU32Vtbl without_release = {query, one, NULL, get_status, get_result};
static const IAsyncOperationU32Vtbl without_own_slots = {query, one, one, NULL, NULL};
/* No wait and no get_result_size. */
static const ntcom_IAsyncControlVtbl control = {control_query, one, one, cancel, get_error, set_completed, NULL, NULL};

void *abi_c_broken(struct abi_broken *place, const struct abi_script *script) {
    const IAsyncOperationU32Vtbl *tables[] = {&whole, NULL, &without_release, &without_own_slots};
    place->operation = tables[script->table];
    place->control = &control;
    place->script = script;
    return place;
}
