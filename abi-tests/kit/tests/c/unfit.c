/* The implementation of correct.c with a table that is wrong in one way. -DUNFIT=NAME chooses the
 * way. */
#define NTCOM_KIT_OTHER_TABLE
#include "../../c/correct.c"

enum unfit { OLD_VERSION, NEW_VERSION, SHORT, NULL_TABLE, LACKS_FACTORIES, NOT_PLAIN, DIES_AS_IT_IS_LOADED, CUT, LACKS_OPTIONAL };

const struct ntcom_kit_table *ntcom_kit(void) {
    static struct ntcom_kit_table unfit;
    mtx_init(&the_lock, mtx_plain);
    unfit = table;
    switch (UNFIT) {
    case OLD_VERSION:
        unfit.version = NTCOM_KIT_VERSION - 1;
        break;
    case NEW_VERSION:
        unfit.version = NTCOM_KIT_VERSION + 1;
        break;
    case SHORT:
        unfit.size = 8;
        break;
    case NULL_TABLE:
        return NULL;
    case LACKS_FACTORIES:
        unfit.spawn = NULL;
        unfit.waker_wake_by_ref = NULL;
        break;
    case NOT_PLAIN:
        unfit.shapes = NTCOM_KIT_TRY_FINALLY;
        break;
    case DIES_AS_IT_IS_LOADED:
        abort();
    case CUT: /* the table ends before its last groups, and other bytes follow it */
        unfit.size = offsetof(struct ntcom_kit_table, close);
        memset((char *)&unfit + unfit.size, 0x5A, sizeof unfit - unfit.size);
        break;
    case LACKS_OPTIONAL:
        unfit.live_operations = NULL;
        unfit.allocations = NULL;
        unfit.irql = NULL;
        unfit.raises = 0;
        unfit.spawn_without_executor = NULL;
        unfit.fails = 0;
        unfit.object = NULL;
        break;
    }
    return &unfit;
}
