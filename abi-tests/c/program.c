/* A client program. It uses every operation, and calls and implements a declared interface.
 * Compiled a second time with ABI_CPP, it does all of this in C++. Its last line says that
 * everything is as promised, and is missing otherwise. */
#include "factories.h"

#if defined(ABI_CPP)
#define SIDE(name) abi_cpp_##name
#define WHO "C++"
#else
#define SIDE(name) abi_c_##name
#define WHO "C"
#endif

struct progress {
    uint32_t operations;
    int failed;
};

/* Stops at the first operation that is not as promised, because anything may happen after that. */
static void operations(void *context) {
    struct progress *progress = context;
    for (int32_t kind = 0; kind < ABI_KINDS; kind++) {
        for (int32_t state = 0; state < ABI_STATES; state++) {
            struct abi_expected expected;
            struct abi_finding finding;
            void *operation = abi_spawn(kind, state, &expected);
            progress->failed = 1;
            if (operation == NULL) {
                abi_say("FAILED: there is no operation of kind", (uint32_t)kind, "for this client");
                return;
            }
            SIDE(client)(operation, &expected, &finding);
            if (abi_judge(kind, state, &finding) != 0) {
                return;
            }
            if (abi_live_blocks() != 0) {
                abi_say("FAILED: there are", (uint32_t)abi_live_blocks(), "blocks after the client has released what it had");
                return;
            }
            progress->operations++;
            progress->failed = 0;
        }
    }
}

static void slots(void *context) {
    struct progress *progress = context;
    progress->failed = abi_calls_ours(SIDE(probes)) != 0 || abi_is_called(SIDE(probe)) != 0;
}

int32_t SIDE(program)(void) {
    struct progress progress = {0, 1};
    if (abi_in_kernel(operations, &progress) != 0 || progress.failed) {
        return 1;
    }
    abi_say(WHO, progress.operations, "operations as promised");
    progress.failed = 1;
    if (abi_in_kernel(slots, &progress) != 0 || progress.failed) {
        return 1;
    }
    abi_say(WHO, 2, "objects of a declared interface as promised: ours and the client's");
    return 0;
}
