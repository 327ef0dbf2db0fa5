/*
 * ntcom.h: async COM for Windows kernel drivers, for C11 and C++17.
 *
 * A method that takes its time returns an operation: a COM object with the interfaces
 * IAsyncOperation<T> (its state and its value) and IAsyncControl (cancellation and completion).
 * docs/abi-contract.md says what both sides may rely on; [C1] to [C21] are its rules. Slots, values
 * and IIDs never change. Additions get a new interface with a new IID.
 *
 * In C an interface I is the struct ntcom_I, and ntcom_I_method(self, ...) calls through its table.
 * NTCOM_DECLARE_ASYNC_OPERATION declares IAsyncOperation<T> for a T of yours; ntcom_IAsyncOperation
 * is the one for an unknown T. C++ also has the abstract classes ntcom::IUnknown,
 * ntcom::IAsyncOperation<T> and ntcom::IAsyncControl.
 *
 * Ownership. An interface pointer that a method returned or QueryInterface wrote is one reference,
 * and the caller must Release it. A pointer that is an argument stays the caller's. Releasing an
 * operation does not cancel it [C9]. The holder of an interface pointer also holds a reference on
 * the driver that it came from until its last call has returned [C18].
 *
 * IRQL. Every slot but wait may be called at <= DISPATCH_LEVEL; none blocks, allocates, or touches
 * pageable memory. The caller's memory must be resident at its IRQL [C13]. An `out` needs no
 * alignment. A null `out` is answered with STATUS_INVALID_PARAMETER.
 *
 * The trap. NT_SUCCESS(STATUS_PENDING) is true, but there is a value for STATUS_SUCCESS only. The
 * helpers ..._try_get and ntcom::try_get answer whether there is a value.
 *
 * The header includes <stddef.h>, <stdint.h> and, on Windows, <guiddef.h> if there is one. It may
 * be included before or after the headers of Windows and of the DDK, because it declares their
 * types as they do. Define NTCOM_HAVE_NT_TYPES if NTSTATUS, ULONG, LONG, LONGLONG and GUID come
 * from elsewhere.
 */
#ifndef NTCOM_H
#define NTCOM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
#if __cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L)
#error "ntcom.h is C++17"
#endif
#else
#if !defined(__STDC_VERSION__) || __STDC_VERSION__ < 201112L
#error "ntcom.h is C11"
#endif
#endif

/* An earlier definition stays: a program that measures a wrong header must get past its asserts. */
#if !defined(NTCOM_STATIC_ASSERT)
#if defined(__cplusplus)
#define NTCOM_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define NTCOM_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif
#endif

/* The calling convention of every slot and every callback: the platform's own, which is stdcall on
 * 32-bit Windows. An earlier definition stays, for code on one platform that calls objects of
 * another, such as a simulated one. */
#if defined(NTCOM_CALL)
#elif defined(_WIN32) && (defined(_M_IX86) || defined(__i386__))
#define NTCOM_CALL __stdcall
#else
#define NTCOM_CALL
#endif

/* For helpers in a header. They cost nothing where they are not used. */
#if defined(__GNUC__) || defined(__clang__)
#define NTCOM_INLINE __attribute__((unused)) static inline
#else
#define NTCOM_INLINE static inline
#endif

/* ---- Types of Windows, declared once more, which both languages allow ---- */

#if !defined(NTCOM_HAVE_NT_TYPES)
#if defined(_WIN32)
typedef long LONG;
typedef unsigned long ULONG;
typedef long long LONGLONG;
#else
typedef int32_t LONG;
typedef uint32_t ULONG;
typedef int64_t LONGLONG;
#endif
typedef LONG NTSTATUS;
/* Windows's own header of GUID comes first. If a GUID were there already, wdm.h would leave that
 * header out, with everything else in it. */
#if defined(_WIN32) && defined(__has_include)
#if __has_include(<guiddef.h>)
#include <guiddef.h>
#endif
#endif
#if !defined(GUID_DEFINED)
#define GUID_DEFINED
typedef struct _GUID {
#if defined(_WIN32)
    unsigned long Data1;
#else
    uint32_t Data1;
#endif
    unsigned short Data2;
    unsigned short Data3;
    unsigned char Data4[8];
} GUID;
#endif
#endif

NTCOM_STATIC_ASSERT(sizeof(NTSTATUS) == 4 && (NTSTATUS)-1 < 0, "NTSTATUS is a signed 32-bit integer");
NTCOM_STATIC_ASSERT(sizeof(LONG) == 4 && (LONG)-1 < 0, "LONG is a signed 32-bit integer");
NTCOM_STATIC_ASSERT(sizeof(ULONG) == 4 && (ULONG)-1 > 0, "ULONG is an unsigned 32-bit integer");
NTCOM_STATIC_ASSERT(sizeof(LONGLONG) == 8 && (LONGLONG)-1 < 0, "LONGLONG is a signed 64-bit integer");
NTCOM_STATIC_ASSERT(sizeof(GUID) == 16, "a GUID has 16 bytes");
NTCOM_STATIC_ASSERT(offsetof(GUID, Data1) == 0 && offsetof(GUID, Data2) == 4, "a GUID's fields");
NTCOM_STATIC_ASSERT(offsetof(GUID, Data3) == 6 && offsetof(GUID, Data4) == 8, "a GUID's fields");

/* ---- Statuses ---- */

/* The NTSTATUS values of the contract, under names of our own, because ntstatus.h spells its macros
 * differently in different kits. */
#define NTCOM_STATUS_SUCCESS ((NTSTATUS)0x00000000)
#define NTCOM_STATUS_TIMEOUT ((NTSTATUS)0x00000102)
#define NTCOM_STATUS_PENDING ((NTSTATUS)0x00000103)
#define NTCOM_STATUS_UNSUCCESSFUL ((NTSTATUS)0xC0000001)
#define NTCOM_STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define NTCOM_STATUS_BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023)
#define NTCOM_STATUS_DELETE_PENDING ((NTSTATUS)0xC0000056)
#define NTCOM_STATUS_INSUFFICIENT_RESOURCES ((NTSTATUS)0xC000009A)
#define NTCOM_STATUS_IO_TIMEOUT ((NTSTATUS)0xC00000B5)
#define NTCOM_STATUS_NOT_SUPPORTED ((NTSTATUS)0xC00000BB)
#define NTCOM_STATUS_NAME_TOO_LONG ((NTSTATUS)0xC0000106)
#define NTCOM_STATUS_CANCELLED ((NTSTATUS)0xC0000120)
#define NTCOM_STATUS_PIPE_BROKEN ((NTSTATUS)0xC000014B)
#define NTCOM_STATUS_DRIVER_INTERNAL_ERROR ((NTSTATUS)0xC0000183)
#define NTCOM_STATUS_INVALID_DEVICE_STATE ((NTSTATUS)0xC0000184)
#define NTCOM_STATUS_POSSIBLE_DEADLOCK ((NTSTATUS)0xC0000194)
#define NTCOM_STATUS_NOINTERFACE ((NTSTATUS)0xC00002B9)

NTCOM_STATIC_ASSERT(NTCOM_STATUS_SUCCESS == 0 && NTCOM_STATUS_TIMEOUT == 258, "success codes");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_PENDING == 259, "STATUS_PENDING is a success code");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_UNSUCCESSFUL == -1073741823, "STATUS_UNSUCCESSFUL");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_INVALID_PARAMETER == -1073741811, "STATUS_INVALID_PARAMETER");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_BUFFER_TOO_SMALL == -1073741789, "STATUS_BUFFER_TOO_SMALL");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_DELETE_PENDING == -1073741738, "STATUS_DELETE_PENDING");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_INSUFFICIENT_RESOURCES == -1073741670, "STATUS_INSUFFICIENT_RESOURCES");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_IO_TIMEOUT == -1073741643, "STATUS_IO_TIMEOUT");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_NOT_SUPPORTED == -1073741637, "STATUS_NOT_SUPPORTED");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_NAME_TOO_LONG == -1073741562, "STATUS_NAME_TOO_LONG");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_CANCELLED == -1073741536, "STATUS_CANCELLED");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_PIPE_BROKEN == -1073741493, "STATUS_PIPE_BROKEN");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_DRIVER_INTERNAL_ERROR == -1073741437, "STATUS_DRIVER_INTERNAL_ERROR");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_INVALID_DEVICE_STATE == -1073741436, "STATUS_INVALID_DEVICE_STATE");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_POSSIBLE_DEADLOCK == -1073741420, "STATUS_POSSIBLE_DEADLOCK");
NTCOM_STATIC_ASSERT(NTCOM_STATUS_NOINTERFACE == -1073741127, "STATUS_NOINTERFACE");

/* The state of an operation, a signed 32-bit integer. A broken object may give other values. */
typedef int32_t ntcom_AsyncStatus;
#define NTCOM_STARTED ((ntcom_AsyncStatus)0)   /* it has not ended */
#define NTCOM_COMPLETED ((ntcom_AsyncStatus)1) /* it ended with a value */
#define NTCOM_CANCELED ((ntcom_AsyncStatus)2)  /* it was cancelled */
#define NTCOM_ERROR ((ntcom_AsyncStatus)3)     /* it failed */

NTCOM_STATIC_ASSERT(sizeof(ntcom_AsyncStatus) == 4 && (ntcom_AsyncStatus)-1 < 0, "signed, 32 bits");
NTCOM_STATIC_ASSERT(NTCOM_STARTED == 0 && NTCOM_COMPLETED == 1, "the contract's values");
NTCOM_STATIC_ASSERT(NTCOM_CANCELED == 2 && NTCOM_ERROR == 3, "the contract's values");

/* Has an operation with this status ended, for good [C6]? Not if the value is unknown. */
NTCOM_INLINE int ntcom_is_terminal(ntcom_AsyncStatus status) {
    return status == NTCOM_COMPLETED || status == NTCOM_CANCELED || status == NTCOM_ERROR;
}

/* Is there a value, if get_result answered this [C5]? For STATUS_SUCCESS only. NT_SUCCESS is the
 * wrong question, because it is true for STATUS_PENDING, too. */
NTCOM_INLINE int ntcom_has_value(NTSTATUS answer) { return answer == NTCOM_STATUS_SUCCESS; }

/* ---- IIDs ---- */

/* The fields of each IID, to initialise a GUID with. */
#define NTCOM_IID_IUNKNOWN_FIELDS {0x00000000, 0x0000, 0x0000, {0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x46}}
#define NTCOM_IID_IASYNCOPERATION_FIELDS {0xE18C01F5, 0x0ED4, 0x455B, {0x90, 0x38, 0x9D, 0x69, 0x16, 0x21, 0x38, 0x7B}}
#define NTCOM_IID_IASYNCCONTROL_FIELDS {0xD0D7CFEE, 0xCE81, 0x4CA0, {0x96, 0x5E, 0x49, 0xCF, 0xF7, 0xA6, 0xD5, 0x98}}

#if defined(__cplusplus)
#define NTCOM_CONSTANT inline constexpr
#else
#define NTCOM_CONSTANT static const
#endif
NTCOM_CONSTANT GUID ntcom_IID_IUnknown = NTCOM_IID_IUNKNOWN_FIELDS;
NTCOM_CONSTANT GUID ntcom_IID_IAsyncOperation = NTCOM_IID_IASYNCOPERATION_FIELDS; /* for every T */
NTCOM_CONSTANT GUID ntcom_IID_IAsyncControl = NTCOM_IID_IASYNCCONTROL_FIELDS;

/* Are the two the same? Neither is null. Implementations of QueryInterface need it. */
NTCOM_INLINE int ntcom_is_equal_guid(const GUID *a, const GUID *b) {
    int same = a->Data1 == b->Data1 && a->Data2 == b->Data2 && a->Data3 == b->Data3;
    for (int i = 0; i < 8; i++) {
        same = same && a->Data4[i] == b->Data4[i];
    }
    return same;
}

/* ---- C: tables ---- */

/* Asserts a slot's offset on 64-bit and on 32-bit, from the contract's table. */
#define NTCOM_ASSERT_OFFSET(type, member, on_64, on_32) \
    NTCOM_STATIC_ASSERT(offsetof(type, member) == (sizeof(void *) == 8 ? (on_64) : (on_32)), #type "." #member)
#define NTCOM_ASSERT_SIZE(type, on_64, on_32) \
    NTCOM_STATIC_ASSERT(sizeof(type) == (sizeof(void *) == 8 ? (on_64) : (on_32)), "the size of " #type)

/*
 * Slots 0 to 2 of every interface.
 *
 * QueryInterface [C1, C2]: writes the object's interface `iid` to *out, with a reference for the
 *   caller. STATUS_NOINTERFACE: the object lacks the interface. STATUS_INVALID_PARAMETER: `iid` or
 *   `out` is null. Every failure leaves NULL in *out. For IUnknown an object always gives the same
 *   pointer.
 * AddRef, Release [C3]: add and remove one reference. Only "zero or not" of the answer means
 *   anything: zero means that the object is gone.
 */
#define NTCOM_SLOTS_OF_IUNKNOWN                                                       \
    NTSTATUS(NTCOM_CALL *QueryInterface)(void *self, const GUID *iid, void **out);    \
    ULONG(NTCOM_CALL *AddRef)(void *self);                                            \
    ULONG(NTCOM_CALL *Release)(void *self);

#define NTCOM_ASSERT_SLOTS_OF_IUNKNOWN(vtbl)            \
    NTCOM_ASSERT_OFFSET(vtbl, QueryInterface, 0, 0);    \
    NTCOM_ASSERT_OFFSET(vtbl, AddRef, 8, 4);            \
    NTCOM_ASSERT_OFFSET(vtbl, Release, 16, 8)

/* Declares an interface `name` in C, and its first three helpers. */
#define NTCOM_DECLARE_INTERFACE(name)                                                                  \
    typedef struct name {                                                                              \
        const struct name##Vtbl *lpVtbl;                                                               \
    } name;                                                                                            \
    NTCOM_ASSERT_SIZE(name, 8, 4);                                                                     \
    NTCOM_ASSERT_OFFSET(name, lpVtbl, 0, 0);                                                           \
    NTCOM_INLINE NTSTATUS name##_QueryInterface(name *self, const GUID *iid, void **out) {             \
        return self->lpVtbl->QueryInterface(self, iid, out);                                           \
    }                                                                                                  \
    NTCOM_INLINE ULONG name##_AddRef(name *self) { return self->lpVtbl->AddRef(self); }                \
    NTCOM_INLINE ULONG name##_Release(name *self) { return self->lpVtbl->Release(self); }

/*
 * Declares IAsyncOperation<T> under a name of yours.
 * NTCOM_DECLARE_ASYNC_OPERATION(IAsyncOperationU32, uint32_t); declares the types
 * IAsyncOperationU32 and IAsyncOperationU32Vtbl, and the helpers IAsyncOperationU32_QueryInterface,
 * _AddRef, _Release, _get_status, _get_result, _try_get. Use it at file scope, outside of extern
 * "C". T is a type that may be copied byte by byte.
 *
 * The IID is the same for every T. The method that returned the operation fixes its T, and
 * get_result_size of IAsyncControl lets a careful client check it.
 *
 * get_status [C4]: writes NTCOM_STARTED, _COMPLETED, _CANCELED or _ERROR to *out; answers
 *   STATUS_SUCCESS.
 * get_result [C5]: answers STATUS_PENDING while Started. Completed: answers STATUS_SUCCESS, and
 *   *out is the value, at every call and on any processor. Canceled: answers STATUS_CANCELLED.
 *   Error: answers the failure, a status for which NT_SUCCESS is false. With any answer but
 *   STATUS_SUCCESS the whole of *out is zero. The padding of a value is zero, too. An operation in
 *   C therefore zeroes *out and then writes the members, because a copy of a struct would give away
 *   kernel memory in its padding.
 * try_get: returns 1 if there is a value, which is then in *out, else 0. *why is the answer of
 *   get_result. A success code that breaks the contract becomes STATUS_DRIVER_INTERNAL_ERROR. So
 *   after 0 it is STATUS_PENDING or a failure.
 */
#define NTCOM_DECLARE_ASYNC_OPERATION(name, T)                                            \
    typedef struct name##Vtbl {                                                           \
        NTCOM_SLOTS_OF_IUNKNOWN                                                           \
        NTSTATUS(NTCOM_CALL *get_status)(void *self, ntcom_AsyncStatus *out);             \
        NTSTATUS(NTCOM_CALL *get_result)(void *self, T *out);                             \
    } name##Vtbl;                                                                         \
    NTCOM_ASSERT_SLOTS_OF_IUNKNOWN(name##Vtbl);                                           \
    NTCOM_ASSERT_OFFSET(name##Vtbl, get_status, 24, 12);                                  \
    NTCOM_ASSERT_OFFSET(name##Vtbl, get_result, 32, 16);                                  \
    NTCOM_ASSERT_SIZE(name##Vtbl, 40, 20);                                                \
    NTCOM_DECLARE_INTERFACE(name)                                                         \
    NTCOM_INLINE NTSTATUS name##_get_status(name *self, ntcom_AsyncStatus *out) {         \
        return self->lpVtbl->get_status(self, out);                                       \
    }                                                                                     \
    NTCOM_INLINE NTSTATUS name##_get_result(name *self, T *out) {                         \
        return self->lpVtbl->get_result(self, out);                                       \
    }                                                                                     \
    NTCOM_INLINE int name##_try_get(name *self, T *out, NTSTATUS *why) {                  \
        *why = ntcom_checked_answer(name##_get_result(self, out));                        \
        return ntcom_has_value(*why);                                                     \
    }                                                                                     \
    NTCOM_STATIC_ASSERT(sizeof(name) == sizeof(void *), #name " is one pointer")

/* For try_get: the answer, or STATUS_DRIVER_INTERNAL_ERROR for success codes that operations never
 * give. */
NTCOM_INLINE NTSTATUS ntcom_checked_answer(NTSTATUS answer) {
    int odd = answer > 0 && answer != NTCOM_STATUS_PENDING;
    return odd ? NTCOM_STATUS_DRIVER_INTERNAL_ERROR : answer;
}

/*
 * A completion handler. IAsyncControl calls it once when the operation has ended [C14], with the
 * context given to set_completed and the terminal status. The call is under no lock, at <=
 * DISPATCH_LEVEL, on any processor. The handler may release the last reference of the operation. It
 * must not unwind [C12].
 */
typedef void(NTCOM_CALL *ntcom_CompletedHandler)(void *context, ntcom_AsyncStatus status);

#if defined(__cplusplus)
extern "C" {
#endif

/* An object with only IUnknown known. */
typedef struct ntcom_IUnknownVtbl {
    NTCOM_SLOTS_OF_IUNKNOWN
} ntcom_IUnknownVtbl;
NTCOM_ASSERT_SLOTS_OF_IUNKNOWN(ntcom_IUnknownVtbl);
NTCOM_ASSERT_SIZE(ntcom_IUnknownVtbl, 24, 12);
NTCOM_DECLARE_INTERFACE(ntcom_IUnknown)

/* An operation with an unknown T or the empty type. `out` of get_result has room for any T, and is
 * never null. */
NTCOM_DECLARE_ASYNC_OPERATION(ntcom_IAsyncOperation, void);

/*
 * IAsyncControl, which QueryInterface of an operation gives for ntcom_IID_IAsyncControl.
 *
 * cancel [C10]: asks the operation to end soon. It always answers STATUS_SUCCESS, and is harmless
 *   after the end. The operation may still complete. It has ended when get_status says so, and not
 *   when cancel returns.
 * get_error [C16]: writes STATUS_PENDING to *out while Started, STATUS_SUCCESS when Completed, else
 *   the answer of get_result. Answers STATUS_SUCCESS.
 * set_completed [C14]: has `handler` called with `context` when the operation has ended. If it has
 *   ended already, the call is at once, inside of set_completed. STATUS_INVALID_PARAMETER:
 *   `handler` is null. STATUS_INVALID_DEVICE_STATE: the operation has a handler. A handler cannot
 *   be withdrawn, so handler, context and their image must stay until it has returned. It may run
 *   before the cancel or the wake that ended the operation has returned, so hold no lock that it
 *   takes.
 * A handler that begins the next operation and calls set_completed on it NESTS where that operation
 *   has ended already. A few hundred of them overflow a kernel stack. Begin operations in a row
 *   from a loop instead, and have the handler only give the loop a turn:
 *     handler: if (fetch_add(&turns, 1) == 0) loop();
 *     loop:    do { take the result; begin the next; } while (fetch_sub(&turns, 1) != 1);
 * docs/c-clients.md has a whole one.
 * wait [C15]: answers STATUS_SUCCESS when the operation has ended, and STATUS_TIMEOUT (a success
 *   code) when the time is over. `timeout` is in units of 100 ns. Negative is from now, positive is
 *   a moment of system time, zero only looks, and null is for ever. Above PASSIVE_LEVEL any timeout
 *   but zero is STATUS_NOT_SUPPORTED. The operation's own body gets STATUS_POSSIBLE_DEADLOCK,
 *   except for a zero timeout. A longer cycle of waits is not noticed, and does not end. The
 *   operation stays until the wait is over, even if its last reference goes meanwhile.
 * get_result_size [C16]: writes the size of T in bytes to *size. Answers STATUS_SUCCESS.
 */
typedef struct ntcom_IAsyncControlVtbl {
    NTCOM_SLOTS_OF_IUNKNOWN
    NTSTATUS(NTCOM_CALL *cancel)(void *self);
    NTSTATUS(NTCOM_CALL *get_error)(void *self, NTSTATUS *out);
    NTSTATUS(NTCOM_CALL *set_completed)(void *self, ntcom_CompletedHandler handler, void *context);
    NTSTATUS(NTCOM_CALL *wait)(void *self, const LONGLONG *timeout);
    NTSTATUS(NTCOM_CALL *get_result_size)(void *self, ULONG *size);
} ntcom_IAsyncControlVtbl;
NTCOM_ASSERT_SLOTS_OF_IUNKNOWN(ntcom_IAsyncControlVtbl);
NTCOM_ASSERT_OFFSET(ntcom_IAsyncControlVtbl, cancel, 24, 12);
NTCOM_ASSERT_OFFSET(ntcom_IAsyncControlVtbl, get_error, 32, 16);
NTCOM_ASSERT_OFFSET(ntcom_IAsyncControlVtbl, set_completed, 40, 20);
NTCOM_ASSERT_OFFSET(ntcom_IAsyncControlVtbl, wait, 48, 24);
NTCOM_ASSERT_OFFSET(ntcom_IAsyncControlVtbl, get_result_size, 56, 28);
NTCOM_ASSERT_SIZE(ntcom_IAsyncControlVtbl, 64, 32);
NTCOM_DECLARE_INTERFACE(ntcom_IAsyncControl)

NTCOM_INLINE NTSTATUS ntcom_IAsyncControl_cancel(ntcom_IAsyncControl *self) { return self->lpVtbl->cancel(self); }
NTCOM_INLINE NTSTATUS ntcom_IAsyncControl_get_error(ntcom_IAsyncControl *self, NTSTATUS *out) {
    return self->lpVtbl->get_error(self, out);
}
NTCOM_INLINE NTSTATUS ntcom_IAsyncControl_set_completed(ntcom_IAsyncControl *self, ntcom_CompletedHandler handler,
                                                        void *context) {
    return self->lpVtbl->set_completed(self, handler, context);
}
NTCOM_INLINE NTSTATUS ntcom_IAsyncControl_wait(ntcom_IAsyncControl *self, const LONGLONG *timeout) {
    return self->lpVtbl->wait(self, timeout);
}
NTCOM_INLINE NTSTATUS ntcom_IAsyncControl_get_result_size(ntcom_IAsyncControl *self, ULONG *size) {
    return self->lpVtbl->get_result_size(self, size);
}

#if defined(__cplusplus)
} /* extern "C" */

/* ---- C++: abstract classes with the slots and the promises of the tables above ---- */

namespace ntcom {

using AsyncStatus = ::ntcom_AsyncStatus;
using CompletedHandler = ::ntcom_CompletedHandler;

/* Objects are released, never deleted. */
class IUnknown {
public:
    static constexpr const GUID &iid = ntcom_IID_IUnknown;
    virtual NTSTATUS NTCOM_CALL QueryInterface(const GUID *interface_id, void **out) noexcept = 0;
    virtual ULONG NTCOM_CALL AddRef() noexcept = 0;
    virtual ULONG NTCOM_CALL Release() noexcept = 0;

protected:
    ~IUnknown() = default;
};

/* void stands for an unknown T, or for the empty type. */
template <class T> class IAsyncOperation : public IUnknown {
public:
    static constexpr const GUID &iid = ntcom_IID_IAsyncOperation;
    virtual NTSTATUS NTCOM_CALL get_status(AsyncStatus *out) noexcept = 0;
    virtual NTSTATUS NTCOM_CALL get_result(T *out) noexcept = 0;

protected:
    ~IAsyncOperation() = default;
};

class IAsyncControl : public IUnknown {
public:
    static constexpr const GUID &iid = ntcom_IID_IAsyncControl;
    virtual NTSTATUS NTCOM_CALL cancel() noexcept = 0;
    virtual NTSTATUS NTCOM_CALL get_error(NTSTATUS *out) noexcept = 0;
    virtual NTSTATUS NTCOM_CALL set_completed(CompletedHandler handler, void *context) noexcept = 0;
    virtual NTSTATUS NTCOM_CALL wait(const LONGLONG *timeout) noexcept = 0;
    virtual NTSTATUS NTCOM_CALL get_result_size(ULONG *size) noexcept = 0;

protected:
    ~IAsyncControl() = default;
};

static_assert(sizeof(IUnknown) == sizeof(void *), "an interface is one pointer");
static_assert(sizeof(IAsyncOperation<void>) == sizeof(void *), "an interface is one pointer");
static_assert(sizeof(IAsyncOperation<uint64_t>) == sizeof(void *), "an interface is one pointer");
static_assert(sizeof(IAsyncControl) == sizeof(void *), "an interface is one pointer");

/* QueryInterface, typed: *out is null, or one reference that is the caller's. */
template <class Interface> NTSTATUS query(IUnknown &object, Interface **out) noexcept {
    void *found = nullptr;
    NTSTATUS answer = object.QueryInterface(&Interface::iid, &found);
    *out = static_cast<Interface *>(found);
    return answer;
}

/* True if there is a value and *out is it. *why is as for ..._try_get in C. */
template <class T> bool try_get(IAsyncOperation<T> &operation, T *out, NTSTATUS *why) noexcept {
    *why = ntcom_checked_answer(operation.get_result(out));
    return ntcom_has_value(*why) != 0;
}

} // namespace ntcom
#endif

#endif /* NTCOM_H */
