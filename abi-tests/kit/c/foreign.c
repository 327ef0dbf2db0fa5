/*
 * Implementations that differ from correct.c where the contract leaves a choice, or in one breach.
 * -DFOREIGN=NAME chooses one.
 *
 *   WITHOUT_CONTROL  operations have no IAsyncControl; handles cancel them
 *   APART            the object that clients count is apart from the task, and goes with the last
 *                    client while the task lives
 *   HRESULTS         objects that speak HRESULT (E_POINTER and E_NOINTERFACE)
 *   CLEARS_UP        QueryInterface adds no reference, which breaks off a program; its remains are
 *                    dropped when it has ended
 *   SYSTEMATIC       get_status answers STATUS_PENDING whatever it writes; get_result of a page
 *                    does not write its out
 */
#define NTCOM_KIT_OTHER_TABLE
#include "correct.c"

enum foreign { WITHOUT_CONTROL, APART, HRESULTS, CLEARS_UP, SYSTEMATIC };

#define E_POINTER_ ((NTSTATUS)0x80004003)

/* The clients' object, which has a reference to the task. */
struct front {
    ntcom_IAsyncOperation operation; /* IUnknown too */
    ntcom_IAsyncControl control;
    ULONG references;
    struct operation *task;
};

static const ntcom_IAsyncOperationVtbl front_table;
static const ntcom_IAsyncControlVtbl front_control_table;

static struct front *front_of(void *control) {
    return (struct front *)((char *)control - offsetof(struct front, control));
}

/* The task's interface behind the interface of a client's object. */
static ntcom_IAsyncOperation *behind(void *operation) { return &((struct front *)operation)->task->operation; }
static ntcom_IAsyncControl *behind_control(void *control) { return &front_of(control)->task->control; }

static void *new_front(void *made) {
    static struct front constants[NTCOM_KIT_PAGE + 1];
    struct operation *task = made;
    struct front *front = task->constant ? &constants[task->kind] : allocate(sizeof *front);
    if (front == NULL) {
        abort();
    }
    front->operation.lpVtbl = &front_table;
    front->control.lpVtbl = &front_control_table;
    front->references = 1;
    front->task = task;
    return front;
}

static ULONG hold_front(struct front *front) {
    ULONG references;
    lock();
    if (front->references >= 0x7FFFFFFF) {
        abort();
    }
    references = front->task->constant ? 1 : ++front->references;
    unlock();
    return references;
}

static ULONG let_go_front(struct front *front) {
    struct operation *task = front->task;
    ULONG references;
    lock();
    references = task->constant ? 1 : --front->references;
    unlock();
    if (references == 0) {
        free(front);
        let_go(task);
    }
    return references;
}

/* QueryInterface of either interface. */
static NTSTATUS query_front(struct front *front, const GUID *iid, void **out) {
    GUID wanted;
    void *found = NULL;
    NTSTATUS answer = NTCOM_STATUS_SUCCESS;
    if (out == NULL) {
        return FOREIGN == HRESULTS ? E_POINTER_ : NTCOM_STATUS_INVALID_PARAMETER;
    }
    if (iid == NULL) {
        answer = FOREIGN == HRESULTS ? E_POINTER_ : NTCOM_STATUS_INVALID_PARAMETER;
    } else {
        memcpy(&wanted, (const void *)iid, sizeof wanted);
        if (ntcom_is_equal_guid(&wanted, &ntcom_IID_IUnknown) || ntcom_is_equal_guid(&wanted, &ntcom_IID_IAsyncOperation)) {
            found = &front->operation;
        } else if (FOREIGN != WITHOUT_CONTROL && ntcom_is_equal_guid(&wanted, &ntcom_IID_IAsyncControl)) {
            found = &front->control;
        } else {
            answer = FOREIGN == HRESULTS ? E_NOINTERFACE_ : NTCOM_STATUS_NOINTERFACE;
        }
    }
    memcpy((void *)out, &found, sizeof found);
    if (found != NULL && FOREIGN != CLEARS_UP) {
        hold_front(front);
    }
    return answer;
}

/* Maps an answer. With a null out an object that speaks HRESULT answers E_POINTER. */
static NTSTATUS spoken(NTSTATUS answer) {
    return FOREIGN == HRESULTS && answer == NTCOM_STATUS_INVALID_PARAMETER ? E_POINTER_ : answer;
}

static NTSTATUS NTCOM_CALL front_query(void *self, const GUID *iid, void **out) { return query_front(self, iid, out); }
static ULONG NTCOM_CALL front_add_ref(void *self) { return hold_front(self); }
static ULONG NTCOM_CALL front_release(void *self) { return let_go_front(self); }
static NTSTATUS NTCOM_CALL front_get_status(void *self, ntcom_AsyncStatus *out) {
    NTSTATUS answer = spoken(get_status(behind(self), out));
    return FOREIGN == SYSTEMATIC && answer == NTCOM_STATUS_SUCCESS ? NTCOM_STATUS_PENDING : answer;
}
static NTSTATUS NTCOM_CALL front_get_result(void *self, void *out) {
    struct operation *task = ((struct front *)self)->task;
    if (FOREIGN == SYSTEMATIC && task->kind == NTCOM_KIT_PAGE && out != NULL && status_of(task) != NTCOM_COMPLETED) {
        return outcome_locked(task);
    }
    return spoken(get_result(behind(self), out));
}

static NTSTATUS NTCOM_CALL front_control_query(void *self, const GUID *iid, void **out) {
    return query_front(front_of(self), iid, out);
}
static ULONG NTCOM_CALL front_control_add_ref(void *self) { return hold_front(front_of(self)); }
static ULONG NTCOM_CALL front_control_release(void *self) { return let_go_front(front_of(self)); }
static NTSTATUS NTCOM_CALL front_cancel(void *self) { return cancel(behind_control(self)); }
static NTSTATUS NTCOM_CALL front_get_error(void *self, NTSTATUS *out) { return spoken(get_error(behind_control(self), out)); }
static NTSTATUS NTCOM_CALL front_set_completed(void *self, ntcom_CompletedHandler handler, void *context) {
    return spoken(set_completed(behind_control(self), handler, context)); /* it may be gone now */
}
static NTSTATUS NTCOM_CALL front_wait(void *self, const LONGLONG *timeout) { return wait(behind_control(self), timeout); }
static NTSTATUS NTCOM_CALL front_get_result_size(void *self, ULONG *size) {
    return spoken(get_result_size(behind_control(self), size));
}

static const ntcom_IAsyncOperationVtbl front_table = {
    front_query, front_add_ref, front_release, front_get_status, front_get_result,
};
static const ntcom_IAsyncControlVtbl front_control_table = {
    front_control_query, front_control_add_ref, front_control_release, front_cancel,
    front_get_error, front_set_completed, front_wait, front_get_result_size,
};

static void *front_spawn(const struct ntcom_kit_recipe *recipe, void **handle) { return new_front(spawn(recipe, handle)); }
static void *front_spawn_error(uint32_t kind, NTSTATUS status) { return new_front(spawn_error(kind, status)); }
static void *front_object_spawn(void *object, const struct ntcom_kit_recipe *recipe) {
    return new_front(object_spawn(object, recipe));
}
static void *front_spawn_without_executor(const struct ntcom_kit_recipe *recipe) {
    return new_front(spawn_without_executor(recipe));
}
static void *front_spawn_passive(const struct ntcom_kit_recipe *recipe) { return new_front(spawn_passive(recipe)); }
static void exhaust_front(void *operation) { ((struct front *)operation)->references = 0x7FFFFFFF; }

static int32_t run_and_clear_up(void (*program)(void *context), void *context, struct ntcom_kit_stop *stop) {
    if (FOREIGN != CLEARS_UP) {
        return run_program(program, context, stop);
    }
    program(context);
    while (alive != NULL) {
        struct operation *left = alive;
        left->queued = 1; /* so that no wake queues it again */
        cancel_body(left);
    }
    queue = NULL;
    queue_end = &queue;
    return 0;
}

const struct ntcom_kit_table *ntcom_kit(void) {
    static const char *const names[] = {
        "operations without IAsyncControl", "an object apart from its task", "objects that speak HRESULT", "one that clears up",
        "one systematic breach",
    };
    static struct ntcom_kit_table foreign;
    mtx_init(&the_lock, mtx_plain);
    foreign = table;
    foreign.name = names[FOREIGN];
    foreign.run = run_and_clear_up;
    foreign.spawn = front_spawn;
    foreign.spawn_error = front_spawn_error;
    foreign.object_spawn = front_object_spawn;
    foreign.spawn_without_executor = front_spawn_without_executor;
    foreign.exhaust_references = exhaust_front;
    foreign.spawn_passive = front_spawn_passive;
    return &foreign;
}
