/* What a client program is given by the Rust side: abi-tests/factories/src/exports.rs says the same. */
#ifndef NTCOM_ABI_FACTORIES_H
#define NTCOM_ABI_FACTORIES_H

#include "probe.h"

/* In a DLL, where this is for Windows. */
#if defined(_WIN32)
#define ABI_IMPORT __declspec(dllimport)
#else
#define ABI_IMPORT
#endif

#if defined(__cplusplus)
extern "C" {
#endif

/* What has become of an operation before it is handed out. */
enum abi_state {
    ABI_COMPLETED,
    ABI_STARTED,
    ABI_CANCELED,
    ABI_FAILED,   /* made as a failed one, with an error */
    ABI_WARNED,   /* with a warning */
    ABI_MISNAMED, /* with what is no failure */
    ABI_CONSTANT, /* the operation that there is no memory for */
    ABI_STATES
};

/* Runs a program on a simulated kernel, outside of which nothing else here may be called. What answers 0 has gone well; else a line on
 * the standard output, which begins with FAILED, says why not. */
ABI_IMPORT int32_t abi_in_kernel(void (*program)(void *context), void *context);
/* An operation of that abi_kind and abi_state, with one reference, and what it is to be found as. NULL: there is no such kind or state. */
ABI_IMPORT void *abi_spawn(int32_t kind, int32_t state, struct abi_expected *expected);
/* How many pool blocks there are. */
ABI_IMPORT uint64_t abi_live_blocks(void);
/* Says what a client has found wrong with an operation of that kind and state. */
ABI_IMPORT int32_t abi_judge(int32_t kind, int32_t state, const struct abi_finding *finding);
/* Has the client call every slot of an object of a declared interface. */
ABI_IMPORT int32_t abi_calls_ours(void *(*probes)(void *object, const struct probe_values *arguments, struct probe_values *answers));
/* Calls every slot of the client's object of that interface. */
ABI_IMPORT int32_t abi_is_called(void *(*probe)(struct probe_place *place));
/* Prints `who: number what`. */
ABI_IMPORT void abi_say(const char *who, uint32_t number, const char *what);

/* A whole client program, with the client in C or in C++; 0: everything is as promised. */
int32_t abi_c_program(void);
int32_t abi_cpp_program(void);

#if defined(__cplusplus)
}
#endif

#endif
