// The interface of probe.h, used and implemented in C++. The tables are the compiler's.
#include "probe.h"

// This program links no C++ library.
inline void *operator new(size_t, void *place) noexcept { return place; }

void *abi_cpp_probes(void *object, const probe_values *a, probe_values *answers) {
    Probe *probe = nullptr;
    if (ntcom::query(*static_cast<ntcom::IUnknown *>(object), &probe) != NTCOM_STATUS_SUCCESS) {
        return nullptr;
    }
    answers->u8[0] = probe->unsigned_bytes(a->u8[0], a->u8[1]);
    answers->i8[0] = probe->signed_bytes(a->i8[0], a->i8[1]);
    answers->u16[0] = probe->halves(a->u16[0], a->i16[0]);
    answers->i32[0] = probe->words(a->u32[0], a->i32[0]);
    answers->u64[0] = probe->longs(a->u64[0], a->i64[0]);
    answers->pointers[0] = probe->pointers(a->pointers[0], a->pointers[1]);
    answers->f64[0] = probe->floats(a->f32[0], a->f64[0]);
    answers->u64[1] = probe->many(a->u8[1], a->u64[1], a->i16[1], a->f64[1], a->u32[1], a->pointers[1], a->i8[1], a->f32[1],
                                  a->i64[1], a->u16[1]);
    probe->nothing();
    void *operation = probe->later(a->u16[1], a->i64[1]);
    probe->Release();
    return operation;
}

namespace {

class Object final : public Probe {
public:
    explicit Object(const probe_place &place)
        : e(place.arguments), answer(place.answers), operation(place.operation), good(0), bad(0) {}

    NTSTATUS NTCOM_CALL QueryInterface(const GUID *, void **out) noexcept override {
        *out = nullptr;
        return NTCOM_STATUS_NOINTERFACE;
    }
    ULONG NTCOM_CALL AddRef() noexcept override { return 1; }
    ULONG NTCOM_CALL Release() noexcept override { return 1; }
    uint8_t NTCOM_CALL unsigned_bytes(uint8_t a, uint8_t b) noexcept override {
        called(3, a == e->u8[0] && b == e->u8[1]);
        return answer->u8[0];
    }
    int8_t NTCOM_CALL signed_bytes(int8_t a, int8_t b) noexcept override {
        called(4, a == e->i8[0] && b == e->i8[1]);
        return answer->i8[0];
    }
    uint16_t NTCOM_CALL halves(uint16_t a, int16_t b) noexcept override {
        called(5, a == e->u16[0] && b == e->i16[0]);
        return answer->u16[0];
    }
    int32_t NTCOM_CALL words(uint32_t a, int32_t b) noexcept override {
        called(6, a == e->u32[0] && b == e->i32[0]);
        return answer->i32[0];
    }
    uint64_t NTCOM_CALL longs(uint64_t a, int64_t b) noexcept override {
        called(7, a == e->u64[0] && b == e->i64[0]);
        return answer->u64[0];
    }
    void *NTCOM_CALL pointers(const void *a, void *b) noexcept override {
        called(8, a == e->pointers[0] && b == e->pointers[1]);
        return answer->pointers[0];
    }
    double NTCOM_CALL floats(float a, double b) noexcept override {
        called(9, a == e->f32[0] && b == e->f64[0]);
        return answer->f64[0];
    }
    uint64_t NTCOM_CALL many(uint8_t a, uint64_t b, int16_t c, double d, uint32_t f, const void *g, int8_t h, float i, int64_t j,
                             uint16_t k) noexcept override {
        called(10, a == e->u8[1] && b == e->u64[1] && c == e->i16[1] && d == e->f64[1] && f == e->u32[1] && g == e->pointers[1] &&
                       h == e->i8[1] && i == e->f32[1] && j == e->i64[1] && k == e->u16[1]);
        return answer->u64[1];
    }
    void NTCOM_CALL nothing() noexcept override { called(11, true); }
    ntcom::IAsyncOperation<int64_t> *NTCOM_CALL later(uint16_t a, int64_t b) noexcept override {
        called(12, a == e->u16[1] && b == e->i64[1]);
        return static_cast<ntcom::IAsyncOperation<int64_t> *>(operation);
    }

private:
    // The members of probe_place behind the pointer to the table.
    const probe_values *e;
    const probe_values *answer;
    void *operation;
    uint32_t good;
    uint32_t bad;

    void called(unsigned slot, bool as_expected) noexcept { (as_expected ? good : bad) |= 1u << slot; }
};

static_assert(sizeof(Object) == sizeof(probe_place), "the object is its place");

} // namespace

void *abi_cpp_probe(probe_place *place) {
    probe_place copy = *place;
    return static_cast<Probe *>(new (place) Object(copy));
}
