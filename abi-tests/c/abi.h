/* The exports of the C and C++ sides. abi-tests/src/lib.rs declares them in Rust. */
#ifndef NTCOM_ABI_TESTS_H
#define NTCOM_ABI_TESTS_H

/* A file that is compiled a second time, with the calling convention of 64-bit Windows, has other
 * names. */
#if defined(ABI_WIN64)
#define NTCOM_CALL __attribute__((ms_abi))
#define ABI_NAME(name) name##_win64
#else
#define ABI_NAME(name) name
#endif

#include "ntcom.h"

#if defined(__cplusplus)
extern "C" {
#endif

/* The types of value that the clients know by name. */
enum abi_kind { ABI_UNIT, ABI_U8, ABI_U32, ABI_U64, ABI_PADDED, ABI_ALIGNED, ABI_PAGE, ABI_KINDS };

/* Bytes 1 to 7 and 18 to 23 are padding. */
struct abi_padded {
    uint8_t tag;
    uint64_t number;
    uint16_t half;
};
struct abi_aligned {
#if defined(__cplusplus)
    alignas(64) uint8_t bytes[64];
#else
    _Alignas(64) uint8_t bytes[64];
#endif
};
struct abi_page {
    uint32_t words[1024];
};

/* The state that a client must find. */
struct abi_expected {
    const uint8_t *value; /* the value's bytes, if the status is Completed */
    const uint8_t *part;  /* for each byte, 0 if it is padding, which must be zero */
    uint32_t size;        /* the value's size in bytes */
    int32_t kind;         /* abi_kind */
    int32_t status;       /* AsyncStatus */
    int32_t result;       /* the status that get_result answers */
    int32_t constant;     /* not 0 for the constant operation, which needs no memory */
};

/* The first check that failed. `line` is 0 if no check failed. */
struct abi_finding {
    const char *what;
    const char *file;
    int32_t line;
};

/* Arguments that can be recognised by their bits. No side dereferences them. */
struct abi_arguments {
    void *iid;
    void *interface_out;
    void *status_out;
    void *result_out;
    void *error_out;
    void *handler;
    void *context;
    void *timeout;
    void *size_out;
};

/* The answers of a broken operation. */
struct abi_script {
    int32_t table; /* 0 whole, 1 null, 2 without Release, 3 IUnknown's slots only */
    int32_t status_answer;
    int32_t status_is_written;
    int32_t status;
    int32_t result_answer;
    uint32_t result;
    int32_t query_answer;
    int32_t query_gives; /* 0 NULL, 1 the object itself, 2 its control */
    int32_t control_answer;
};

/* Does everything that a client may do with an operation. The caller passes one reference, which
 * the client releases. */
void abi_c_client(void *operation, const struct abi_expected *expected, struct abi_finding *finding);
void abi_cpp_client(void *operation, const struct abi_expected *expected, struct abi_finding *finding);

/* Calls every slot once, in order, and collects the answers. */
void ABI_NAME(abi_c_calls_operation)(void *self, const struct abi_arguments *arguments, uint32_t *answers);
void ABI_NAME(abi_c_calls_control)(void *self, const struct abi_arguments *arguments, uint32_t *answers);
void ABI_NAME(abi_cpp_calls_operation)(void *self, const struct abi_arguments *arguments, uint32_t *answers);
void ABI_NAME(abi_cpp_calls_control)(void *self, const struct abi_arguments *arguments, uint32_t *answers);
/* Calls a completion handler. */
void ABI_NAME(abi_c_calls_handler)(void *handler, void *context, int32_t status);
void ABI_NAME(abi_cpp_calls_handler)(void *handler, void *context, int32_t status);

/* A call, as it arrived. */
struct abi_call {
    uint32_t slot;
    void *self;
    void *arguments[2];
};
/* The calls of an object, in order. There are at most as many as an interface has slots. */
struct abi_record {
    uint32_t count;
    struct abi_call calls[8];
};
/* Space for an object that records its calls. Each slot answers with four bytes of its own. */
struct abi_recorder {
    const void *table;
    struct abi_record *record;
};
#define ABI_ANSWER(slot) (0xF3E2D1C0u + 0x01010101u * (uint32_t)(slot))

/* Makes such an object in the space. It lives as long as the space, whatever is released. */
void *ABI_NAME(abi_c_records_operation)(struct abi_recorder *place, struct abi_record *record);
void *ABI_NAME(abi_c_records_control)(struct abi_recorder *place, struct abi_record *record);
void *ABI_NAME(abi_cpp_records_operation)(struct abi_recorder *place, struct abi_record *record);
void *ABI_NAME(abi_cpp_records_control)(struct abi_recorder *place, struct abi_record *record);
/* A completion handler with an abi_record as its context. It records the context and the status
 * there, as a call of slot 0. */
void *ABI_NAME(abi_c_handler)(void);
void *ABI_NAME(abi_cpp_handler)(void);

/* Reports every offset, size and value of the header to `sink`, as this compiler has it. */
typedef void (*abi_sink)(void *context, const char *name, uint64_t value);
void abi_c_numbers(abi_sink sink, void *context);
void abi_cpp_numbers(abi_sink sink, void *context);

/* Makes an operation that is implemented in C. It is Started and has one reference. `*alive` is 1
 * until the operation is gone. Only one processor may use it at a time. */
void *abi_c_operation(int32_t *alive);
/* Ends the operation with a value. */
void abi_c_operation_complete(void *operation, uint32_t value);

/* Makes an operation that answers as the script says. It counts no references. It lives as long as
 * `place`, which is the space for it. */
struct abi_broken {
    const void *operation;
    const void *control;
    const struct abi_script *script;
};
void *abi_c_broken(struct abi_broken *place, const struct abi_script *script);

/* The results of the C++ example of docs/c-clients.md. They are the answer of `begin`, the status
 * before the operation was cancelled, if it was, and the status after. The operation ends before
 * `cancel`, or `begin`, has returned. */
struct abi_reading {
    int32_t begun;
    int32_t before;
    int32_t status;
    uint32_t value;
};
void abi_cpp_example(void *operation, int32_t cancel, struct abi_reading *reading);

#if defined(__cplusplus)
}
#endif

#endif
