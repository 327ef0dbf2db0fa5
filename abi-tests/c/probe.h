/* An interface that is declared in Rust (tests/declared.rs), as a client in C or C++ declares it
 * for itself, line by line. Its methods have arguments and answers of every width and sign, more of
 * them than go into registers. */
#ifndef NTCOM_ABI_TESTS_PROBE_H
#define NTCOM_ABI_TESTS_PROBE_H

#include "abi.h"

#define PROBE_IID_FIELDS {0x0D6A1E7C, 0x7F5C, 0x4D3E, {0x8A, 0x55, 0x1F, 0x0F, 0x0C, 0x1F, 0x7C, 0x01}}

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationI64, int64_t);

typedef struct IProbeVtbl {
    NTCOM_SLOTS_OF_IUNKNOWN
    uint8_t(NTCOM_CALL *unsigned_bytes)(void *self, uint8_t a, uint8_t b);
    int8_t(NTCOM_CALL *signed_bytes)(void *self, int8_t a, int8_t b);
    uint16_t(NTCOM_CALL *halves)(void *self, uint16_t a, int16_t b);
    int32_t(NTCOM_CALL *words)(void *self, uint32_t a, int32_t b);
    uint64_t(NTCOM_CALL *longs)(void *self, uint64_t a, int64_t b);
    void *(NTCOM_CALL *pointers)(void *self, const void *a, void *b);
    double(NTCOM_CALL *floats)(void *self, float a, double b);
    uint64_t(NTCOM_CALL *many)(void *self, uint8_t a, uint64_t b, int16_t c, double d, uint32_t e, const void *f, int8_t g,
                               float h, int64_t i, uint16_t j);
    void(NTCOM_CALL *nothing)(void *self);
    IAsyncOperationI64 *(NTCOM_CALL *later)(void *self, uint16_t a, int64_t b);
} IProbeVtbl;
NTCOM_ASSERT_SLOTS_OF_IUNKNOWN(IProbeVtbl);
NTCOM_ASSERT_OFFSET(IProbeVtbl, unsigned_bytes, 24, 12);
NTCOM_ASSERT_OFFSET(IProbeVtbl, later, 96, 48);
NTCOM_ASSERT_SIZE(IProbeVtbl, 104, 52);
NTCOM_DECLARE_INTERFACE(IProbe)

#if defined(__cplusplus)
inline constexpr GUID probe_iid = PROBE_IID_FIELDS;

class Probe : public ntcom::IUnknown {
public:
    static constexpr const GUID &iid = probe_iid;
    virtual uint8_t NTCOM_CALL unsigned_bytes(uint8_t a, uint8_t b) noexcept = 0;
    virtual int8_t NTCOM_CALL signed_bytes(int8_t a, int8_t b) noexcept = 0;
    virtual uint16_t NTCOM_CALL halves(uint16_t a, int16_t b) noexcept = 0;
    virtual int32_t NTCOM_CALL words(uint32_t a, int32_t b) noexcept = 0;
    virtual uint64_t NTCOM_CALL longs(uint64_t a, int64_t b) noexcept = 0;
    virtual void *NTCOM_CALL pointers(const void *a, void *b) noexcept = 0;
    virtual double NTCOM_CALL floats(float a, double b) noexcept = 0;
    virtual uint64_t NTCOM_CALL many(uint8_t a, uint64_t b, int16_t c, double d, uint32_t e, const void *f, int8_t g, float h,
                                     int64_t i, uint16_t j) noexcept = 0;
    virtual void NTCOM_CALL nothing() noexcept = 0;
    virtual ntcom::IAsyncOperation<int64_t> *NTCOM_CALL later(uint16_t a, int64_t b) noexcept = 0;

protected:
    ~Probe() = default;
};
extern "C" {
#endif

/* The arguments of all methods, and their answers. Each value identifies its place. */
struct probe_values {
    uint8_t u8[2];
    int8_t i8[2];
    uint16_t u16[2];
    int16_t i16[2];
    uint32_t u32[2];
    int32_t i32[2];
    uint64_t u64[2];
    int64_t i64[2];
    float f32[2];
    double f64[2];
    void *pointers[2];
};

/* Queries an object for that interface and calls every method once, in order. The answers go to
 * `answers`, with the 64-bit ones of `longs` and `many` in u64[0] and u64[1]. The function returns
 * the result of `later`, with its reference. */
void *abi_c_probes(void *object, const struct probe_values *arguments, struct probe_values *answers);
void *abi_cpp_probes(void *object, const struct probe_values *arguments, struct probe_values *answers);

/* Space for an object with that interface. It checks that each method is called with these
 * arguments, and gives these answers. */
struct probe_place {
    const void *table;
    const struct probe_values *arguments;
    const struct probe_values *answers;
    void *operation;  /* the result of `later` */
    uint32_t good;    /* a bit for each slot that was called with the right arguments */
    uint32_t bad;     /* a bit for each slot that was called with other arguments */
};
void *abi_c_probe(struct probe_place *place);
void *abi_cpp_probe(struct probe_place *place);

#if defined(__cplusplus)
}
#endif

#endif
