// Reads a sensor whose driver offers a method that returns an operation. Ends by itself, or is cancelled.
#include <ntcom.h>

class SensorRead {
public:
    SensorRead() = default;
    SensorRead(const SensorRead &) = delete;
    SensorRead &operator=(const SensorRead &) = delete;

    // Gives up the references. To release an operation does not cancel it. Not before it is over, if `begin` has succeeded: the
    // completion handler uses this object.
    ~SensorRead() {
        if (control != nullptr) {
            control->Release();
        }
        if (operation != nullptr) {
            operation->Release();
        }
    }

    // Begins, once. `returned` is what the method returned, with its reference, which is this object's afterwards whatever the answer. It
    // may have ended already: then on_completed runs in here.
    NTSTATUS begin(ntcom::IAsyncOperation<uint32_t> *returned) noexcept {
        operation = returned;
        NTSTATUS answer = ntcom::query(*operation, &control);
        if (answer == NTCOM_STATUS_SUCCESS) {
            answer = control->set_completed(on_completed, this);
        }
        return answer;
    }

    // Asks it to end soon. It is over when `status` says so, not when this returns; then it was cancelled, or was faster.
    void cancel() noexcept { control->cancel(); }

    // STATUS_PENDING until it is over.
    NTSTATUS status() const noexcept { return why; }
    // If the status is STATUS_SUCCESS.
    uint32_t reading() const noexcept { return value; }

private:
    ntcom::IAsyncOperation<uint32_t> *operation = nullptr;
    ntcom::IAsyncControl *control = nullptr;
    NTSTATUS why = NTCOM_STATUS_PENDING;
    uint32_t value = 0;

    // At <= DISPATCH_LEVEL, on any processor, once. The operation is alive: this object has a reference.
    static void NTCOM_CALL on_completed(void *context, ntcom::AsyncStatus) noexcept {
        auto *read = static_cast<SensorRead *>(context);
        NTSTATUS answer;
        ntcom::try_get(*read->operation, &read->value, &answer);
        read->why = answer; // a driver sets an event here, or completes its IRP
    }
};
