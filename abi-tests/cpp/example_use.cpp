// The example of docs/c-clients.md, for the tests.
#include "abi.h"

#include "example.cpp"

void abi_cpp_example(void *operation, int32_t cancel, abi_reading *reading) {
    SensorRead read;
    reading->begun = read.begin(static_cast<ntcom::IAsyncOperation<uint32_t> *>(operation));
    if (cancel) {
        reading->before = read.status();
        read.cancel();
    }
    reading->status = read.status();
    reading->value = read.reading();
}
