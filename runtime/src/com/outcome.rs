//! Methods that return a `Result`: a status crosses, and the value through a pointer.

use core::mem::MaybeUninit;

use ntcom_exec::no_unwind;

use super::{
    AbiType, ComRc, Interface,
    write::{WriteBytes, fits_a_stack},
};
use crate::NTSTATUS;

/// The status of a method that hands nothing out.
pub fn status<E: Into<NTSTATUS>>(call: impl FnOnce() -> Result<(), E>) -> NTSTATUS {
    match no_unwind(call) {
        Ok(()) => NTSTATUS::SUCCESS,
        Err(error) => failure(error),
    }
}

/// What is said of an error is always a failure, as in `[C7]`.
fn failure<E: Into<NTSTATUS>>(error: E) -> NTSTATUS {
    no_unwind(|| error.into()).as_failure()
}

/// The status of a method, and its value. Without a pointer for the value the method is not called.
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
            // SAFETY: not null, so writable. Every byte is written: padding that was copied would
            // be what the stack held [C5].
            unsafe { value.write_bytes(out.cast()) };
            NTSTATUS::SUCCESS
        }
        Err(error) => {
            // SAFETY: as above. A client that does not look at the status reads no garbage [C5].
            unsafe { out.cast::<u8>().write_bytes(0, size_of::<T>()) };
            failure(error)
        }
    }
}

/// The same for an interface: the pointer that is handed out owns the reference.
///
/// # Safety
/// As for [`status_and_value`].
pub unsafe fn status_and_interface<I: Interface, E: Into<NTSTATUS>>(
    out: *mut *mut I,
    call: impl FnOnce() -> Result<ComRc<I>, E>,
) -> NTSTATUS {
    // SAFETY: this function's contract.
    unsafe { status_and_value(out, || call().map(ComRc::into_raw)) }
}

/// What a client makes of a status: success codes other than `STATUS_SUCCESS` are a breach `[C17]`.
///
/// # Errors
/// The status; `STATUS_DRIVER_INTERNAL_ERROR` for such a breach.
pub const fn checked(status: NTSTATUS) -> Result<(), NTSTATUS> {
    match status {
        NTSTATUS::SUCCESS => Ok(()),
        failure if !failure.is_success() => Err(failure),
        _ => Err(NTSTATUS::DRIVER_INTERNAL_ERROR),
    }
}

/// What a client makes of a status and a value.
///
/// # Errors
/// As for [`checked`].
///
/// # Safety
/// Every pattern of bits that the call writes is a `T`.
pub unsafe fn value<T: AbiType>(call: impl FnOnce(*mut T) -> NTSTATUS) -> Result<T, NTSTATUS> {
    const { fits_a_stack::<T>() };
    let mut out = MaybeUninit::<T>::zeroed();
    checked(call(out.as_mut_ptr()))?;
    // SAFETY: the bytes were zeroed before the object wrote to them.
    Ok(unsafe { out.assume_init() })
}

/// What a client makes of a status and an interface.
///
/// # Errors
/// As for [`checked`]; `STATUS_DRIVER_INTERNAL_ERROR` also for a null pointer, and an interface without its first three slots.
///
/// # Safety
/// Where the call succeeds it writes null, or a pointer to this interface with a reference.
pub unsafe fn interface<I: Interface>(
    call: impl FnOnce(*mut *mut I) -> NTSTATUS,
) -> Result<ComRc<I>, NTSTATUS> {
    let mut out = core::ptr::null_mut();
    checked(call(&raw mut out))?;
    // SAFETY: this function's contract.
    unsafe { ComRc::from_raw(out) }.map_err(|_| NTSTATUS::DRIVER_INTERNAL_ERROR)
}
