/* The interface of probe.h, used and implemented in C. */
#include "probe.h"

static const GUID iid = PROBE_IID_FIELDS;

void *abi_c_probes(void *object, const struct probe_values *a, struct probe_values *answers) {
    void *self = NULL;
    if (ntcom_IUnknown_QueryInterface(object, &iid, &self) != NTCOM_STATUS_SUCCESS) {
        return NULL;
    }
    const IProbeVtbl *table = ((IProbe *)self)->lpVtbl;
    answers->u8[0] = table->unsigned_bytes(self, a->u8[0], a->u8[1]);
    answers->i8[0] = table->signed_bytes(self, a->i8[0], a->i8[1]);
    answers->u16[0] = table->halves(self, a->u16[0], a->i16[0]);
    answers->i32[0] = table->words(self, a->u32[0], a->i32[0]);
    answers->u64[0] = table->longs(self, a->u64[0], a->i64[0]);
    answers->pointers[0] = table->pointers(self, a->pointers[0], a->pointers[1]);
    answers->f64[0] = table->floats(self, a->f32[0], a->f64[0]);
    answers->u64[1] = table->many(self, a->u8[1], a->u64[1], a->i16[1], a->f64[1], a->u32[1], a->pointers[1], a->i8[1],
                                  a->f32[1], a->i64[1], a->u16[1]);
    table->nothing(self);
    IAsyncOperationI64 *operation = table->later(self, a->u16[1], a->i64[1]);
    IProbe_Release(self);
    return operation;
}

/* Records whether the arguments of a slot are right. */
static const struct probe_values *called(void *self, unsigned slot, int good) {
    struct probe_place *place = self;
    *(good ? &place->good : &place->bad) |= 1u << slot;
    return place->answers;
}
static const struct probe_values *arguments_of(void *self) { return ((struct probe_place *)self)->arguments; }
#define CALLED(slot, condition)                               \
    const struct probe_values *e = arguments_of(self);        \
    const struct probe_values *answer = called(self, slot, condition)

static NTSTATUS NTCOM_CALL query(void *self, const GUID *wanted, void **out) {
    (void)self;
    (void)wanted;
    *out = NULL;
    return NTCOM_STATUS_NOINTERFACE;
}
static ULONG NTCOM_CALL count(void *self) {
    (void)self;
    return 1;
}
static uint8_t NTCOM_CALL unsigned_bytes(void *self, uint8_t a, uint8_t b) {
    CALLED(3, a == e->u8[0] && b == e->u8[1]);
    return answer->u8[0];
}
static int8_t NTCOM_CALL signed_bytes(void *self, int8_t a, int8_t b) {
    CALLED(4, a == e->i8[0] && b == e->i8[1]);
    return answer->i8[0];
}
static uint16_t NTCOM_CALL halves(void *self, uint16_t a, int16_t b) {
    CALLED(5, a == e->u16[0] && b == e->i16[0]);
    return answer->u16[0];
}
static int32_t NTCOM_CALL words(void *self, uint32_t a, int32_t b) {
    CALLED(6, a == e->u32[0] && b == e->i32[0]);
    return answer->i32[0];
}
static uint64_t NTCOM_CALL longs(void *self, uint64_t a, int64_t b) {
    CALLED(7, a == e->u64[0] && b == e->i64[0]);
    return answer->u64[0];
}
static void *NTCOM_CALL pointers(void *self, const void *a, void *b) {
    CALLED(8, a == e->pointers[0] && b == e->pointers[1]);
    return answer->pointers[0];
}
static double NTCOM_CALL floats(void *self, float a, double b) {
    CALLED(9, a == e->f32[0] && b == e->f64[0]);
    return answer->f64[0];
}
static uint64_t NTCOM_CALL many(void *self, uint8_t a, uint64_t b, int16_t c, double d, uint32_t f, const void *g, int8_t h, float i,
                                int64_t j, uint16_t k) {
    CALLED(10, a == e->u8[1] && b == e->u64[1] && c == e->i16[1] && d == e->f64[1] && f == e->u32[1] && g == e->pointers[1] &&
                   h == e->i8[1] && i == e->f32[1] && j == e->i64[1] && k == e->u16[1]);
    return answer->u64[1];
}
static void NTCOM_CALL nothing(void *self) { called(self, 11, 1); }
static IAsyncOperationI64 *NTCOM_CALL later(void *self, uint16_t a, int64_t b) {
    CALLED(12, a == e->u16[1] && b == e->i64[1]);
    (void)answer;
    return ((struct probe_place *)self)->operation;
}

static const IProbeVtbl table = {query, count,  count,  unsigned_bytes, signed_bytes, halves, words,
                                 longs, pointers, floats, many,           nothing,      later};

void *abi_c_probe(struct probe_place *place) {
    place->table = &table;
    return place;
}
