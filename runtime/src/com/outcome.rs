//! Methods that return a `Result`. A status crosses the interface, and the value goes through a
//! pointer.

use core::mem::MaybeUninit;

use ntcom_exec::no_unwind;

use super::{
    AbiType, ComRc, Interface,
    write::{WriteBytes, fits_a_stack},
};
use crate::NTSTATUS;

/// Calls a method without a value, and returns its status.
pub fn status<E: Into<NTSTATUS>>(call: impl FnOnce() -> Result<(), E>) -> NTSTATUS {
    match no_unwind(call) {
        Ok(()) => NTSTATUS::SUCCESS,
        Err(error) => failure(error),
    }
}

/// Converts an error to a status, which is always a failure, as in `[C7]`.
fn failure<E: Into<NTSTATUS>>(error: E) -> NTSTATUS {
    no_unwind(|| error.into()).as_failure()
}

/// Calls a method, writes its value to `out`, and returns its status. If `out` is null, the method
/// is not called.
///
/// # Safety
/// `out` is null or writable; it needs no alignment.
pub unsafe fn status_and_value<T: Copy + WriteBytes, E: Into<NTSTATUS>>(
    out: *mut T,
    call: impl FnOnce() -> Result<T, E>,
) -> NTSTATUS {
    const { fits_a_stack::<T>() };
    if out.is_null() {
        return NTSTATUS::INVALID_PARAMETER;
    }
    match no_unwind(call) {
        Ok(value) => {
            // SAFETY: `out` is not null, so it is writable. `write_bytes` writes every byte,
            // because a copy's padding would hold old stack contents [C5].
            unsafe { value.write_bytes(out.cast()) };
            NTSTATUS::SUCCESS
        }
        Err(error) => {
            // SAFETY: `out` is not null, so it is writable. The zeros keep garbage from a client
            // that does not look at the status [C5].
            unsafe { out.cast::<u8>().write_bytes(0, size_of::<T>()) };
            failure(error)
        }
    }
}

/// Calls a method that yields an interface, and returns its status. The pointer written to `out`
/// owns the reference.
///
/// # Safety
/// As for [`status_and_value`].
pub unsafe fn status_and_interface<I: Interface, E: Into<NTSTATUS>>(
    out: *mut *mut I,
    call: impl FnOnce() -> Result<ComRc<I>, E>,
) -> NTSTATUS {
    // SAFETY: the caller passes an `out` that is null or writable.
    unsafe { status_and_value(out, || call().map(ComRc::into_raw)) }
}

/// Converts a status to a client's `Result`. A success code other than `STATUS_SUCCESS` is a breach
/// of contract `[C17]`.
///
/// # Errors
/// The status if it is a failure; `STATUS_DRIVER_INTERNAL_ERROR` for such a breach.
pub const fn checked(status: NTSTATUS) -> Result<(), NTSTATUS> {
    match status {
        NTSTATUS::SUCCESS => Ok(()),
        failure if !failure.is_success() => Err(failure),
        _ => Err(NTSTATUS::DRIVER_INTERNAL_ERROR),
    }
}

/// Converts a status and a value to a client's `Result`.
///
/// # Errors
/// As for [`checked`].
///
/// # Safety
/// Every bit pattern that the call writes is a `T`.
pub unsafe fn value<T: AbiType>(call: impl FnOnce(*mut T) -> NTSTATUS) -> Result<T, NTSTATUS> {
    const { fits_a_stack::<T>() };
    let mut out = MaybeUninit::<T>::zeroed();
    checked(call(out.as_mut_ptr()))?;
    // SAFETY: the bytes were zeroed before the object wrote to them, and every bit pattern is a
    // `T`, as the caller guarantees.
    Ok(unsafe { out.assume_init() })
}

/// Converts a status and an interface pointer to a client's `Result`.
///
/// # Errors
/// As for [`checked`]; `STATUS_DRIVER_INTERNAL_ERROR` also for a null pointer, and an interface
/// without its first three slots.
///
/// # Safety
/// If the call succeeds, it writes null, or a pointer to this interface with a reference.
pub unsafe fn interface<I: Interface>(
    call: impl FnOnce(*mut *mut I) -> NTSTATUS,
) -> Result<ComRc<I>, NTSTATUS> {
    let mut out = core::ptr::null_mut();
    checked(call(&raw mut out))?;
    // SAFETY: the caller guarantees that `out` is null, or a pointer to this interface with a
    // reference.
    unsafe { ComRc::from_raw(out) }.map_err(|_| NTSTATUS::DRIVER_INTERNAL_ERROR)
}
