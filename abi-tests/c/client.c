/* A client in C, which uses only the header. It does everything with an operation that the contract
 * allows. */
#include "abi.h"

#include <string.h>

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU8, uint8_t);
NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);
NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU64, uint64_t);
NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationPadded, struct abi_padded);
NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationAligned, struct abi_aligned);
NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationPage, struct abi_page);

#define GRAFFITI 0xA5
#define MARGIN 64
#define LARGEST 4096

struct client {
    ntcom_IAsyncOperation *operation;
    ntcom_IAsyncControl *control;
    struct abi_expected expected;
    struct abi_finding *finding;
};

/* Leaves the function with 0 at the first check that fails. `finding` then has that check. */
#define CHECK(client, condition)                      \
    do {                                              \
        if (!(condition)) {                           \
            (client)->finding->what = #condition;     \
            (client)->finding->file = __FILE__;       \
            (client)->finding->line = __LINE__;       \
            return 0;                                 \
        }                                             \
    } while (0)
#define TRY(call)     \
    do {              \
        if (!(call))  \
            return 0; \
    } while (0)

static int all(const uint8_t *bytes, size_t count, uint8_t value) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != value) {
            return 0;
        }
    }
    return 1;
}

/* Whether get_result left the right bytes. They are the value, with zeros for its padding, or
 * zeros. */
static int is_expected(const struct client *client, const uint8_t *bytes) {
    const struct abi_expected *expected = &client->expected;
    if (expected->result != NTCOM_STATUS_SUCCESS) {
        return all(bytes, expected->size, 0);
    }
    for (size_t i = 0; i < expected->size; i++) {
        if (bytes[i] != (expected->part[i] ? expected->value[i] : 0)) {
            return 0;
        }
    }
    return 1;
}

/* [C4] */
static int status(struct client *client) {
    struct {
        ntcom_AsyncStatus status;
        uint32_t after[3];
    } out;
    memset(&out, GRAFFITI, sizeof out);
    CHECK(client, ntcom_IAsyncOperation_get_status(client->operation, &out.status) == NTCOM_STATUS_SUCCESS);
    CHECK(client, out.status == client->expected.status);
    CHECK(client, all((const uint8_t *)out.after, sizeof out.after, GRAFFITI));
    CHECK(client, ntcom_is_terminal(out.status) == (client->expected.status != NTCOM_STARTED));
    CHECK(client, ntcom_IAsyncOperation_get_status(client->operation, NULL) == NTCOM_STATUS_INVALID_PARAMETER);
    return 1;
}

/* [C5], at this distance from an aligned address. */
static int result_at(struct client *client, size_t distance) {
    _Alignas(64) uint8_t room[MARGIN + LARGEST + MARGIN];
    uint8_t *out = room + MARGIN + distance;
    size_t size = client->expected.size;
    memset(room, GRAFFITI, sizeof room);
    CHECK(client, size <= LARGEST);
    CHECK(client, ntcom_IAsyncOperation_get_result(client->operation, out) == client->expected.result);
    CHECK(client, is_expected(client, out));
    CHECK(client, all(room, (size_t)(out - room), GRAFFITI));
    CHECK(client, all(out + size, (size_t)(room + sizeof room - (out + size)), GRAFFITI));
    return 1;
}

/* [C5], through the interface with the value's type. */
#define TYPED(name, T)                                                                          \
    static int result_of_##name(struct client *client) {                                        \
        name *operation = (name *)(void *)client->operation;                                    \
        NTSTATUS why = (NTSTATUS)0xA5A5A5A5;                                                    \
        T value;                                                                                \
        CHECK(client, sizeof value == client->expected.size);                                   \
        memset(&value, GRAFFITI, sizeof value);                                                 \
        CHECK(client, name##_get_result(operation, &value) == client->expected.result);         \
        CHECK(client, is_expected(client, (const uint8_t *)&value));                            \
        memset(&value, GRAFFITI, sizeof value);                                                 \
        int there = name##_try_get(operation, &value, &why);                                    \
        CHECK(client, there == (client->expected.status == NTCOM_COMPLETED));                   \
        CHECK(client, why == client->expected.result);                                          \
        CHECK(client, is_expected(client, (const uint8_t *)&value));                            \
        return 1;                                                                               \
    }
TYPED(IAsyncOperationU8, uint8_t)
TYPED(IAsyncOperationU32, uint32_t)
TYPED(IAsyncOperationU64, uint64_t)
TYPED(IAsyncOperationPadded, struct abi_padded)
TYPED(IAsyncOperationAligned, struct abi_aligned)
TYPED(IAsyncOperationPage, struct abi_page)

static int typed_result(struct client *client) {
    switch (client->expected.kind) {
    case ABI_UNIT:
        CHECK(client, client->expected.size == 0);
        return 1;
    case ABI_U8:
        return result_of_IAsyncOperationU8(client);
    case ABI_U32:
        return result_of_IAsyncOperationU32(client);
    case ABI_U64:
        return result_of_IAsyncOperationU64(client);
    case ABI_PADDED:
        return result_of_IAsyncOperationPadded(client);
    case ABI_ALIGNED:
        return result_of_IAsyncOperationAligned(client);
    case ABI_PAGE:
        return result_of_IAsyncOperationPage(client);
    default:
        CHECK(client, !"a kind of value that the client knows");
        return 0;
    }
}

static int result(struct client *client) {
    CHECK(client, ntcom_IAsyncOperation_get_result(client->operation, NULL) == NTCOM_STATUS_INVALID_PARAMETER);
    TRY(result_at(client, 0));
    TRY(result_at(client, 0)); /* as often as asked */
    TRY(result_at(client, 1));
    TRY(result_at(client, 7));
    return typed_result(client);
}

/* [C3] */
static int counting(struct client *client) {
    CHECK(client, ntcom_IAsyncOperation_AddRef(client->operation) != 0);
    CHECK(client, ntcom_IAsyncControl_AddRef(client->control) != 0);
    CHECK(client, ntcom_IAsyncOperation_Release(client->operation) != 0);
    CHECK(client, ntcom_IAsyncControl_Release(client->control) != 0);
    return 1;
}

/* [C1, C2], through one of the interfaces. */
static int queries(struct client *client, ntcom_IUnknown *from) {
    static const GUID nobodys = {0x00000007, 0x0000, 0x0000, {0, 0, 0, 0, 0, 0, 0, 0}};
    const struct {
        const GUID *iid;
        void *interface;
    } known[] = {
        {&ntcom_IID_IUnknown, client->operation},
        {&ntcom_IID_IAsyncOperation, client->operation},
        {&ntcom_IID_IAsyncControl, client->control},
    };
    void *out;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        out = client;
        CHECK(client, ntcom_IUnknown_QueryInterface(from, known[i].iid, &out) == NTCOM_STATUS_SUCCESS);
        CHECK(client, out == known[i].interface);
        CHECK(client, ntcom_IUnknown_Release((ntcom_IUnknown *)out) != 0);
        CHECK(client, ntcom_IUnknown_QueryInterface(from, known[i].iid, NULL) == NTCOM_STATUS_INVALID_PARAMETER);
    }
    out = client;
    CHECK(client, ntcom_IUnknown_QueryInterface(from, &nobodys, &out) == NTCOM_STATUS_NOINTERFACE);
    CHECK(client, out == NULL);
    out = client;
    CHECK(client, ntcom_IUnknown_QueryInterface(from, NULL, &out) == NTCOM_STATUS_INVALID_PARAMETER);
    CHECK(client, out == NULL);
    CHECK(client, ntcom_IUnknown_QueryInterface(from, NULL, NULL) == NTCOM_STATUS_INVALID_PARAMETER);
    return 1;
}

/* [C15, C16] */
static int control(struct client *client) {
    ntcom_IAsyncControl *control = client->control;
    struct {
        uint8_t before[4];
        uint8_t number[4]; /* at an odd address in `packed` */
        uint8_t after[4];
    } room;
    uint8_t *packed = (uint8_t *)&room;
    LONGLONG at_once = 0;
    struct {
        NTSTATUS error;
        ULONG between;
        ULONG size;
        ULONG after;
    } out;
    NTSTATUS error;
    NTSTATUS ended = client->expected.status == NTCOM_STARTED ? NTCOM_STATUS_TIMEOUT : NTCOM_STATUS_SUCCESS;

    CHECK(client, ntcom_IAsyncControl_wait(control, &at_once) == ended);
    memset(&out, GRAFFITI, sizeof out);
    CHECK(client, ntcom_IAsyncControl_get_error(control, &out.error) == NTCOM_STATUS_SUCCESS);
    CHECK(client, out.error == client->expected.result);
    CHECK(client, out.between == 0xA5A5A5A5);
    CHECK(client, ntcom_IAsyncControl_get_error(control, NULL) == NTCOM_STATUS_INVALID_PARAMETER);
    CHECK(client, ntcom_IAsyncControl_get_result_size(control, &out.size) == NTCOM_STATUS_SUCCESS);
    CHECK(client, out.size == client->expected.size);
    CHECK(client, out.after == 0xA5A5A5A5);
    CHECK(client, ntcom_IAsyncControl_get_result_size(control, NULL) == NTCOM_STATUS_INVALID_PARAMETER);

    /* The call uses the bare table, because C does not allow a misaligned pointer of the right
     * type. */
    memset(&room, GRAFFITI, sizeof room);
    CHECK(client, control->lpVtbl->get_error(control, (void *)(packed + 5)) == NTCOM_STATUS_SUCCESS);
    memcpy(&error, packed + 5, sizeof error);
    CHECK(client, error == client->expected.result);
    CHECK(client, all(packed, 5, GRAFFITI));
    CHECK(client, all(packed + 9, 3, GRAFFITI));
    return 1;
}

static int examine(struct client *client) {
    TRY(status(client));
    TRY(result(client));
    TRY(counting(client));
    TRY(queries(client, (ntcom_IUnknown *)(void *)client->operation));
    TRY(queries(client, (ntcom_IUnknown *)(void *)client->control));
    return control(client);
}

struct heard {
    uint32_t before;
    uint32_t times;
    ntcom_AsyncStatus status;
    uint32_t after;
};

static void NTCOM_CALL on_completed(void *context, ntcom_AsyncStatus status) {
    struct heard *heard = context;
    heard->times++;
    heard->status = status;
}

/* [C10, C14] The client is told the end once, early or late. */
static int hear_and_cancel(struct client *client) {
    ntcom_IAsyncControl *control = client->control;
    struct heard heard = {0xBEF0BEF0, 0, -1, 0xAF7EAF7E};
    struct heard second = heard;
    int started = client->expected.status == NTCOM_STARTED;

    CHECK(client, ntcom_IAsyncControl_set_completed(control, NULL, &heard) == NTCOM_STATUS_INVALID_PARAMETER);
    CHECK(client, ntcom_IAsyncControl_set_completed(control, on_completed, &heard) == NTCOM_STATUS_SUCCESS);
    CHECK(client, heard.times == (started ? 0 : 1));
    NTSTATUS answer = ntcom_IAsyncControl_set_completed(control, on_completed, &second);
    if (client->expected.constant) { /* [C11] it keeps none, so it takes every handler */
        CHECK(client, answer == NTCOM_STATUS_SUCCESS && second.times == 1 && second.status == NTCOM_ERROR);
    } else {
        CHECK(client, answer == NTCOM_STATUS_INVALID_DEVICE_STATE && second.times == 0);
    }
    CHECK(client, ntcom_IAsyncControl_cancel(control) == NTCOM_STATUS_SUCCESS);
    if (started) {
        client->expected.status = NTCOM_CANCELED;
        client->expected.result = NTCOM_STATUS_CANCELLED;
    }
    CHECK(client, ntcom_IAsyncControl_cancel(control) == NTCOM_STATUS_SUCCESS);
    CHECK(client, heard.times == 1);
    CHECK(client, heard.status == client->expected.status);
    CHECK(client, heard.before == 0xBEF0BEF0 && heard.after == 0xAF7EAF7E);
    return 1;
}

static int everything(struct client *client) {
    void *out = NULL;
    CHECK(client, client->operation != NULL);
    CHECK(client, ntcom_IAsyncOperation_QueryInterface(client->operation, &ntcom_IID_IAsyncControl, &out) ==
                      NTCOM_STATUS_SUCCESS);
    CHECK(client, out != NULL);
    client->control = out;
    TRY(examine(client));
    TRY(hear_and_cancel(client));
    TRY(examine(client)); /* [C6] */

    /* The constant operation always answers 1, and any other answers 0 when it is gone [C3, C11].
     */
    ULONG last = client->expected.constant ? 1 : 0;
    CHECK(client, ntcom_IAsyncOperation_Release(client->operation) != 0);
    CHECK(client, ntcom_IAsyncControl_Release(client->control) == last);
    return 1;
}

void abi_c_client(void *operation, const struct abi_expected *expected, struct abi_finding *finding) {
    struct client client = {operation, NULL, *expected, finding};
    finding->line = 0;
    everything(&client);
}
