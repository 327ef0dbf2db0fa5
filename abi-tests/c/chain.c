/* Reads a sensor several times, one operation after the other. The stack does not grow with their
 * number. */
#include <ntcom.h>
#include <stdatomic.h> /* a driver has InterlockedIncrement and InterlockedDecrement */

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);

struct sensor_chain {
    IAsyncOperationU32 *(*measure)(void *sensor); /* a method that returns an operation */
    void *sensor;
    IAsyncOperationU32 *operation; /* the current operation */
    atomic_uint turns;             /* 0 the loop waits, 1 it runs, 2 it has another turn */
    uint32_t left;                 /* the number of measurements to come */
    uint64_t sum;
    NTSTATUS status; /* STATUS_PENDING until the chain is over */
};

static void sensor_chain_loop(struct sensor_chain *chain);

/* Runs at <= DISPATCH_LEVEL, on any processor, once for each operation. It never begins the next
 * operation while the loop runs, but gives the loop a turn. */
static void NTCOM_CALL on_measured(void *context, ntcom_AsyncStatus status) {
    struct sensor_chain *chain = context;
    (void)status; /* get_result says more */
    if (atomic_fetch_add(&chain->turns, 1) == 0) {
        sensor_chain_loop(chain);
    }
}

/* Begins the next operation. If the operation has ended already, on_measured runs inside of this
 * call. */
static NTSTATUS sensor_chain_next(struct sensor_chain *chain) {
    void *control = NULL;
    NTSTATUS status;

    chain->operation = chain->measure(chain->sensor);
    status = IAsyncOperationU32_QueryInterface(chain->operation, &ntcom_IID_IAsyncControl, &control);
    if (status == NTCOM_STATUS_SUCCESS) {
        status = ntcom_IAsyncControl_set_completed(control, on_measured, chain);
        ntcom_IAsyncControl_Release(control);
    }
    if (status != NTCOM_STATUS_SUCCESS) {
        IAsyncOperationU32_Release(chain->operation);
        return status;
    }
    return NTCOM_STATUS_PENDING;
}

/* Does one turn for each operation that has ended. The loop runs on one processor at a time. */
static void sensor_chain_loop(struct sensor_chain *chain) {
    do {
        uint32_t reading;
        NTSTATUS status;
        IAsyncOperationU32_try_get(chain->operation, &reading, &status);
        IAsyncOperationU32_Release(chain->operation);
        if (status == NTCOM_STATUS_SUCCESS) {
            chain->sum += reading;
            chain->left -= 1;
            status = chain->left == 0 ? NTCOM_STATUS_SUCCESS : sensor_chain_next(chain);
        }
        if (status != NTCOM_STATUS_PENDING) {
            chain->status = status; /* a driver sets an event here; `chain` may be freed */
            return;
        }
    } while (atomic_fetch_sub(&chain->turns, 1) != 1);
}

/* Begins a chain. `count` must not be 0. `chain` must stay in place until its status is no longer
 * STATUS_PENDING. */
void sensor_chain_begin(struct sensor_chain *chain, IAsyncOperationU32 *(*measure)(void *), void *sensor, uint32_t count) {
    NTSTATUS status;

    chain->measure = measure;
    chain->sensor = sensor;
    chain->left = count;
    chain->sum = 0;
    chain->status = NTCOM_STATUS_PENDING;
    atomic_init(&chain->turns, 1);

    status = sensor_chain_next(chain);
    if (status != NTCOM_STATUS_PENDING) {
        chain->status = status;
    } else if (atomic_fetch_sub(&chain->turns, 1) != 1) {
        sensor_chain_loop(chain);
    }
}
