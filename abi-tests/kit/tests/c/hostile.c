/* The implementation of correct.c in a library that behaves as no library should. -DHOSTILE=NAME
 * chooses the behaviour. */
#define NTCOM_KIT_OTHER_TABLE
#include "../../c/correct.c"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum hostile {
    EXITS,
    EXITS_QUIETLY,
    CLOSES_FILES,
    CLOSES_FILES_AND_SLEEPS,
    PRINTS,
    WRITES_ANYWHERE,
    PRINTS_MUCH,
    FORKS,
    STOPS_ITSELF,
    IGNORES_LIMITS,
    WILD_FUNCTION,
    WILD_OPERATION,
    WILD_NAME,
    ODD_NAME,
    LONG_NAME,
    HUGE_COUNTS,
    ANOTHER_THREAD,
    BACKGROUND,
    TWICE,
    NEVER,
    EXITS_BEFORE_ANY_CASE,
    ODD_REASON,
};

/* Runs once, when a case asks for a status. */
static void misbehave(void) {
    switch (HOSTILE) {
    case EXITS:
        exit(0);
    case EXITS_QUIETLY:
        _exit(0);
    case CLOSES_FILES:
    case CLOSES_FILES_AND_SLEEPS:
        for (int file = 0; file < 1024; file++) {
            close(file);
        }
        while (HOSTILE == CLOSES_FILES_AND_SLEEPS) {
            pause();
        }
        break;
    case PRINTS: /* text without a line, and text like the kit's own */
        printf("\"Done\"\n{\"Begin\":\"nothing\"}\nhalf a line");
        fflush(stdout);
        break;
    case WRITES_ANYWHERE:
        for (int file = 3; file < 1024; file++) {
            if (write(file, "half a line", 11) < 0) {
                continue;
            }
        }
        break;
    case PRINTS_MUCH:
        for (int line = 0; line < 200000; line++) {
            fprintf(stderr, "the same again \x1b[31m and again, line %d\n", line);
        }
        abort();
    case FORKS:
        if (fork() == 0) {
            sleep(600);
            _exit(0);
        }
        abort();
    case STOPS_ITSELF:
        raise(SIGSTOP);
        break;
    case IGNORES_LIMITS:
        signal(SIGXCPU, SIG_IGN);
        for (volatile int spins = 1; spins;) {
        }
        break;
    default:
        break;
    }
}

static ntcom_IAsyncOperationVtbl hostile_operation_table;

static NTSTATUS NTCOM_CALL hostile_get_status(void *self, ntcom_AsyncStatus *out) {
    misbehave();
    return get_status(self, out);
}

static void *hostile_spawn(const struct ntcom_kit_recipe *recipe, void **handle) {
    struct operation *operation = spawn(recipe, handle);
    operation->operation.lpVtbl = &hostile_operation_table;
    if (HOSTILE == WILD_OPERATION) {
        return (void *)(uintptr_t)16;
    }
    return operation;
}

static int advance_behind(void *nothing) {
    (void)nothing;
    advance();
    return 0;
}
/* Runs bodies as an executor with threads of its own does. */
static void advance_in_the_background(void) {
    thrd_t other;
    thrd_create(&other, advance_behind, NULL);
    thrd_join(other, NULL);
}

static uint64_t huge(void) { return UINT64_MAX; }

struct program {
    void (*program)(void *context);
    void *context;
};
static int on_another_thread(void *argument) {
    struct program *program = argument;
    program->program(program->context);
    return 0;
}

static int32_t hostile_run(void (*program)(void *context), void *context, struct ntcom_kit_stop *stop) {
    if (HOSTILE == ANOTHER_THREAD) {
        struct program inside = {program, context};
        thrd_t other;
        thrd_create(&other, on_another_thread, &inside);
        thrd_join(other, NULL);
        return 0;
    }
    if (HOSTILE == TWICE) {
        run_program(program, context, stop);
    }
    if (HOSTILE == NEVER) {
        return 0;
    }
    if (HOSTILE == EXITS_BEFORE_ANY_CASE) {
        exit(0);
    }
    if (HOSTILE == ODD_REASON) {
        memset(stop->text, 0x1b, sizeof stop->text); /* without a final 0 */
        memcpy(stop->text, "a]]>&<b>\"\xff", 10);
        return 1;
    }
    return run_program(program, context, stop);
}

const struct ntcom_kit_table *ntcom_kit(void) {
    static struct ntcom_kit_table hostile;
    static char long_name[1 << 20];
    mtx_init(&the_lock, mtx_plain);
    hostile_operation_table = operation_table;
    hostile_operation_table.get_status = hostile_get_status;
    hostile = table;
    hostile.spawn = hostile_spawn;
    hostile.run = hostile_run;
    switch (HOSTILE) {
    case WILD_FUNCTION:
        hostile.advance = (void (*)(void))(uintptr_t)16;
        break;
    case BACKGROUND:
        hostile.advance = advance_in_the_background;
        break;
    case WILD_NAME:
        hostile.name = (const char *)(uintptr_t)16;
        break;
    case ODD_NAME:
        hostile.name = "\x01\x1b[31m<&\">]]>\nsecond\tline\xff";
        break;
    case LONG_NAME:
        memset(long_name, '<', sizeof long_name - 1);
        hostile.name = long_name;
        break;
    case HUGE_COUNTS:
        hostile.live_operations = huge;
        hostile.size = UINT32_MAX;
        hostile.shapes = UINT32_MAX;
        break;
    default:
        break;
    }
    return &hostile;
}
