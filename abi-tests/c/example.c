/* Reads a sensor. The sensor's driver offers a method that returns an operation. The reading ends
 * by itself, or is cancelled. */
#include <ntcom.h>

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);

struct sensor_read {
    IAsyncOperationU32 *operation;
    ntcom_IAsyncControl *control;
    NTSTATUS status;  /* STATUS_PENDING until the reading is over */
    uint32_t reading; /* the value, if the status is STATUS_SUCCESS */
};

/* Runs once, at <= DISPATCH_LEVEL, on any processor. The operation is alive, because `read` has a
 * reference. */
static void NTCOM_CALL on_completed(void *context, ntcom_AsyncStatus status) {
    struct sensor_read *read = context;
    NTSTATUS why;
    (void)status; /* get_result says more */
    IAsyncOperationU32_try_get(read->operation, &read->reading, &why);
    read->status = why; /* a driver sets an event here, or completes its IRP */
}

/*
 * Begins a reading. `operation` is the operation that the method returned. Its reference passes to
 * `read`, whatever this returns. If the operation has ended already, on_completed runs inside of
 * this call. After STATUS_SUCCESS `read` must stay in place until its status is no longer
 * STATUS_PENDING. Then call sensor_read_end.
 */
NTSTATUS sensor_read_begin(struct sensor_read *read, IAsyncOperationU32 *operation) {
    void *control = NULL;
    NTSTATUS status;

    read->operation = operation;
    read->control = NULL;
    read->status = NTCOM_STATUS_PENDING;
    read->reading = 0;

    status = IAsyncOperationU32_QueryInterface(operation, &ntcom_IID_IAsyncControl, &control);
    if (status != NTCOM_STATUS_SUCCESS) {
        IAsyncOperationU32_Release(operation);
        return status;
    }
    read->control = control;

    status = ntcom_IAsyncControl_set_completed(read->control, on_completed, read);
    if (status != NTCOM_STATUS_SUCCESS) {
        ntcom_IAsyncControl_Release(read->control);
        IAsyncOperationU32_Release(operation);
    }
    return status;
}

/* Asks the reading to end soon. It is over when the status of `read` says so, not when this
 * returns. By then it was cancelled, or had ended by itself. */
void sensor_read_cancel(struct sensor_read *read) {
    ntcom_IAsyncControl_cancel(read->control);
}

/* Releases the references. Releasing an operation does not cancel it. */
void sensor_read_end(struct sensor_read *read) {
    ntcom_IAsyncControl_Release(read->control);
    IAsyncOperationU32_Release(read->operation);
}
