// Reads a sensor. The sensor's driver offers a method that returns an operation. The reading ends
// by itself, or is cancelled.
#include <ntcom.h>

class SensorRead {
public:
    SensorRead() = default;
    SensorRead(const SensorRead &) = delete;
    SensorRead &operator=(const SensorRead &) = delete;

    // Releases the references. Releasing an operation does not cancel it. If `begin` has succeeded,
    // the reading must be over, because the completion handler uses this object.
    ~SensorRead() {
        if (control != nullptr) {
            control->Release();
        }
        if (operation != nullptr) {
            operation->Release();
        }
    }

    // Begins a reading, once. `returned` is the operation that the method returned. Its reference
    // passes to this object, whatever this returns. If the operation has ended already,
    // on_completed runs inside of this call.
    NTSTATUS begin(ntcom::IAsyncOperation<uint32_t> *returned) noexcept {
        operation = returned;
        NTSTATUS answer = ntcom::query(*operation, &control);
        if (answer == NTCOM_STATUS_SUCCESS) {
            answer = control->set_completed(on_completed, this);
        }
        return answer;
    }

    // Asks the reading to end soon. It is over when `status` says so, not when this returns. By
    // then it was cancelled, or had ended by itself.
    void cancel() noexcept { control->cancel(); }

    // The status, which is STATUS_PENDING until the reading is over.
    NTSTATUS status() const noexcept { return why; }
    // The value, if the status is STATUS_SUCCESS.
    uint32_t reading() const noexcept { return value; }

private:
    ntcom::IAsyncOperation<uint32_t> *operation = nullptr;
    ntcom::IAsyncControl *control = nullptr;
    NTSTATUS why = NTCOM_STATUS_PENDING;
    uint32_t value = 0;

    // Runs once, at <= DISPATCH_LEVEL, on any processor. The operation is alive, because this
    // object has a reference.
    static void NTCOM_CALL on_completed(void *context, ntcom::AsyncStatus) noexcept {
        auto *read = static_cast<SensorRead *>(context);
        NTSTATUS answer;
        ntcom::try_get(*read->operation, &read->value, &answer);
        read->why = answer; // a driver sets an event here, or completes its IRP
    }
};
