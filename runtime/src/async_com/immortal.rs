//! The operation that a spawn returns when there is no memory for one `[C11]`.
//!
//! It is a constant, one for each `T`, with both interfaces. It counts no references, so all
//! clients share its identity.

use core::{ffi::c_void, marker::PhantomData};

use ntcom_exec::NTSTATUS;

use super::{
    AsyncValueType,
    abi::{AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, CompletedHandler},
    operation::{CONTROL, Head, interface_offset},
    status::{AsyncStatus, RawAsyncStatus},
};
use crate::com::{GUID, IUnknownVtbl, statics::one_reference, unknown::answer_query, write::fits_a_stack};

const STATUS: NTSTATUS = NTSTATUS::INSUFFICIENT_RESOURCES;

struct Immortal<T>(PhantomData<T>);

impl<T: AsyncValueType> Immortal<T> {
    const HEAD: &'static Head<T> = {
        fits_a_stack::<T>();
        &Head {
            operation: AsyncOperationRaw {
                vtbl: &AsyncOperationVtbl {
                    base: unknown_slots::<0>(),
                    get_status: Some(get_status),
                    get_result: Some(get_result::<T>),
                },
            },
            control: AsyncControlRaw {
                vtbl: &AsyncControlVtbl {
                    base: unknown_slots::<CONTROL>(),
                    cancel: Some(cancel),
                    get_error: Some(get_error),
                    set_completed: Some(set_completed),
                    wait: Some(wait),
                    get_result_size: Some(get_result_size::<T>),
                },
            },
        }
    };
}

/// The operation in state Error with `STATUS_INSUFFICIENT_RESOURCES`.
pub(super) fn raw<T: AsyncValueType>() -> *mut AsyncOperationRaw<T> {
    core::ptr::from_ref(Immortal::<T>::HEAD).cast_mut().cast()
}

const fn unknown_slots<const OFFSET: usize>() -> IUnknownVtbl {
    IUnknownVtbl {
        QueryInterface: Some(query_interface::<OFFSET>),
        AddRef: Some(one_reference),
        Release: Some(one_reference),
    }
}

unsafe extern "system" fn query_interface<const OFFSET: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    let interface = |iid| Some(this.wrapping_byte_sub(OFFSET).wrapping_byte_add(interface_offset(iid)?));
    // SAFETY: a client's `iid` is null or readable, and its `out` null or writable [C1].
    unsafe { answer_query(iid, out, interface) }
}

unsafe extern "system" fn get_status(_this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
    // SAFETY: a client's `out` is null or writable [C4].
    unsafe { write(out, AsyncStatus::Error.into()) }
}

unsafe extern "system" fn get_result<T>(_this: *mut c_void, out: *mut T) -> NTSTATUS {
    if out.is_null() {
        return NTSTATUS::INVALID_PARAMETER;
    }
    // SAFETY: not null; a client's `out` is writable.
    unsafe { out.cast::<u8>().write_bytes(0, size_of::<T>()) };
    STATUS
}

unsafe extern "system" fn cancel(_this: *mut c_void) -> NTSTATUS {
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn get_error(_this: *mut c_void, out: *mut NTSTATUS) -> NTSTATUS {
    // SAFETY: a client's `out` is null or writable [C16].
    unsafe { write(out, STATUS) }
}

unsafe extern "system" fn set_completed(
    _this: *mut c_void,
    handler: Option<CompletedHandler>,
    context: *mut c_void,
) -> NTSTATUS {
    let Some(handler) = handler else { return NTSTATUS::INVALID_PARAMETER };
    // SAFETY: the client promises that the handler may be called so [C14]. This operation accepts
    // every handler, and calls it at once.
    unsafe { handler(context, AsyncStatus::Error.into()) };
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn wait(_this: *mut c_void, _timeout: *const i64) -> NTSTATUS {
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn get_result_size<T>(_this: *mut c_void, size: *mut u32) -> NTSTATUS {
    match u32::try_from(size_of::<T>()) {
        // SAFETY: a client's `size` is null or writable [C16].
        Ok(value) => unsafe { write(size, value) },
        Err(_) => NTSTATUS::NOT_SUPPORTED,
    }
}

/// # Safety
/// `out` is null or writable.
unsafe fn write<V>(out: *mut V, value: V) -> NTSTATUS {
    if out.is_null() {
        return NTSTATUS::INVALID_PARAMETER;
    }
    // SAFETY: not null; needs no alignment.
    unsafe { out.write_unaligned(value) };
    NTSTATUS::SUCCESS
}
