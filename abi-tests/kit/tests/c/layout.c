/* The header, measured by the C compiler. tests/header.rs compares the output with the Rust side.
 */
#include <ntcom_kit.h>

#include <stdio.h>

#define MEMBER(name) printf("table." #name " %zu\n", offsetof(struct ntcom_kit_table, name))
#define OF_RECIPE(name) printf("recipe." #name " %zu\n", offsetof(struct ntcom_kit_recipe, name))
#define OF_STOP(name) printf("stop." #name " %zu\n", offsetof(struct ntcom_kit_stop, name))

int main(void) {
    printf("version %u\n", NTCOM_KIT_VERSION);
    printf("table %zu\n", sizeof(struct ntcom_kit_table));
    printf("recipe %zu\n", sizeof(struct ntcom_kit_recipe));
    printf("stop %zu\n", sizeof(struct ntcom_kit_stop));
    MEMBER(size), MEMBER(version), MEMBER(name), MEMBER(shapes), MEMBER(fails), MEMBER(raises), MEMBER(level);
    MEMBER(threads), MEMBER(reserved);
    MEMBER(run), MEMBER(advance), MEMBER(spawn), MEMBER(spawn_error);
    MEMBER(task_is_cancelled), MEMBER(task_take_cancellation), MEMBER(task_wake), MEMBER(task_waker);
    MEMBER(waker_clone), MEMBER(waker_wake), MEMBER(waker_wake_by_ref), MEMBER(waker_drop);
    MEMBER(handle_cancel), MEMBER(handle_clone), MEMBER(handle_drop);
    MEMBER(fail_next_allocation), MEMBER(live_operations), MEMBER(allocations), MEMBER(irql), MEMBER(exhaust_references);
    MEMBER(object), MEMBER(object_spawn), MEMBER(close), MEMBER(cancel_all), MEMBER(drain);
    MEMBER(client_result), MEMBER(client_status), MEMBER(client_query), MEMBER(spawn_without_executor), MEMBER(at_passive_level);
    MEMBER(run_at_once), MEMBER(run_in_turn), MEMBER(yield_with);
    MEMBER(spawn_passive), MEMBER(drain_in_body);
    OF_RECIPE(size), OF_RECIPE(kind), OF_RECIPE(shape), OF_RECIPE(flags), OF_RECIPE(context), OF_RECIPE(begin);
    OF_RECIPE(poll), OF_RECIPE(guarded), OF_RECIPE(finish), OF_RECIPE(drop);
    OF_STOP(size), OF_STOP(bug_check), OF_STOP(parameter), OF_STOP(text);
    printf("shapes %u %u %u %u %u\n", NTCOM_KIT_PLAIN, NTCOM_KIT_TRY_FINALLY, NTCOM_KIT_ON_CANCEL, NTCOM_KIT_NESTED, NTCOM_KIT_JOIN);
    printf("poll %d %d %d\n", NTCOM_KIT_PENDING, NTCOM_KIT_READY, NTCOM_KIT_RAISE);
    printf("may fail %u\n", NTCOM_KIT_MAY_FAIL);
    for (uint32_t kind = NTCOM_KIT_UNIT; kind <= NTCOM_KIT_PAGE; kind++) {
        printf("kind %u %u\n", kind, ntcom_kit_size(kind));
    }
    return 0;
}
