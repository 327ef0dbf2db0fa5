/*
 * The implementation of correct.c with one breach of the contract, which -DPLANT=NAME chooses. The
 * kit must find each breach at least under the rule that ntcom_kit's `shipped.rs` lists it with.
 */
#define NTCOM_KIT_OTHER_TABLE
#include "correct.c"

#include <unistd.h>

enum plant {
    NONE,
    /* C1 */ QUERY_LEAVES_OUT, QUERY_ADDS_NO_REFERENCE, QUERY_KNOWS_EVERYTHING, QUERY_LOOKS_AT_HALF,
    /* C2 */ CONTROL_IS_IUNKNOWN, INTERFACE_LOST_AT_THE_END, CONTROL_LOST_AT_THE_END,
    /* C3 */ RELEASE_NEVER_ZERO, RELEASE_ZERO_TOO_EARLY, BLOCK_LEAKED, COUNT_WRAPS, COUNT_RACES, COUNT_WITHOUT_LOCK,
    /* C4 */ STATUS_CRASHES_ON_NULL, STATUS_IS_WIDE, STATUS_OF_FOUR,
    /* C5 */ RESULT_NOT_ZEROED, RESULT_WITH_PADDING, RESULT_ONCE, RESULT_OF_NULL_FAILS, RESULT_OF_ERROR_IS_SUCCESS, RESULT_RACES,
    /* C6 */ LATE_CANCEL_WINS,
    /* C7 */ SUCCESS_STORED, CANCELED_STORES_FAILURE,
    /* C8 */ VISIBLE_BEFORE_DROP, DROPPED_TWICE, POLLED_AFTER_READY, POLLED_FOR_NOTHING, WAKE_LOST_DURING_POLL,
    /* C9 */ RELEASE_RUNS_BODY, RELEASE_CANCELS, ABANDONED_LOST, HANDLE_LEAKS, HANDLE_DROP_CANCELS,
    /* C10 */ CANCEL_LOST_WHEN_IDLE, CANCEL_FAILS_AFTER_END, CANCEL_SKIPS_CLEANUP, CANCEL_SPINS, CANCEL_SLEEPS, REQUEST_NOT_TAKEN, CANCEL_ALL_LOST,
    OUTER_CLEANUP_LOST, JOIN_IS_ITS_FIRST,
    /* C11 */ NULL_WITHOUT_MEMORY, CONSTANT_COUNTS, SPAWN_ERROR_IS_NULL,
    /* C12 */ RAISE_IGNORED,
    /* C13 */ RESULT_ALLOCATES, WAKE_ALLOCATES, BODIES_AT_PASSIVE_LEVEL,
    /* C14 */ HANDLER_TWICE, LATE_HANDLER_LOST, SECOND_HANDLER_REPLACES, USED_AFTER_LATE_HANDLER, READ_AFTER_LATE_HANDLER, HANDLERS_RACE, HANDLER_RACES_END,
    /* C15 */ WAIT_SAYS_SUCCESS, WAIT_WAITS_ANYWHERE, WAIT_IGNORES_THE_END, WAIT_LEAVES_REFERENCE,
    OWN_WAIT_HANGS, OWN_WAIT_TIMES_OUT, BODIES_NEVER_WAIT,
    /* C16 */ ERROR_OF_PENDING_IS_SUCCESS, SIZE_ROUNDED,
    /* C17 */ CLIENT_TAKES_PENDING_FOR_SUCCESS, CLIENT_BELIEVES_STATUSES, CLIENT_IGNORES_SIZES,
    CLIENT_FOLLOWS_NULL, CLIENT_LOSES_VALUE, CLIENT_PASSES_HRESULTS,
    /* C18 */ CLOSE_ACCEPTS, CLOSE_CANCELS, DRAIN_RETURNS_EARLY, DRAIN_IN_BODY_RETURNS,
    /* C19 */ OBJECT_KEPT, OBJECT_NOT_HELD,
    /* C20 */ FAILURE_IS_CANCELED,
    /* C21 */ NO_EXECUTOR_IS_UNSUCCESSFUL,
};

static ntcom_IAsyncOperationVtbl broken_operation_table;
static ntcom_IAsyncControlVtbl broken_control_table;
static struct ntcom_kit_table broken_table;

/* Lets other threads run, so that a race is lost often. */
static void dawdle(void) {
    for (int times = 0; times < 3; times++) {
        if (yields != NULL) {
            yields();
        } else {
            thrd_yield();
        }
    }
}

/* ---- Slots ---- */

static NTSTATUS broken_query(struct operation *operation, int through_control, const GUID *iid, void **out) {
    void *before = NULL;
    NTSTATUS answer;
    if (PLANT == INTERFACE_LOST_AT_THE_END && operation->status != NTCOM_STARTED && iid != NULL &&
        ntcom_is_equal_guid(iid, &ntcom_IID_IUnknown)) {
        iid = NULL;
    }
    if (PLANT == CONTROL_LOST_AT_THE_END && operation->status != NTCOM_STARTED && iid != NULL &&
        ntcom_is_equal_guid(iid, &ntcom_IID_IAsyncControl)) {
        static const GUID unknown = {1, 2, 3, {4, 5, 6, 7, 8, 9, 10, 11}};
        iid = &unknown;
    }
    if (out != NULL) {
        memcpy(&before, (void *)out, sizeof before);
    }
    answer = query(operation, iid, out);
    if (PLANT == QUERY_LEAVES_OUT && out != NULL && answer != NTCOM_STATUS_SUCCESS) {
        memcpy((void *)out, &before, sizeof before);
    }
    if (PLANT == QUERY_ADDS_NO_REFERENCE && answer == NTCOM_STATUS_SUCCESS) {
        operation->references -= operation->constant ? 0 : 1;
    }
    if (PLANT == QUERY_KNOWS_EVERYTHING && answer == NTCOM_STATUS_NOINTERFACE) {
        return query(operation, &ntcom_IID_IUnknown, out);
    }
    if (PLANT == QUERY_LOOKS_AT_HALF && answer == NTCOM_STATUS_NOINTERFACE && memcmp(iid, &ntcom_IID_IAsyncControl, 8) == 0) {
        return query(operation, &ntcom_IID_IAsyncControl, out);
    }
    if (PLANT == CONTROL_IS_IUNKNOWN && through_control && answer == NTCOM_STATUS_SUCCESS &&
        ntcom_is_equal_guid(iid, &ntcom_IID_IUnknown)) {
        void *control = &operation->control;
        memcpy((void *)out, &control, sizeof control);
    }
    return answer;
}
static NTSTATUS NTCOM_CALL broken_operation_query(void *self, const GUID *iid, void **out) {
    return broken_query(self, 0, iid, out);
}
static NTSTATUS NTCOM_CALL broken_control_query(void *self, const GUID *iid, void **out) {
    return broken_query(from_control(self), 1, iid, out);
}

static ULONG broken_hold(struct operation *operation) {
    if (PLANT == COUNT_WRAPS) {
        return ++operation->references;
    }
    if (PLANT == COUNT_RACES && !operation->constant) {
        ULONG references = operation->references;
        dawdle();
        return operation->references = references + 1;
    }
    if (PLANT == COUNT_WITHOUT_LOCK && !operation->constant) {
        return ++operation->references; /* no pause, so only a real race loses a count */
    }
    if (PLANT == CONSTANT_COUNTS && operation->constant) {
        return 0;
    }
    return hold(operation);
}
static ULONG NTCOM_CALL broken_operation_add_ref(void *self) { return broken_hold(self); }
static ULONG NTCOM_CALL broken_control_add_ref(void *self) { return broken_hold(from_control(self)); }

static ULONG broken_release(struct operation *operation) {
    ULONG left;
    if (PLANT == RELEASE_RUNS_BODY && operation->references == 1 && operation->status == NTCOM_STARTED) {
        left = release(operation);
        advance();
        return left;
    }
    if (PLANT == RELEASE_CANCELS) {
        request(operation);
    }
    if (PLANT == ABANDONED_LOST && operation->references == 1 && operation->status == NTCOM_STARTED) {
        return 1;
    }
    left = release(operation);
    return PLANT == RELEASE_NEVER_ZERO ? 1 : left;
}
static ULONG NTCOM_CALL broken_operation_release(void *self) { return broken_release(self); }
static ULONG NTCOM_CALL broken_control_release(void *self) {
    struct operation *operation = from_control(self);
    if (PLANT == RELEASE_ZERO_TOO_EARLY && operation->references == 2 && !operation->constant) {
        release(operation);
        return 0; /* as if the interface counted for itself */
    }
    return broken_release(operation);
}

static NTSTATUS NTCOM_CALL broken_get_status(void *self, ntcom_AsyncStatus *out) {
    const struct operation *operation = self;
    if (PLANT == STATUS_CRASHES_ON_NULL) {
        *(volatile ntcom_AsyncStatus *)out = operation->status;
        return NTCOM_STATUS_SUCCESS;
    }
    if (PLANT == STATUS_IS_WIDE && out != NULL) {
        int64_t wide = operation->status;
        memcpy((void *)out, &wide, sizeof wide);
        return NTCOM_STATUS_SUCCESS;
    }
    NTSTATUS answer = get_status(self, out);
    if (PLANT == STATUS_OF_FOUR && out != NULL && operation->status == NTCOM_ERROR) {
        ntcom_AsyncStatus four = 4;
        memcpy((void *)out, &four, sizeof four);
    }
    return answer;
}

static NTSTATUS NTCOM_CALL broken_get_result(void *self, void *out) {
    struct operation *operation = self;
    NTSTATUS answer;
    if (PLANT == RESULT_NOT_ZEROED && out != NULL && operation->status != NTCOM_COMPLETED) {
        return outcome_locked(operation);
    }
    if (PLANT == RESULT_OF_NULL_FAILS && out == NULL) {
        return NTCOM_STATUS_UNSUCCESSFUL;
    }
    if (PLANT == RESULT_ALLOCATES) {
        free(allocate(64));
    }
    answer = get_result(self, out);
    if (PLANT == RESULT_RACES && answer == NTCOM_STATUS_PENDING) {
        dawdle();
        lock();
        answer = outcome_locked(operation); /* the present status, with the bytes copied before */
        unlock();
    }
    if (PLANT == RESULT_WITH_PADDING && answer == NTCOM_STATUS_SUCCESS) {
        memcpy(out, operation->value, ntcom_kit_size(operation->kind));
    }
    if (PLANT == RESULT_ONCE && answer == NTCOM_STATUS_SUCCESS && operation->value != NULL) {
        memset(operation->value, 0, ntcom_kit_size(operation->kind));
    }
    if (PLANT == RESULT_OF_ERROR_IS_SUCCESS && answer < 0 && operation->status == NTCOM_ERROR && out != NULL) {
        return NTCOM_STATUS_SUCCESS;
    }
    if (PLANT == CANCELED_STORES_FAILURE && answer == NTCOM_STATUS_CANCELLED) {
        return NTCOM_STATUS_UNSUCCESSFUL;
    }
    return answer;
}

static NTSTATUS NTCOM_CALL broken_cancel(void *self) {
    struct operation *operation = from_control(self);
    if (PLANT == LATE_CANCEL_WINS && operation->status == NTCOM_COMPLETED) {
        operation->status = NTCOM_CANCELED;
        operation->stored = NTCOM_STATUS_CANCELLED;
    }
    if (PLANT == CANCEL_LOST_WHEN_IDLE && !operation->queued) {
        operation->requested = operation->status == NTCOM_STARTED;
        return NTCOM_STATUS_SUCCESS;
    }
    if (PLANT == CANCEL_FAILS_AFTER_END && operation->status != NTCOM_STARTED) {
        return NTCOM_STATUS_INVALID_DEVICE_STATE;
    }
    if (PLANT == CANCEL_SPINS) {
        for (volatile int spins = 1; spins;) {
        }
    }
    if (PLANT == CANCEL_SLEEPS) {
        for (;;) {
            pause();
        }
    }
    return cancel(self);
}

static NTSTATUS NTCOM_CALL broken_get_error(void *self, NTSTATUS *out) {
    NTSTATUS answer = get_error(self, out);
    if (PLANT == ERROR_OF_PENDING_IS_SUCCESS && out != NULL && from_control(self)->status == NTCOM_STARTED) {
        memset((void *)out, 0, sizeof *out);
    }
    return answer;
}

static NTSTATUS NTCOM_CALL broken_set_completed(void *self, ntcom_CompletedHandler handler, void *context) {
    struct operation *operation = from_control(self);
    NTSTATUS answer;
    if (PLANT == LATE_HANDLER_LOST && handler != NULL && operation->status != NTCOM_STARTED && !operation->constant) {
        operation->handler = handler;
        return NTCOM_STATUS_SUCCESS;
    }
    if (PLANT == SECOND_HANDLER_REPLACES) {
        operation->handler = NULL;
    }
    if (PLANT == USED_AFTER_LATE_HANDLER && handler != NULL && operation->status != NTCOM_STARTED && !operation->constant &&
        operation->handler == NULL) {
        ntcom_AsyncStatus status = operation->status;
        operation->handler = handler;
        handler(context, status);
        operation->handler_context = NULL; /* the handler may have released the operation */
        return NTCOM_STATUS_SUCCESS;
    }
    if (PLANT == HANDLERS_RACE && operation->handler == NULL) {
        dawdle();
        operation->handler = NULL;
    }
    if (PLANT == HANDLER_RACES_END && handler != NULL && operation->handler == NULL && status_of(operation) == NTCOM_STARTED) {
        dawdle();
        operation->handler_context = context;
        operation->handler = handler; /* although the operation may have ended meanwhile */
        return NTCOM_STATUS_SUCCESS;
    }
    if (PLANT == READ_AFTER_LATE_HANDLER && handler != NULL && operation->status != NTCOM_STARTED && !operation->constant &&
        operation->handler == NULL) {
        ntcom_AsyncStatus status = operation->status;
        operation->handler = handler;
        handler(context, status);
        status = *(volatile ntcom_AsyncStatus *)&operation->status; /* of what the handler may have released */
        return status == NTCOM_STARTED ? NTCOM_STATUS_UNSUCCESSFUL : NTCOM_STATUS_SUCCESS;
    }
    answer = set_completed(self, handler, context);
    if (PLANT == HANDLER_TWICE && answer == NTCOM_STATUS_SUCCESS && operation->status != NTCOM_STARTED) {
        handler(context, operation->status);
    }
    return answer;
}

static NTSTATUS NTCOM_CALL broken_wait(void *self, const LONGLONG *timeout) {
    int waits = timeout == NULL || *timeout != 0;
    NTSTATUS answer;
    if (waits && (PLANT == WAIT_IGNORES_THE_END || (PLANT == WAIT_WAITS_ANYWHERE && !passive))) {
        return NTCOM_STATUS_TIMEOUT;
    }
    answer = wait(self, timeout);
    if (PLANT == OWN_WAIT_HANGS && answer == NTCOM_STATUS_POSSIBLE_DEADLOCK) {
        for (;;) {
            pause();
        }
    }
    if (PLANT == OWN_WAIT_TIMES_OUT && answer == NTCOM_STATUS_POSSIBLE_DEADLOCK) {
        return NTCOM_STATUS_TIMEOUT;
    }
    if (PLANT == BODIES_NEVER_WAIT && waits && polled != NULL) {
        return NTCOM_STATUS_POSSIBLE_DEADLOCK; /* whomever for */
    }
    if (PLANT == WAIT_LEAVES_REFERENCE && waits && answer == NTCOM_STATUS_TIMEOUT) {
        hold(from_control(self));
    }
    return PLANT == WAIT_SAYS_SUCCESS && answer == NTCOM_STATUS_TIMEOUT ? NTCOM_STATUS_SUCCESS : answer;
}

static NTSTATUS NTCOM_CALL broken_get_result_size(void *self, ULONG *size) {
    NTSTATUS answer = get_result_size(self, size);
    if (PLANT == SIZE_ROUNDED && size != NULL) {
        ULONG rounded = (ntcom_kit_size(from_control(self)->kind) + 7) / 8 * 8;
        memcpy((void *)size, &rounded, sizeof rounded);
    }
    return answer;
}

/* ---- Bodies, between the library and the kit's ---- */

struct bent {
    struct ntcom_kit_recipe real;
    int polls;
    struct bent *later;
};
static struct bent *to_drop;

static void bent_begin(void *context) {
    struct bent *bent = context;
    bent->real.begin(bent->real.context);
}

static int32_t bent_poll(void *context, uint32_t part, void *task) {
    struct bent *bent = context;
    int32_t answer = bent->real.poll(bent->real.context, part, task);
    if (PLANT == WAKE_LOST_DURING_POLL) {
        dawdle();
    }
    if (PLANT == RAISE_IGNORED && answer == NTCOM_KIT_RAISE) {
        return NTCOM_KIT_READY;
    }
    if (PLANT == POLLED_FOR_NOTHING && answer == NTCOM_KIT_PENDING) {
        wake(task);
        ((struct operation *)task)->woken &= ++bent->polls < 3;
    }
    return answer;
}

static void bent_guarded(void *context, uint32_t guard, int32_t has_value) {
    struct bent *bent = context;
    bent->real.guarded(bent->real.context, guard, has_value);
}

static NTSTATUS bent_finish(void *context, void *value) {
    struct bent *bent = context;
    NTSTATUS why = bent->real.finish(bent->real.context, value);
    if (PLANT == POLLED_AFTER_READY) {
        bent->real.begin(bent->real.context);
    }
    return why;
}

static void bent_drop(void *context) {
    struct bent *bent = context;
    if (PLANT == VISIBLE_BEFORE_DROP) {
        bent->later = to_drop; /* dropped when the executor is idle */
        to_drop = bent;
        return;
    }
    bent->real.drop(bent->real.context);
    if (PLANT == DROPPED_TWICE) {
        bent->real.drop(bent->real.context);
    }
    free(bent);
}

static struct ntcom_kit_recipe bend(const struct ntcom_kit_recipe *recipe) {
    struct bent *bent = calloc(1, sizeof *bent);
    struct ntcom_kit_recipe bent_recipe = *recipe;
    bent->real = *recipe;
    bent_recipe.context = bent;
    bent_recipe.begin = bent_begin;
    bent_recipe.poll = bent_poll;
    bent_recipe.guarded = bent_guarded;
    bent_recipe.finish = bent_finish;
    bent_recipe.drop = bent_drop;
    if (PLANT == CANCEL_SKIPS_CLEANUP) {
        bent_recipe.shape = NTCOM_KIT_PLAIN;
    }
    if ((PLANT == OUTER_CLEANUP_LOST && recipe->shape == NTCOM_KIT_NESTED) ||
        (PLANT == JOIN_IS_ITS_FIRST && recipe->shape == NTCOM_KIT_JOIN)) {
        bent_recipe.shape = NTCOM_KIT_TRY_FINALLY;
    }
    return bent_recipe;
}

/* ---- The table ---- */

/* Gives an operation's interfaces the tables with the breach. */
static void *broken(void *made) {
    struct operation *operation = made;
    operation->operation.lpVtbl = &broken_operation_table;
    operation->control.lpVtbl = &broken_control_table;
    if (PLANT == BLOCK_LEAKED && !operation->constant && operation->kind == NTCOM_KIT_PAGE) {
        operation->references++;
    }
    return operation;
}

static void *broken_spawn(const struct ntcom_kit_recipe *recipe, void **handle) {
    struct ntcom_kit_recipe bent = bend(recipe);
    if (PLANT == NULL_WITHOUT_MEMORY && no_memory) {
        no_memory = 0;
        bent_drop(bent.context);
        return NULL;
    }
    if (PLANT == CLOSE_ACCEPTS) {
        closed = 0;
    }
    return broken(spawn(&bent, handle));
}

static void *broken_spawn_passive(const struct ntcom_kit_recipe *recipe) {
    struct ntcom_kit_recipe bent = bend(recipe);
    return broken(spawn_passive(&bent));
}

static void *broken_spawn_error(uint32_t kind, NTSTATUS status) {
    struct operation *operation;
    if (PLANT == SPAWN_ERROR_IS_NULL && status == NTCOM_STATUS_SUCCESS) {
        return NULL;
    }
    operation = broken(spawn_error(kind, status));
    if (PLANT == SUCCESS_STORED && !operation->constant) {
        operation->stored = status;
    }
    return operation;
}

static void *broken_object_spawn(void *object, const struct ntcom_kit_recipe *recipe) {
    struct ntcom_kit_recipe bent = bend(recipe);
    struct operation *operation = broken(object_spawn(object, &bent));
    if (operation->object != NULL && PLANT == OBJECT_NOT_HELD) {
        operation->object = NULL;
        object_let_go(object);
    }
    if (operation->object != NULL && PLANT == OBJECT_KEPT) {
        operation->object = NULL; /* released at the operation's end, which never comes */
    }
    return operation;
}

static void *broken_spawn_without_executor(const struct ntcom_kit_recipe *recipe) {
    struct operation *operation = broken(spawn_without_executor(recipe));
    if (PLANT == NO_EXECUTOR_IS_UNSUCCESSFUL) {
        operation->stored = NTCOM_STATUS_UNSUCCESSFUL;
    }
    return operation;
}

static void broken_advance(void) {
    for (struct operation *operation = alive; operation != NULL; operation = operation->next_alive) {
        if (PLANT == FAILURE_IS_CANCELED && operation->queued) {
            operation->seen = 1; /* as if cancellation had been requested */
        }
    }
    advance();
    while (to_drop != NULL) {
        struct bent *bent = to_drop;
        to_drop = bent->later;
        bent->real.drop(bent->real.context);
        free(bent);
    }
}

static int32_t broken_take_cancellation(void *task) {
    struct operation *operation = task;
    int32_t taken = task_take_cancellation(task);
    if (PLANT == REQUEST_NOT_TAKEN && taken) {
        operation->requested = 1;
    }
    return taken;
}

static void broken_wake_by_ref(void *waker) {
    lock();
    int running = ((struct operation *)waker)->running;
    unlock();
    if (PLANT != WAKE_LOST_DURING_POLL || !running) {
        waker_wake_by_ref(waker);
    }
}

static void broken_wake(void *waker) {
    if (PLANT == WAKE_ALLOCATES) {
        free(allocate(64));
    }
    waker_wake(waker);
}

static uint32_t broken_irql(void) { return PLANT == BODIES_AT_PASSIVE_LEVEL ? 0 : irql(); }

static void broken_handle_drop(void *handle) {
    if (PLANT == HANDLE_DROP_CANCELS) {
        request(handle);
    }
    if (PLANT != HANDLE_LEAKS) {
        drop_reference(handle);
    }
}

static void broken_close(void) {
    close_provider();
    if (PLANT == CLOSE_CANCELS) {
        cancel_all();
    }
}

static void broken_cancel_all(void) {
    if (PLANT != CANCEL_ALL_LOST) {
        cancel_all();
    }
}

static void broken_drain(void) {
    if (PLANT != DRAIN_RETURNS_EARLY) {
        drain();
    }
}

static NTSTATUS broken_drain_in_body(void) {
    NTSTATUS answer = drain_in_body();
    return PLANT == DRAIN_IN_BODY_RETURNS ? NTCOM_STATUS_SUCCESS : answer;
}

static NTSTATUS broken_client_status(void *operation, uint32_t kind, ntcom_AsyncStatus *out) {
    if (PLANT == CLIENT_BELIEVES_STATUSES && table_of(operation) != NULL) {
        return table_of(operation)->get_status(operation, out);
    }
    return client_status(operation, kind, out);
}

static NTSTATUS broken_client_result(void *operation, uint32_t kind, void *out) {
    if (PLANT == CLIENT_TAKES_PENDING_FOR_SUCCESS && table_of(operation) != NULL && table_of(operation)->get_result != NULL) {
        NTSTATUS answer = table_of(operation)->get_result(operation, out);
        return answer >= 0 ? NTCOM_STATUS_SUCCESS : answer; /* as NT_SUCCESS has it */
    }
    if (PLANT == CLIENT_FOLLOWS_NULL) {
        return ((ntcom_IAsyncOperation *)operation)->lpVtbl->get_result(operation, out);
    }
    if (PLANT == CLIENT_LOSES_VALUE) {
        unsigned char lost[4096];
        return client_result(operation, kind, lost);
    }
    return client_result(operation, kind, out);
}

static NTSTATUS broken_client_query(void *unknown, uint32_t kind) {
    if (PLANT == CLIENT_IGNORES_SIZES) {
        void *operation;
        NTSTATUS answer = ask(unknown, &ntcom_IID_IAsyncOperation, &operation);
        if (answer == NTCOM_STATUS_SUCCESS) {
            table_of(operation)->Release(operation);
        }
        return answer;
    }
    if (PLANT == CLIENT_PASSES_HRESULTS && table_of(unknown) != NULL) {
        void *operation = NULL;
        NTSTATUS answer = table_of(unknown)->QueryInterface(unknown, &ntcom_IID_IAsyncOperation, &operation);
        if (answer != NTCOM_STATUS_SUCCESS) {
            return answer;
        }
        if (operation != NULL) {
            table_of(operation)->Release(operation);
        }
    }
    return client_query(unknown, kind);
}

const struct ntcom_kit_table *ntcom_kit(void) {
    static const ntcom_IAsyncOperationVtbl slots = {
        broken_operation_query, broken_operation_add_ref, broken_operation_release, broken_get_status, broken_get_result,
    };
    static const ntcom_IAsyncControlVtbl control_slots = {
        broken_control_query, broken_control_add_ref, broken_control_release, broken_cancel, broken_get_error,
        broken_set_completed, broken_wait, broken_get_result_size,
    };
    mtx_init(&the_lock, mtx_plain);
    broken_operation_table = slots;
    broken_control_table = control_slots;
    broken_table = table;
    broken_table.name = "a broken implementation in C";
    broken_table.spawn = broken_spawn;
    broken_table.spawn_error = broken_spawn_error;
    broken_table.object_spawn = broken_object_spawn;
    broken_table.spawn_without_executor = broken_spawn_without_executor;
    broken_table.advance = broken_advance;
    broken_table.task_take_cancellation = broken_take_cancellation;
    broken_table.drain = broken_drain;
    broken_table.spawn_passive = broken_spawn_passive;
    broken_table.drain_in_body = broken_drain_in_body;
    broken_table.close = broken_close;
    broken_table.cancel_all = broken_cancel_all;
    broken_table.irql = broken_irql;
    broken_table.waker_wake_by_ref = broken_wake_by_ref;
    broken_table.waker_wake = broken_wake;
    broken_table.handle_drop = broken_handle_drop;
    broken_table.client_status = broken_client_status;
    broken_table.client_result = broken_client_result;
    broken_table.client_query = broken_client_query;
    return &broken_table;
}
