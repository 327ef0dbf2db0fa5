/*
 * Async COM in plain C, written from ntcom.h and the contract. It has an executor with a queue,
 * operations with bodies, and the table of the conformance kit. One lock guards the data that
 * several threads touch. No body, handler or destructor is called under it [C14]. A driver would
 * use a spin lock for it.
 *
 * An operation is one block. It has two interfaces, a count, the executor's state, and the value.
 * The count has a reference for each holder that may still touch the block: clients, wakers,
 * handles, a handler, and the queue that the operation is in.
 */
#include <ntcom_kit.h>

#include <stdlib.h>
#include <string.h>
#include <threads.h>

struct object; /* with methods: below */

/* The phase of a main and its cleanup. */
struct guard {
    enum { MAIN, CLEANUP, ENDED } phase;
    int has_value;
};

struct operation {
    ntcom_IAsyncOperation operation; /* IUnknown too */
    ntcom_IAsyncControl control;
    ULONG references;
    uint32_t kind;
    ntcom_AsyncStatus status;
    NTSTATUS stored;
    int constant; /* the constant operation, which has no memory and no count */

    ntcom_CompletedHandler handler;
    void *handler_context;

    /* The executor's state. The lock guards queued, running, woken and requested. The other members
     * belong to the thread that runs bodies. */
    struct ntcom_kit_recipe body;
    struct object *object;
    int waits; /* its body runs at PASSIVE_LEVEL */
    struct operation *next;
    struct operation *next_alive, **previous_alive;
    int queued, running, woken;
    int requested;       /* a request is set that the body has not taken */
    int seen;            /* a poll has shown a request to the body */
    int shown;           /* this poll has shown it, and the body has not taken it */
    int unwinding;       /* a try_finally has acted on a request */
    int abandoned;       /* it was cancelled because no reference could wake it */
    int doomed;          /* abandoned a second time, so the body is dropped unpolled */
    int in_cleanup;      /* the poll is inside of a cleanup */
    int cleanups;        /* the number of cleanups that have begun and not ended */
    int held_back;       /* a cleanup elsewhere kept a main from unwinding in this poll */
    struct guard guards[2];
    int ended_parts; /* a bit for each part */

    unsigned char *value; /* behind this struct, with the kind's size */
};

/* The size of the block before the value, which may be aligned to 64. */
#define HEAD ((sizeof(struct operation) + 63) / 64 * 64)

/* The global state. The lock guards all of it. */
static mtx_t the_lock;
/* Called where another thread may come in between, if threads take turns. Other threads never see
 * the middle of an action under the lock. */
static void (*yields)(void);
static void lock(void) {
    if (yields != NULL) {
        yields();
    }
    mtx_lock(&the_lock);
}
static void unlock(void) { mtx_unlock(&the_lock); }
static struct operation *queue, **queue_end = &queue;
static struct operation *alive; /* the operations that have not ended */
static uint64_t live_blocks, all_blocks;
static int no_memory, closed;
static int passive; /* the program is at PASSIVE_LEVEL, or else at DISPATCH_LEVEL */
static const ntcom_IAsyncOperationVtbl operation_table;
static const ntcom_IAsyncControlVtbl control_table;

/* An object whose methods make operations. */
struct object {
    ntcom_IUnknown unknown;
    ULONG references;
    void (*dropped)(void *context);
    void *context;
};

/* ---- Memory ---- */

static void *allocate(size_t size) {
    lock();
    all_blocks++;
    unlock();
    return aligned_alloc(64, (size + 63) / 64 * 64);
}

static void object_hold(struct object *object) {
    lock();
    object->references++;
    unlock();
}

static ULONG object_let_go(struct object *object) {
    lock();
    ULONG left = --object->references;
    unlock();
    if (left == 0) {
        object->dropped(object->context);
        free(object);
    }
    return left;
}

/* Adds a reference for a holder that may touch the block. Beyond half of the range a holder has
 * lost count [C3]. */
static ULONG hold_locked(struct operation *operation) {
    if (operation->constant) {
        return 1;
    }
    if (operation->references >= 0x7FFFFFFF) {
        abort();
    }
    return ++operation->references;
}

static ULONG hold(struct operation *operation) {
    lock();
    ULONG references = hold_locked(operation);
    unlock();
    return references;
}

/* ---- The executor ---- */

static void enqueue_locked(struct operation *operation) {
    operation->queued = 1;
    operation->next = NULL;
    *queue_end = operation;
    queue_end = &operation->next;
    hold_locked(operation);
}

/* Queues the body to be polled soon, or once more after the current poll. */
static void wake_locked(struct operation *operation) {
    if (operation->status != NTCOM_STARTED || operation->queued) {
        return;
    }
    if (operation->running) {
        operation->woken = 1;
    } else {
        enqueue_locked(operation);
    }
}

static void wake(struct operation *operation) {
    lock();
    wake_locked(operation);
    unlock();
}

/* Sets a request, one at a time [C10]. */
static void request_locked(struct operation *operation) {
    if (operation->status == NTCOM_STARTED && !operation->requested) {
        operation->requested = 1;
        wake_locked(operation);
    }
}

static void request(struct operation *operation) {
    lock();
    request_locked(operation);
    unlock();
}

/* Gives up a reference [C9]. The last reference of an operation that has not ended passes to the
 * queue, with a request. The second time its body is only dropped. Not 0 if the operation is gone.
 */
static int let_go(struct operation *operation) {
    int gone = 0;
    lock();
    if (!operation->constant && --operation->references == 0) {
        if (operation->status == NTCOM_STARTED) {
            operation->doomed = operation->abandoned;
            operation->abandoned = 1;
            operation->requested = 1;
            enqueue_locked(operation);
        } else {
            live_blocks--;
            gone = 1;
        }
    }
    unlock();
    if (gone) {
        free(operation);
    }
    return gone;
}

static void drop_body(struct operation *operation) {
    operation->body.drop(operation->body.context);
    if (operation->object != NULL) {
        object_let_go(operation->object); /* before the end is visible [C19] */
        operation->object = NULL;
    }
}

/* Ends the operation. The body has been dropped. From now on a thread that sets a handler runs it.
 */
static void end(struct operation *operation, ntcom_AsyncStatus status, NTSTATUS stored) {
    ntcom_CompletedHandler handler;
    lock();
    *operation->previous_alive = operation->next_alive;
    if (operation->next_alive != NULL) {
        operation->next_alive->previous_alive = operation->previous_alive;
    }
    operation->stored = stored;
    operation->status = status;
    handler = operation->handler;
    unlock();
    if (handler != NULL) {
        handler(operation->handler_context, status); /* may release all but the queue's */
    }
}

/* Polls a part, unless it has ended. */
static int poll_part(struct operation *operation, uint32_t part) {
    if ((operation->ended_parts >> part & 1) == 0) {
        int32_t answer = operation->body.poll(operation->body.context, part, operation);
        if (answer == NTCOM_KIT_RAISE) {
            abort(); /* no exception crosses an interface [C12] */
        }
        operation->ended_parts |= (answer == NTCOM_KIT_READY) << part;
    }
    return operation->ended_parts >> part & 1;
}

static int is_requested(const struct operation *operation) {
    lock();
    int requested = operation->requested;
    unlock();
    return requested;
}

/* Takes the request, if there is one. */
static int take_request(struct operation *operation) {
    lock();
    int requested = operation->requested;
    operation->requested = 0;
    unlock();
    return requested;
}

/* Whether a main that has not ended unwinds now [C10]. */
static int unwinds(const struct operation *operation) {
    return operation->unwinding || (operation->shown && is_requested(operation));
}

static int part_0(struct operation *operation) { return poll_part(operation, 0); }
static int part_2(struct operation *operation) { return poll_part(operation, 2); }

/* Polls a main and its cleanup. Not 0 if both have ended. */
static int poll_guard(struct operation *operation, int number, int (*main)(struct operation *), uint32_t cleanup,
                      int cleans_up_always) {
    struct guard *guard = &operation->guards[number];
    if (guard->phase == MAIN) {
        if (main(operation)) {
            guard->has_value = 1;
            guard->phase = cleans_up_always ? CLEANUP : ENDED;
        } else if (!unwinds(operation)) {
            return 0;
        } else if (operation->cleanups > 0) {
            operation->held_back = 1; /* it unwinds in a later poll, when no cleanup runs */
            return 0;
        } else {
            operation->unwinding = 1;
            take_request(operation);
            guard->phase = CLEANUP;
        }
        operation->cleanups += guard->phase == CLEANUP;
    }
    if (guard->phase == CLEANUP) {
        operation->in_cleanup++;
        int ended = poll_part(operation, cleanup);
        operation->in_cleanup--;
        if (!ended) {
            return 0;
        }
        operation->cleanups--;
        guard->phase = ENDED;
    }
    return 1;
}

static void guarded(struct operation *operation, uint32_t number) {
    operation->body.guarded(operation->body.context, number, operation->guards[number].has_value);
}

/* Polls the main of the outer guard of a nested body. */
static int inner(struct operation *operation) {
    int was_ended = operation->guards[0].phase == ENDED;
    if (!poll_guard(operation, 0, part_0, 1, 1)) {
        return 0;
    }
    if (!was_ended) {
        guarded(operation, 0);
    }
    return poll_part(operation, 2);
}

static int poll_body(struct operation *operation) {
    int first, second;
    operation->body.begin(operation->body.context);
    switch (operation->body.shape) {
    case NTCOM_KIT_TRY_FINALLY:
    case NTCOM_KIT_ON_CANCEL:
        if (!poll_guard(operation, 0, part_0, 1, operation->body.shape == NTCOM_KIT_TRY_FINALLY)) {
            return 0;
        }
        guarded(operation, 0);
        return 1;
    case NTCOM_KIT_NESTED:
        if (!poll_guard(operation, 1, inner, 3, 1)) {
            return 0;
        }
        guarded(operation, 1);
        return 1;
    case NTCOM_KIT_JOIN:
        first = poll_guard(operation, 0, part_0, 1, 1);
        second = poll_guard(operation, 1, part_2, 3, 1);
        if (!first || !second) {
            return 0;
        }
        guarded(operation, 0);
        guarded(operation, 1);
        return 1;
    default:
        return poll_part(operation, 0);
    }
}

/* Stores a failure or a warning as it is, and a success or an information as STATUS_UNSUCCESSFUL
 * [C7]. */
static NTSTATUS as_failure(NTSTATUS status) { return status < 0 ? status : NTCOM_STATUS_UNSUCCESSFUL; }

/* Ends an operation after its body has ended by itself [C10, C20]. */
static void finish(struct operation *operation) {
    NTSTATUS why = operation->body.finish(operation->body.context, operation->value);
    int asked = operation->unwinding || operation->seen || is_requested(operation);
    drop_body(operation);
    if (why == NTCOM_STATUS_SUCCESS) {
        if (operation->unwinding) {
            end(operation, NTCOM_CANCELED, NTCOM_STATUS_CANCELLED);
        } else {
            end(operation, NTCOM_COMPLETED, NTCOM_STATUS_SUCCESS);
        }
    } else if (why == NTCOM_STATUS_CANCELLED && asked) {
        end(operation, NTCOM_CANCELED, NTCOM_STATUS_CANCELLED);
    } else {
        end(operation, NTCOM_ERROR, as_failure(why));
    }
}

static void cancel_body(struct operation *operation) {
    drop_body(operation);
    end(operation, NTCOM_CANCELED, NTCOM_STATUS_CANCELLED);
}

/* The operation that this thread polls. If its body waits for another one, that one is polled. */
static _Thread_local struct operation *polled;

/* Polls the body until it is not woken during a poll. */
static void run(struct operation *operation) {
    int again;
    if (operation->doomed) {
        cancel_body(operation);
        return;
    }
    do {
        lock();
        operation->woken = 0;
        operation->shown = operation->requested;
        unlock();
        operation->held_back = 0;
        operation->seen |= operation->shown;
        if (poll_body(operation)) {
            finish(operation);
            return;
        }
        again = unwinds(operation) && operation->cleanups == 0;
        if (again && !operation->held_back) {
            cancel_body(operation);
            return;
        }
        lock();
        again |= operation->woken;
        operation->running = again;
        unlock();
    } while (again);
}

/* The next operation of the queue, with the queue's reference. */
static struct operation *dequeue(void) {
    lock();
    struct operation *operation = queue;
    if (operation != NULL) {
        queue = operation->next;
        if (queue == NULL) {
            queue_end = &queue;
        }
        operation->queued = 0;
        operation->running = 1;
    }
    unlock();
    return operation;
}

static void advance(void) {
    int before = passive;
    struct operation *operation;
    passive = 0; /* bodies run at the executor's level, and those that wait at PASSIVE_LEVEL */
    while ((operation = dequeue()) != NULL) {
        struct operation *outer = polled;
        passive = operation->waits;
        polled = operation;
        run(operation);
        polled = outer;
        passive = 0;
        let_go(operation);
    }
    passive = before;
}

/* ---- IUnknown, of both interfaces ---- */

static struct operation *from_control(void *self) {
    return (struct operation *)((char *)self - offsetof(struct operation, control));
}

static NTSTATUS query(struct operation *operation, const GUID *iid, void **out) {
    GUID wanted;
    void *found = NULL;
    NTSTATUS answer = NTCOM_STATUS_SUCCESS;
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    if (iid == NULL) {
        answer = NTCOM_STATUS_INVALID_PARAMETER;
    } else {
        memcpy(&wanted, (const void *)iid, sizeof wanted);
        if (ntcom_is_equal_guid(&wanted, &ntcom_IID_IUnknown) || ntcom_is_equal_guid(&wanted, &ntcom_IID_IAsyncOperation)) {
            found = &operation->operation;
        } else if (ntcom_is_equal_guid(&wanted, &ntcom_IID_IAsyncControl)) {
            found = &operation->control;
        } else {
            answer = NTCOM_STATUS_NOINTERFACE;
        }
    }
    memcpy((void *)out, &found, sizeof found); /* no out needs alignment */
    if (found != NULL) {
        hold(operation);
    }
    return answer;
}

static ULONG release(struct operation *operation) { return let_go(operation) ? 0 : 1; }

static NTSTATUS NTCOM_CALL operation_query(void *self, const GUID *iid, void **out) { return query(self, iid, out); }
static ULONG NTCOM_CALL operation_add_ref(void *self) { return hold(self); }
static ULONG NTCOM_CALL operation_release(void *self) { return release(self); }
static NTSTATUS NTCOM_CALL control_query(void *self, const GUID *iid, void **out) {
    return query(from_control(self), iid, out);
}
static ULONG NTCOM_CALL control_add_ref(void *self) { return hold(from_control(self)); }
static ULONG NTCOM_CALL control_release(void *self) { return release(from_control(self)); }

/* ---- IAsyncOperation ---- */

static NTSTATUS outcome_locked(const struct operation *operation) {
    return operation->status == NTCOM_STARTED ? NTCOM_STATUS_PENDING : operation->stored;
}

static ntcom_AsyncStatus status_of(const struct operation *operation) {
    lock();
    ntcom_AsyncStatus status = operation->status;
    unlock();
    return status;
}

static NTSTATUS NTCOM_CALL get_status(void *self, ntcom_AsyncStatus *out) {
    ntcom_AsyncStatus status = status_of(self);
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    memcpy((void *)out, &status, sizeof status);
    return NTCOM_STATUS_SUCCESS;
}

/* Writes every byte of the value. A body may leave anything in the padding of its value, which is
 * memory of this library and must not reach a client [C5]. So a struct with padding is written
 * member by member, over zeros. */
static void hand_out(const struct operation *operation, void *out) {
    struct ntcom_kit_padded value;
    if (operation->kind != NTCOM_KIT_PADDED) {
        memcpy(out, operation->value, ntcom_kit_size(operation->kind));
        return;
    }
    memcpy(&value, operation->value, sizeof value);
    memset(out, 0, sizeof value);
    memcpy((char *)out + offsetof(struct ntcom_kit_padded, byte), &value.byte, sizeof value.byte);
    memcpy((char *)out + offsetof(struct ntcom_kit_padded, word), &value.word, sizeof value.word);
}

static NTSTATUS NTCOM_CALL get_result(void *self, void *out) {
    const struct operation *operation = self;
    NTSTATUS answer;
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    lock();
    answer = outcome_locked(operation);
    unlock();
    if (answer == NTCOM_STATUS_SUCCESS) {
        hand_out(operation, out); /* the value does not change any more [C6] */
    } else {
        memset(out, 0, ntcom_kit_size(operation->kind));
    }
    return answer;
}

/* ---- IAsyncControl ---- */

static NTSTATUS NTCOM_CALL cancel(void *self) {
    request(from_control(self));
    return NTCOM_STATUS_SUCCESS;
}

static NTSTATUS NTCOM_CALL get_error(void *self, NTSTATUS *out) {
    NTSTATUS error;
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    lock();
    error = outcome_locked(from_control(self));
    unlock();
    memcpy((void *)out, &error, sizeof error);
    return NTCOM_STATUS_SUCCESS;
}

static NTSTATUS NTCOM_CALL set_completed(void *self, ntcom_CompletedHandler handler, void *context) {
    struct operation *operation = from_control(self);
    NTSTATUS answer = NTCOM_STATUS_SUCCESS;
    ntcom_AsyncStatus status;
    if (handler == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    lock();
    status = operation->status;
    if (operation->handler != NULL) {
        answer = NTCOM_STATUS_INVALID_DEVICE_STATE;
    } else if (!operation->constant) { /* the constant operation takes every handler [C11] */
        operation->handler = handler;
        operation->handler_context = context;
    }
    unlock();
    if (answer == NTCOM_STATUS_SUCCESS && status != NTCOM_STARTED) {
        handler(context, status);
    }
    return answer;
}

/* Waits for the end. Only this library's own calls run bodies, so an operation that does not end in
 * here never ends, and any timeout has passed. */
static NTSTATUS NTCOM_CALL wait(void *self, const LONGLONG *timeout) {
    struct operation *operation = from_control(self);
    int waits = timeout == NULL || *timeout != 0;
    if (waits && !operation->constant) {
        if (!passive) {
            return NTCOM_STATUS_NOT_SUPPORTED;
        }
        if (operation == polled) {
            return NTCOM_STATUS_POSSIBLE_DEADLOCK;
        }
        advance();
    }
    if (status_of(operation) != NTCOM_STARTED) {
        return NTCOM_STATUS_SUCCESS;
    }
    if (timeout == NULL) {
        abort(); /* the wait would never end */
    }
    return NTCOM_STATUS_TIMEOUT;
}

static NTSTATUS NTCOM_CALL get_result_size(void *self, ULONG *size) {
    ULONG bytes = ntcom_kit_size(from_control(self)->kind);
    if (size == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    memcpy((void *)size, &bytes, sizeof bytes);
    return NTCOM_STATUS_SUCCESS;
}

static const ntcom_IAsyncOperationVtbl operation_table = {
    operation_query, operation_add_ref, operation_release, get_status, get_result,
};
static const ntcom_IAsyncControlVtbl control_table = {
    control_query, control_add_ref, control_release, cancel, get_error, set_completed, wait, get_result_size,
};

/* ---- New operations ---- */

/* The constant operation for each kind, for which no memory is needed. It keeps no count [C11]. */
static struct operation *constant(uint32_t kind) {
    static struct operation constants[NTCOM_KIT_PAGE + 1];
    struct operation *operation = &constants[kind <= NTCOM_KIT_PAGE ? kind : 0];
    operation->operation.lpVtbl = &operation_table;
    operation->control.lpVtbl = &control_table;
    operation->references = 1;
    operation->kind = kind;
    operation->status = NTCOM_ERROR;
    operation->stored = NTCOM_STATUS_INSUFFICIENT_RESOURCES;
    operation->constant = 1;
    return operation;
}

/* Creates an operation with a client's reference. NULL if there is no memory. */
static struct operation *new_operation(uint32_t kind) {
    struct operation *operation = NULL;
    lock();
    int fails = no_memory;
    no_memory = 0;
    unlock();
    if (!fails) {
        operation = allocate(HEAD + ntcom_kit_size(kind));
    }
    if (operation != NULL) {
        memset(operation, 0, sizeof *operation);
        operation->operation.lpVtbl = &operation_table;
        operation->control.lpVtbl = &control_table;
        operation->references = 1;
        operation->kind = kind;
        operation->value = (unsigned char *)operation + HEAD;
        lock();
        live_blocks++;
        unlock();
    }
    return operation;
}

/* Creates an operation that has failed before it began. */
static struct operation *failed(uint32_t kind, NTSTATUS status) {
    struct operation *operation = new_operation(kind);
    if (operation == NULL) {
        return constant(kind);
    }
    operation->status = NTCOM_ERROR;
    operation->stored = as_failure(status);
    return operation;
}

static void *spawn_error(uint32_t kind, NTSTATUS status) { return &failed(kind, status)->operation; }

static struct operation *start(const struct ntcom_kit_recipe *recipe, struct object *object, int waits) {
    struct operation *operation;
    lock();
    int refused = closed;
    unlock();
    if (refused) { /* [C18] */
        recipe->drop(recipe->context);
        return failed(recipe->kind, NTCOM_STATUS_DELETE_PENDING);
    }
    operation = new_operation(recipe->kind);
    if (operation == NULL) {
        recipe->drop(recipe->context);
        return constant(recipe->kind);
    }
    operation->body = *recipe;
    operation->waits = waits;
    if (object != NULL) {
        object_hold(object);
        operation->object = object;
    }
    lock();
    operation->next_alive = alive;
    operation->previous_alive = &alive;
    if (alive != NULL) {
        alive->previous_alive = &operation->next_alive;
    }
    alive = operation;
    enqueue_locked(operation);
    unlock();
    return operation;
}

static void *spawn(const struct ntcom_kit_recipe *recipe, void **handle) {
    struct operation *operation = start(recipe, NULL, 0);
    if (handle != NULL) {
        hold(operation);
        *handle = operation; /* a handle is a reference of another kind */
    }
    return &operation->operation;
}

static void *spawn_passive(const struct ntcom_kit_recipe *recipe) { return &start(recipe, NULL, 1)->operation; }

/* The answer of a spawn without an executor [C21]. */
static void *spawn_without_executor(const struct ntcom_kit_recipe *recipe) {
    recipe->drop(recipe->context);
    return &failed(recipe->kind, NTCOM_STATUS_NOT_SUPPORTED)->operation;
}

/* ---- Tasks, wakers and handles, which are all the operation ---- */

static int32_t task_is_cancelled(void *task) {
    const struct operation *operation = task;
    return !operation->in_cleanup && (is_requested(operation) || operation->unwinding);
}

static int32_t task_take_cancellation(void *task) {
    struct operation *operation = task;
    int taken = !operation->in_cleanup && take_request(operation);
    if (taken) {
        operation->shown = 0;
        operation->seen = 1;
    }
    return taken;
}

static void task_wake(void *task) { wake(task); }

static void *held(void *operation) {
    hold(operation);
    return operation;
}

static void waker_wake_by_ref(void *waker) { wake(waker); }
static void drop_reference(void *operation) { let_go(operation); }

static void waker_wake(void *waker) {
    wake(waker);
    let_go(waker);
}

static void handle_cancel(void *handle) { request(handle); }

/* ---- Objects with methods ---- */

static NTSTATUS NTCOM_CALL object_query(void *self, const GUID *iid, void **out) {
    struct object *object = self;
    if (out == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    *out = NULL;
    if (iid == NULL) {
        return NTCOM_STATUS_INVALID_PARAMETER;
    }
    if (!ntcom_is_equal_guid(iid, &ntcom_IID_IUnknown)) {
        return NTCOM_STATUS_NOINTERFACE;
    }
    *out = &object->unknown;
    object_hold(object);
    return NTCOM_STATUS_SUCCESS;
}
static ULONG NTCOM_CALL object_add_ref(void *self) {
    object_hold(self);
    return 1;
}
static ULONG NTCOM_CALL object_release(void *self) { return object_let_go(self); }

static const ntcom_IUnknownVtbl object_table = {object_query, object_add_ref, object_release};

static void *new_object(void (*dropped)(void *context), void *context) {
    struct object *object = allocate(sizeof *object);
    if (object != NULL) {
        object->unknown.lpVtbl = &object_table;
        object->references = 1;
        object->dropped = dropped;
        object->context = context;
    }
    return object;
}

static void *object_spawn(void *object, const struct ntcom_kit_recipe *recipe) {
    return &start(recipe, object, 0)->operation;
}

/* ---- A client that distrusts [C17] ---- */

#define BROKEN NTCOM_STATUS_DRIVER_INTERNAL_ERROR
/* The HRESULT that objects answer for an interface that they do not have. */
#define E_NOINTERFACE_ ((NTSTATUS)0x80004002)

/* Checks the answer of a call that yields only success or a failure. */
static NTSTATUS checked(NTSTATUS answer) { return answer <= 0 ? answer : BROKEN; }

static const ntcom_IAsyncOperationVtbl *table_of(void *self) {
    const ntcom_IAsyncOperationVtbl *table = self == NULL ? NULL : ((ntcom_IAsyncOperation *)self)->lpVtbl;
    int whole = table != NULL && table->QueryInterface != NULL && table->AddRef != NULL && table->Release != NULL;
    return whole ? table : NULL;
}

static NTSTATUS client_status(void *operation, uint32_t kind, ntcom_AsyncStatus *out) {
    const ntcom_IAsyncOperationVtbl *table = table_of(operation);
    ntcom_AsyncStatus status = -1;
    NTSTATUS answer;
    (void)kind;
    if (table == NULL || table->get_status == NULL) {
        return BROKEN;
    }
    answer = checked(table->get_status(operation, &status));
    if (answer == NTCOM_STATUS_SUCCESS && (status < NTCOM_STARTED || status > NTCOM_ERROR)) {
        answer = BROKEN;
    }
    if (answer == NTCOM_STATUS_SUCCESS) {
        *out = status;
    }
    return answer;
}

static NTSTATUS client_result(void *operation, uint32_t kind, void *out) {
    _Alignas(64) unsigned char value[4096] = {0};
    ntcom_AsyncStatus status;
    NTSTATUS answer = client_status(operation, kind, &status);
    if (answer != NTCOM_STATUS_SUCCESS) {
        return answer;
    }
    if (table_of(operation)->get_result == NULL) {
        return BROKEN;
    }
    answer = table_of(operation)->get_result(operation, value);
    if (answer == NTCOM_STATUS_SUCCESS && (status == NTCOM_STARTED || status == NTCOM_COMPLETED)) {
        memcpy(out, value, ntcom_kit_size(kind));
        return answer;
    }
    if (answer == NTCOM_STATUS_PENDING && status == NTCOM_STARTED) {
        return answer;
    }
    return answer < 0 && status != NTCOM_COMPLETED ? answer : BROKEN;
}

/* Calls QueryInterface. A pointer that comes with another success code than 0 is lost. */
static NTSTATUS ask(void *unknown, const GUID *iid, void **out) {
    const ntcom_IAsyncOperationVtbl *table = table_of(unknown);
    NTSTATUS answer;
    *out = NULL;
    if (table == NULL) {
        return BROKEN;
    }
    answer = table->QueryInterface(unknown, iid, out);
    if (answer == E_NOINTERFACE_) {
        return NTCOM_STATUS_NOINTERFACE;
    }
    if (answer == NTCOM_STATUS_SUCCESS && table_of(*out) == NULL) {
        return BROKEN;
    }
    return checked(answer);
}

static NTSTATUS client_query(void *unknown, uint32_t kind) {
    void *operation, *control;
    ULONG size = 0;
    NTSTATUS answer = ask(unknown, &ntcom_IID_IAsyncOperation, &operation);
    if (answer != NTCOM_STATUS_SUCCESS) {
        return answer;
    }
    answer = ask(operation, &ntcom_IID_IAsyncControl, &control);
    if (answer == NTCOM_STATUS_SUCCESS) {
        ntcom_IAsyncControl *of = control;
        answer = of->lpVtbl->get_result_size == NULL ? BROKEN : checked(of->lpVtbl->get_result_size(control, &size));
        of->lpVtbl->Release(control);
        if (answer == NTCOM_STATUS_SUCCESS && size != ntcom_kit_size(kind)) {
            answer = NTCOM_STATUS_NOINTERFACE;
        }
    }
    table_of(operation)->Release(operation);
    return answer;
}

/* ---- The other members of the table ---- */

static int32_t run_program(void (*program)(void *context), void *context, struct ntcom_kit_stop *stop) {
    static const char leak[] = "the program has ended, and memory of operations is left";
    no_memory = 0;
    closed = 0;
    live_blocks = 0;
    program(context);
    if (live_blocks == 0) {
        return 0;
    }
    memcpy(stop->text, leak, sizeof leak);
    return 1;
}

static void fail_next_allocation(void) { no_memory = 1; }
static uint64_t live_operations(void) {
    lock();
    uint64_t live = live_blocks;
    unlock();
    return live;
}
static uint64_t allocations(void) {
    lock();
    uint64_t all = all_blocks;
    unlock();
    return all;
}
static void exhaust_references(void *operation) { ((struct operation *)operation)->references = 0x7FFFFFFF; }
static void close_provider(void) { closed = 1; }

static void yield_with(void (*yield)(void)) { yields = yield; }

static uint32_t irql(void) { return passive ? 0 : 2; }

static void at_passive_level(void (*what)(void *context), void *context) {
    passive = 1;
    what(context);
    passive = 0;
}

static void cancel_all(void) {
    lock();
    for (struct operation *operation = alive; operation != NULL; operation = operation->next_alive) {
        request_locked(operation);
    }
    unlock();
}

/* No other thread could end the operations, so run the executor. */
static void drain(void) { advance(); }

/* A body would wait for itself [C18]. */
static NTSTATUS drain_in_body(void) {
    if (polled != NULL) {
        return NTCOM_STATUS_POSSIBLE_DEADLOCK;
    }
    drain();
    return NTCOM_STATUS_SUCCESS;
}

static const struct ntcom_kit_table table = {
    .size = sizeof(struct ntcom_kit_table),
    .version = NTCOM_KIT_VERSION,
    .name = "a plain implementation in C",
    .shapes = NTCOM_KIT_PLAIN | NTCOM_KIT_TRY_FINALLY | NTCOM_KIT_ON_CANCEL | NTCOM_KIT_NESTED | NTCOM_KIT_JOIN,
    .fails = 1,
    .raises = 1,
    .level = 2,
    .threads = 1,
    .run = run_program,
    .advance = advance,
    .spawn = spawn,
    .spawn_error = spawn_error,
    .task_is_cancelled = task_is_cancelled,
    .task_take_cancellation = task_take_cancellation,
    .task_wake = task_wake,
    .task_waker = held,
    .waker_clone = held,
    .waker_wake = waker_wake,
    .waker_wake_by_ref = waker_wake_by_ref,
    .waker_drop = drop_reference,
    .handle_cancel = handle_cancel,
    .handle_clone = held,
    .handle_drop = drop_reference,
    .fail_next_allocation = fail_next_allocation,
    .live_operations = live_operations,
    .allocations = allocations,
    .irql = irql,
    .exhaust_references = exhaust_references,
    .object = new_object,
    .object_spawn = object_spawn,
    .close = close_provider,
    .cancel_all = cancel_all,
    .drain = drain,
    .client_result = client_result,
    .client_status = client_status,
    .client_query = client_query,
    .spawn_without_executor = spawn_without_executor,
    .at_passive_level = at_passive_level,
    .yield_with = yield_with,
    .spawn_passive = spawn_passive,
    .drain_in_body = drain_in_body,
};

#if !defined(NTCOM_KIT_OTHER_TABLE)
const struct ntcom_kit_table *ntcom_kit(void) {
    mtx_init(&the_lock, mtx_plain);
    return &table;
}
#endif
