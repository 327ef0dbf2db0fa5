// Objects of the abstract classes that record the calls of each of their slots. The tables are the
// compiler's.
#include "abi.h"

// This program links no C++ library.
inline void *operator new(size_t, void *place) noexcept { return place; }

namespace {

template <class Base> class Recorder : public Base {
public:
    explicit Recorder(abi_record *calls) : record(calls) {}
    NTSTATUS NTCOM_CALL QueryInterface(const GUID *wanted, void **out) noexcept override {
        return called(0, wanted, out);
    }
    ULONG NTCOM_CALL AddRef() noexcept override { return ULONG(called(1)); }
    ULONG NTCOM_CALL Release() noexcept override { return ULONG(called(2)); }

protected:
    ~Recorder() = default;
    NTSTATUS called(uint32_t slot, const void *a = nullptr, const void *b = nullptr) {
        abi_call &call = record->calls[record->count++];
        call.slot = slot;
        call.self = this;
        call.arguments[0] = const_cast<void *>(a);
        call.arguments[1] = const_cast<void *>(b);
        return NTSTATUS(ABI_ANSWER(slot));
    }

private:
    abi_record *record;
};

class Operation final : public Recorder<ntcom::IAsyncOperation<uint64_t>> {
public:
    using Recorder::Recorder;
    NTSTATUS NTCOM_CALL get_status(ntcom::AsyncStatus *out) noexcept override { return called(3, out); }
    NTSTATUS NTCOM_CALL get_result(uint64_t *out) noexcept override { return called(4, out); }
};

class Control final : public Recorder<ntcom::IAsyncControl> {
public:
    using Recorder::Recorder;
    NTSTATUS NTCOM_CALL cancel() noexcept override { return called(3); }
    NTSTATUS NTCOM_CALL get_error(NTSTATUS *out) noexcept override { return called(4, out); }
    NTSTATUS NTCOM_CALL set_completed(ntcom::CompletedHandler handler, void *context) noexcept override {
        return called(5, reinterpret_cast<void *>(handler), context);
    }
    NTSTATUS NTCOM_CALL wait(const LONGLONG *timeout) noexcept override { return called(6, timeout); }
    NTSTATUS NTCOM_CALL get_result_size(ULONG *size) noexcept override { return called(7, size); }
};

static_assert(sizeof(Operation) == sizeof(abi_recorder) && sizeof(Control) == sizeof(abi_recorder), "there is room");

void NTCOM_CALL handler(void *context, ntcom::AsyncStatus status) {
    auto *record = static_cast<abi_record *>(context);
    abi_call &call = record->calls[record->count++];
    call = {0, context, {reinterpret_cast<void *>(uintptr_t(uint32_t(status))), nullptr}};
}

} // namespace

void *ABI_NAME(abi_cpp_records_operation)(abi_recorder *place, abi_record *record) {
    return static_cast<ntcom::IAsyncOperation<uint64_t> *>(new (place) Operation(record));
}
void *ABI_NAME(abi_cpp_records_control)(abi_recorder *place, abi_record *record) {
    return static_cast<ntcom::IAsyncControl *>(new (place) Control(record));
}

void *ABI_NAME(abi_cpp_handler)(void) { return reinterpret_cast<void *>(handler); }
