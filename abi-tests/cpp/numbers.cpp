// The header, measured by the C++ compiler.
#include "abi.h"

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationPadded, abi_padded);

static uint64_t big_endian(const unsigned char (&bytes)[8]) {
    uint64_t number = 0;
    for (unsigned char byte : bytes) {
        number = (number << 8) | byte;
    }
    return number;
}

void abi_cpp_numbers(abi_sink sink, void *context) {
#include "numbers.inc"
    SIZE(ntcom::AsyncStatus);
    SIZE(ntcom::IUnknown);
    SIZE(ntcom::IAsyncOperation<void>);
    SIZE(ntcom::IAsyncOperation<abi_padded>);
    SIZE(ntcom::IAsyncControl);
    HALVES(ntcom::IUnknown::iid);
    HALVES(ntcom::IAsyncOperation<abi_padded>::iid);
    HALVES(ntcom::IAsyncControl::iid);
}
