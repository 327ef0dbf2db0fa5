/* The types of the slots, as the contract's table spells them. The compiler does the test. */
#include "abi.h"

NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t);

#define IS(table, slot, type) \
    _Static_assert(_Generic(((table *)0)->slot, type: 1, default: 0), #table "." #slot " is " #type)

typedef NTSTATUS(NTCOM_CALL *query_interface)(void *, const GUID *, void **);
typedef ULONG(NTCOM_CALL *count)(void *);
#define IS_UNKNOWN(table)                         \
    IS(table, QueryInterface, query_interface);   \
    IS(table, AddRef, count);                     \
    IS(table, Release, count)

IS_UNKNOWN(ntcom_IUnknownVtbl);
IS_UNKNOWN(ntcom_IAsyncOperationVtbl);
IS_UNKNOWN(IAsyncOperationU32Vtbl);
IS_UNKNOWN(ntcom_IAsyncControlVtbl);

IS(ntcom_IAsyncOperationVtbl, get_status, NTSTATUS(NTCOM_CALL *)(void *, int32_t *));
IS(ntcom_IAsyncOperationVtbl, get_result, NTSTATUS(NTCOM_CALL *)(void *, void *));
IS(IAsyncOperationU32Vtbl, get_status, NTSTATUS(NTCOM_CALL *)(void *, int32_t *));
IS(IAsyncOperationU32Vtbl, get_result, NTSTATUS(NTCOM_CALL *)(void *, uint32_t *));

typedef void(NTCOM_CALL *handler)(void *, int32_t);
IS(ntcom_IAsyncControlVtbl, cancel, NTSTATUS(NTCOM_CALL *)(void *));
IS(ntcom_IAsyncControlVtbl, get_error, NTSTATUS(NTCOM_CALL *)(void *, NTSTATUS *));
IS(ntcom_IAsyncControlVtbl, set_completed, NTSTATUS(NTCOM_CALL *)(void *, handler, void *));
IS(ntcom_IAsyncControlVtbl, wait, NTSTATUS(NTCOM_CALL *)(void *, const LONGLONG *));
IS(ntcom_IAsyncControlVtbl, get_result_size, NTSTATUS(NTCOM_CALL *)(void *, ULONG *));
