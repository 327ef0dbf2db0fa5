/* The implementation of correct.c with an unusual choice that keeps the contract. -DUNUSUAL=NAME
 * chooses it. */
#define NTCOM_KIT_OTHER_TABLE
#include "../../c/correct.c"

enum unusual {
    IUNKNOWN_APART,  /* IUnknown is not the pointer of IAsyncOperation */
    LOW,             /* programs and bodies are at PASSIVE_LEVEL */
    WAIT_ALLOCATES,  /* `wait` allocates, which no other slot may */
    BEGINS_AT_ZERO,  /* its client's status is Started before get_status writes it */
};

static ntcom_IAsyncOperationVtbl unusual_operation_table;
static ntcom_IAsyncControlVtbl unusual_control_table;

static NTSTATUS unusual_query(struct operation *operation, const GUID *iid, void **out) {
    NTSTATUS answer = query(operation, iid, out);
    if (UNUSUAL == IUNKNOWN_APART && answer == NTCOM_STATUS_SUCCESS && ntcom_is_equal_guid(iid, &ntcom_IID_IUnknown)) {
        void *control = &operation->control;
        memcpy((void *)out, &control, sizeof control);
    }
    return answer;
}
static NTSTATUS NTCOM_CALL unusual_operation_query(void *self, const GUID *iid, void **out) {
    return unusual_query(self, iid, out);
}
static NTSTATUS NTCOM_CALL unusual_control_query(void *self, const GUID *iid, void **out) {
    return unusual_query(from_control(self), iid, out);
}

static NTSTATUS NTCOM_CALL unusual_wait(void *self, const LONGLONG *timeout) {
    if (UNUSUAL == WAIT_ALLOCATES) {
        free(allocate(64));
    }
    return wait(self, timeout);
}

static NTSTATUS unusual_client_status(void *operation, uint32_t kind, ntcom_AsyncStatus *out) {
    ntcom_AsyncStatus status = NTCOM_STARTED;
    NTSTATUS answer;
    if (UNUSUAL != BEGINS_AT_ZERO || table_of(operation) == NULL || table_of(operation)->get_status == NULL) {
        return client_status(operation, kind, out);
    }
    answer = checked(table_of(operation)->get_status(operation, &status));
    if (answer == NTCOM_STATUS_SUCCESS && (status < NTCOM_STARTED || status > NTCOM_ERROR)) {
        return BROKEN;
    }
    *out = status;
    return answer;
}

static void *unusual(void *made) {
    struct operation *operation = made;
    operation->operation.lpVtbl = &unusual_operation_table;
    operation->control.lpVtbl = &unusual_control_table;
    return operation;
}
static void *unusual_spawn(const struct ntcom_kit_recipe *recipe, void **handle) { return unusual(spawn(recipe, handle)); }
static void *unusual_spawn_error(uint32_t kind, NTSTATUS status) { return unusual(spawn_error(kind, status)); }
static void *unusual_object_spawn(void *object, const struct ntcom_kit_recipe *recipe) {
    return unusual(object_spawn(object, recipe));
}
static void *unusual_spawn_without_executor(const struct ntcom_kit_recipe *recipe) {
    return unusual(spawn_without_executor(recipe));
}

static uint32_t always_low(void) { return 0; }
static void at_the_same_level(void (*what)(void *context), void *context) { what(context); }

const struct ntcom_kit_table *ntcom_kit(void) {
    static struct ntcom_kit_table own;
    mtx_init(&the_lock, mtx_plain);
    unusual_operation_table = operation_table;
    unusual_operation_table.QueryInterface = unusual_operation_query;
    unusual_control_table = control_table;
    unusual_control_table.QueryInterface = unusual_control_query;
    unusual_control_table.wait = unusual_wait;
    own = table;
    own.client_status = unusual_client_status;
    own.spawn = unusual_spawn;
    own.spawn_error = unusual_spawn_error;
    own.object_spawn = unusual_object_spawn;
    own.spawn_without_executor = unusual_spawn_without_executor;
    if (UNUSUAL == LOW) {
        passive = 1;
        own.level = 0;
        own.irql = always_low;
        own.at_passive_level = at_the_same_level;
    }
    return &own;
}
