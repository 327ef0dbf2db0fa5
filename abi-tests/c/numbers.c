/* The header, measured by the C compiler. */
#include "abi.h"

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationPadded, struct abi_padded);

static uint64_t big_endian(const unsigned char bytes[8]) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) {
        number = (number << 8) | bytes[i];
    }
    return number;
}

void abi_c_numbers(abi_sink sink, void *context) {
#include "numbers.inc"
}
