/* The Rust side's functions for client programs. abi-tests/factories/src/exports.rs defines them.
 */
#ifndef NTCOM_ABI_FACTORIES_H
#define NTCOM_ABI_FACTORIES_H

#include "probe.h"

/* The functions are in a DLL, if this is for Windows. */
#if defined(_WIN32)
#define ABI_IMPORT __declspec(dllimport)
#else
#define ABI_IMPORT
#endif

#if defined(__cplusplus)
extern "C" {
#endif

/* The state of an operation when it is handed out. */
enum abi_state {
    ABI_COMPLETED,
    ABI_STARTED,
    ABI_CANCELED,
    ABI_FAILED,   /* failed with an error before it began */
    ABI_WARNED,   /* failed with a warning before it began */
    ABI_MISNAMED, /* failed with a status that is not a failure */
    ABI_CONSTANT, /* the constant operation, for which there was no memory */
    ABI_STATES
};

/* Runs a program on a simulated kernel. The other functions may be called only inside of it. The
 * functions that answer 0 have succeeded. On another answer they have printed a line to the
 * standard output that begins with FAILED and says why. */
ABI_IMPORT int32_t abi_in_kernel(void (*program)(void *context), void *context);
/* Makes an operation of that abi_kind and abi_state, with one reference, and writes the state that
 * the client must find. NULL if there is no such kind or state. */
ABI_IMPORT void *abi_spawn(int32_t kind, int32_t state, struct abi_expected *expected);
/* The number of pool blocks. */
ABI_IMPORT uint64_t abi_live_blocks(void);
/* Prints the client's finding on an operation of that kind and state. */
ABI_IMPORT int32_t abi_judge(int32_t kind, int32_t state, const struct abi_finding *finding);
/* Makes the client call every slot of an object of a declared interface. */
ABI_IMPORT int32_t abi_calls_ours(void *(*probes)(void *object, const struct probe_values *arguments, struct probe_values *answers));
/* Calls every slot of the client's object of that interface. */
ABI_IMPORT int32_t abi_is_called(void *(*probe)(struct probe_place *place));
/* Prints `who: number what`. */
ABI_IMPORT void abi_say(const char *who, uint32_t number, const char *what);

/* A whole client program, with the client in C or in C++. It returns 0 if everything is as
 * promised. */
int32_t abi_c_program(void);
int32_t abi_cpp_program(void);

#if defined(__cplusplus)
}
#endif

#endif
