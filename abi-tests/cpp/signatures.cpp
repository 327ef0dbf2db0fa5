// The types of the methods, as the contract's table spells them. The compiler does the test.
#include "abi.h"

template <class A, class B> constexpr bool same = false;
template <class A> constexpr bool same<A, A> = true;

#define IS(Class, method, answer, ...) \
    static_assert(same<decltype(&Class::method), answer (NTCOM_CALL Class::*)(__VA_ARGS__) noexcept>, #Class "::" #method)

using ntcom::IAsyncControl;
using ntcom::IUnknown;
using Operation = ntcom::IAsyncOperation<uint32_t>;
using Untyped = ntcom::IAsyncOperation<void>;

IS(IUnknown, QueryInterface, NTSTATUS, const GUID *, void **);
IS(IUnknown, AddRef, ULONG, );
IS(IUnknown, Release, ULONG, );
IS(Operation, get_status, NTSTATUS, int32_t *);
IS(Operation, get_result, NTSTATUS, uint32_t *);
IS(Untyped, get_result, NTSTATUS, void *);
IS(IAsyncControl, cancel, NTSTATUS, );
IS(IAsyncControl, get_error, NTSTATUS, NTSTATUS *);
IS(IAsyncControl, set_completed, NTSTATUS, void(NTCOM_CALL *)(void *, int32_t), void *);
IS(IAsyncControl, wait, NTSTATUS, const LONGLONG *);
IS(IAsyncControl, get_result_size, NTSTATUS, ULONG *);

// The IIDs are constants if the language has such. header.rs has all of their digits.
static_assert(IUnknown::iid.Data1 == 0 && IUnknown::iid.Data4[7] == 0x46, "the IID of IUnknown");
static_assert(Operation::iid.Data1 == 0xE18C01F5, "the IID of IAsyncOperation");
static_assert(Operation::iid.Data4[7] == 0x7B, "the IID of IAsyncOperation");
static_assert(IAsyncControl::iid.Data1 == 0xD0D7CFEE, "the IID of IAsyncControl");
static_assert(IAsyncControl::iid.Data4[7] == 0x98, "the IID of IAsyncControl");
