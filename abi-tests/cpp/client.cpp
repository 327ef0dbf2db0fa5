// A client in C++, which uses only the abstract classes of the header. It does everything with an
// operation that the contract allows.
#include "abi.h"

#include <string.h>

namespace {

constexpr uint8_t graffiti = 0xA5;
constexpr size_t margin = 64;
constexpr size_t largest = 4096;

bool all(const uint8_t *bytes, size_t count, uint8_t value) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

// Space for a number, followed by bytes that must not be written.
template <class Number> struct Guarded {
    Number value = Number(0xA5A5A5A5);
    uint32_t after = 0xA5A5A5A5;
};

struct Heard {
    uint32_t before = 0xBEF0BEF0;
    uint32_t times = 0;
    ntcom::AsyncStatus status = -1;
    uint32_t after = 0xAF7EAF7E;

    static void NTCOM_CALL on_completed(void *context, ntcom::AsyncStatus status) {
        auto *heard = static_cast<Heard *>(context);
        heard->times++;
        heard->status = status;
    }
};

// Leaves the function with false at the first check that fails. `finding` then has that check.
#define CHECK(condition)                       \
    do {                                       \
        if (!(condition)) {                    \
            finding->what = #condition;        \
            finding->file = __FILE__;          \
            finding->line = __LINE__;          \
            return false;                      \
        }                                      \
    } while (false)

class Client {
public:
    Client(void *operation, const abi_expected &expected, abi_finding *finding)
        : operation(static_cast<ntcom::IAsyncOperation<void> *>(operation)), expected(expected), finding(finding) {}

    bool everything() {
        CHECK(operation != nullptr);
        CHECK(ntcom::query(*operation, &control) == NTCOM_STATUS_SUCCESS);
        CHECK(control != nullptr);
        if (!examine() || !hear_and_cancel() || !examine()) {
            return false;
        }
        // The constant operation always answers 1, and any other answers 0 when it is gone [C3,
        // C11].
        ULONG last = expected.constant ? 1 : 0;
        CHECK(control->Release() != 0);
        CHECK(operation->Release() == last);
        return true;
    }

private:
    ntcom::IAsyncOperation<void> *operation;
    ntcom::IAsyncControl *control = nullptr;
    abi_expected expected;
    abi_finding *finding;

    bool examine() {
        return status() && result() && counting() && queries(*operation) && queries(*control) && controls();
    }

    // Whether get_result left the right bytes. They are the value, with zeros where it has padding,
    // or zeros.
    bool is_expected(const void *found) const {
        auto *bytes = static_cast<const uint8_t *>(found);
        if (expected.result != NTCOM_STATUS_SUCCESS) {
            return all(bytes, expected.size, 0);
        }
        for (size_t i = 0; i < expected.size; i++) {
            if (bytes[i] != (expected.part[i] ? expected.value[i] : 0)) {
                return false;
            }
        }
        return true;
    }

    // [C4]
    bool status() {
        Guarded<ntcom::AsyncStatus> out;
        CHECK(operation->get_status(&out.value) == NTCOM_STATUS_SUCCESS);
        CHECK(out.value == expected.status);
        CHECK(out.after == 0xA5A5A5A5);
        CHECK(ntcom_is_terminal(out.value) == (expected.status != NTCOM_STARTED));
        CHECK(operation->get_status(nullptr) == NTCOM_STATUS_INVALID_PARAMETER);
        return true;
    }

    // [C5]
    bool result() {
        CHECK(operation->get_result(nullptr) == NTCOM_STATUS_INVALID_PARAMETER);
        return result_at(0) && result_at(0) && result_at(1) && result_at(63) && typed_result();
    }

    // At this distance from an aligned address.
    bool result_at(size_t distance) {
        alignas(64) uint8_t room[margin + largest + margin];
        uint8_t *out = room + margin + distance;
        memset(room, graffiti, sizeof room);
        CHECK(expected.size <= largest);
        CHECK(operation->get_result(out) == expected.result);
        CHECK(is_expected(out));
        CHECK(all(room, size_t(out - room), graffiti));
        CHECK(all(out + expected.size, size_t(room + sizeof room - (out + expected.size)), graffiti));
        return true;
    }

    bool typed_result() {
        switch (expected.kind) {
        case ABI_UNIT:
            CHECK(expected.size == 0);
            return true;
        case ABI_U8:
            return result_of<uint8_t>();
        case ABI_U32:
            return result_of<uint32_t>();
        case ABI_U64:
            return result_of<uint64_t>();
        case ABI_PADDED:
            return result_of<abi_padded>();
        case ABI_ALIGNED:
            return result_of<abi_aligned>();
        case ABI_PAGE:
            return result_of<abi_page>();
        default:
            CHECK(!"a kind of value that the client knows");
        }
    }

    template <class T> bool result_of() {
        ntcom::IAsyncOperation<T> *typed = nullptr;
        CHECK(ntcom::query(*operation, &typed) == NTCOM_STATUS_SUCCESS);
        CHECK(typed->Release() != 0);
        T value;
        CHECK(sizeof value == expected.size);
        memset(&value, graffiti, sizeof value);
        CHECK(typed->get_result(&value) == expected.result);
        CHECK(is_expected(&value));
        memset(&value, graffiti, sizeof value);
        NTSTATUS why = NTSTATUS(0xA5A5A5A5);
        CHECK(ntcom::try_get(*typed, &value, &why) == (expected.status == NTCOM_COMPLETED));
        CHECK(why == expected.result);
        CHECK(is_expected(&value));
        return true;
    }

    // [C3]
    bool counting() {
        CHECK(operation->AddRef() != 0);
        CHECK(control->AddRef() != 0);
        CHECK(control->Release() != 0);
        CHECK(operation->Release() != 0);
        return true;
    }

    template <class Interface> bool gives(ntcom::IUnknown &from, void *what) {
        Interface *out = nullptr;
        CHECK(ntcom::query(from, &out) == NTCOM_STATUS_SUCCESS);
        CHECK(out == what);
        CHECK(out->Release() != 0);
        return true;
    }

    // [C1, C2], through one of the interfaces.
    bool queries(ntcom::IUnknown &from) {
        constexpr GUID nobodys = {7, 0, 0, {}};
        if (!gives<ntcom::IUnknown>(from, operation) || !gives<ntcom::IAsyncOperation<uint8_t>>(from, operation) ||
            !gives<ntcom::IAsyncControl>(from, control)) {
            return false;
        }
        void *out = this;
        CHECK(from.QueryInterface(&nobodys, &out) == NTCOM_STATUS_NOINTERFACE);
        CHECK(out == nullptr);
        out = this;
        CHECK(from.QueryInterface(nullptr, &out) == NTCOM_STATUS_INVALID_PARAMETER);
        CHECK(out == nullptr);
        CHECK(from.QueryInterface(&ntcom_IID_IUnknown, nullptr) == NTCOM_STATUS_INVALID_PARAMETER);
        return true;
    }

    // [C15, C16]
    bool controls() {
        LONGLONG at_once = 0;
        NTSTATUS ended = expected.status == NTCOM_STARTED ? NTCOM_STATUS_TIMEOUT : NTCOM_STATUS_SUCCESS;
        CHECK(control->wait(&at_once) == ended);
        Guarded<NTSTATUS> error;
        CHECK(control->get_error(&error.value) == NTCOM_STATUS_SUCCESS);
        CHECK(error.value == expected.result);
        CHECK(error.after == 0xA5A5A5A5);
        CHECK(control->get_error(nullptr) == NTCOM_STATUS_INVALID_PARAMETER);
        Guarded<ULONG> size;
        CHECK(control->get_result_size(&size.value) == NTCOM_STATUS_SUCCESS);
        CHECK(size.value == expected.size);
        CHECK(size.after == 0xA5A5A5A5);
        CHECK(control->get_result_size(nullptr) == NTCOM_STATUS_INVALID_PARAMETER);
        return true;
    }

    // [C10, C14] The client is told the end once, early or late.
    bool hear_and_cancel() {
        Heard heard;
        Heard second;
        bool started = expected.status == NTCOM_STARTED;
        CHECK(control->set_completed(nullptr, &heard) == NTCOM_STATUS_INVALID_PARAMETER);
        CHECK(control->set_completed(Heard::on_completed, &heard) == NTCOM_STATUS_SUCCESS);
        CHECK(heard.times == (started ? 0 : 1));
        NTSTATUS answer = control->set_completed(Heard::on_completed, &second);
        if (expected.constant) { // [C11] it keeps none, so it takes every handler
            CHECK(answer == NTCOM_STATUS_SUCCESS && second.times == 1 && second.status == NTCOM_ERROR);
        } else {
            CHECK(answer == NTCOM_STATUS_INVALID_DEVICE_STATE && second.times == 0);
        }
        CHECK(control->cancel() == NTCOM_STATUS_SUCCESS);
        if (started) {
            expected.status = NTCOM_CANCELED;
            expected.result = NTCOM_STATUS_CANCELLED;
        }
        CHECK(control->cancel() == NTCOM_STATUS_SUCCESS);
        CHECK(heard.times == 1);
        CHECK(heard.status == expected.status);
        CHECK(heard.before == 0xBEF0BEF0 && heard.after == 0xAF7EAF7E);
        return true;
    }
};

} // namespace

void abi_cpp_client(void *operation, const abi_expected *expected, abi_finding *finding) {
    finding->line = 0;
    Client(operation, *expected, finding).everything();
}
