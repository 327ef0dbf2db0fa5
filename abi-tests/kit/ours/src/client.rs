//! The Rust client, which uses objects that the kit has made.

use core::ffi::c_void;

use ntcom::{AsyncOperationRaw, ComRc, IUnknownRaw, Interface, NTSTATUS};

/// The error of a provider that breaks the contract. A declared method that returns null gives it
/// too.
const BROKEN: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;

/// Lends an interface to `use_it`. The reference stays the caller's.
///
/// # Safety
/// `this` is null, or a living interface `I`, or one with a broken table that `ComRc::from_raw`
/// detects.
unsafe fn lent<I: Interface, R>(
    this: *mut c_void,
    use_it: impl FnOnce(&ComRc<I>) -> Result<R, NTSTATUS>,
) -> Result<R, NTSTATUS> {
    let this = this.cast();
    // SAFETY: the caller passes such a pointer, and keeps its reference until this has returned.
    use_it(unsafe { ComRc::<I>::from_raw_borrowed(&this) }.map_err(|_| BROKEN)?)
}

fn answer<T>(answer: Result<T, NTSTATUS>, out: impl FnOnce(T)) -> i32 {
    match answer {
        Ok(value) => {
            out(value);
            NTSTATUS::SUCCESS.0
        }
        Err(status) => status.0,
    }
}

/// A kind that the kit asks about. Its number is the header's.
const U8: u32 = 1;

pub(crate) unsafe extern "C" fn client_result(operation: *mut c_void, kind: u32, out: *mut c_void) -> i32 {
    if kind == U8 {
        // SAFETY: the kit passes an object that the client must be able to judge.
        let value = unsafe { lent(operation, |operation: &ComRc<AsyncOperationRaw<u8>>| operation.result()) };
        // SAFETY: the kit passes room for the kind's value.
        return answer(value, |value| unsafe { out.cast::<u8>().write_unaligned(value) });
    }
    // SAFETY: the kit passes an object that the client must be able to judge.
    let value = unsafe { lent(operation, |operation: &ComRc<AsyncOperationRaw<u64>>| operation.result()) };
    // SAFETY: the kit passes room for the kind's value.
    answer(value, |value| unsafe { out.cast::<u64>().write_unaligned(value) })
}

pub(crate) unsafe extern "C" fn client_status(operation: *mut c_void, _kind: u32, out: *mut i32) -> i32 {
    // SAFETY: the kit passes an object that the client must be able to judge. The status does not
    // depend on the type.
    let status = unsafe { lent(operation, |operation: &ComRc<AsyncOperationRaw<u64>>| operation.status()) };
    // SAFETY: the kit passes room for a status.
    answer(status, |status| unsafe { out.write_unaligned(status as i32) })
}

pub(crate) unsafe extern "C" fn client_query(unknown: *mut c_void, kind: u32) -> i32 {
    // SAFETY: the kit passes an object that the client must be able to judge.
    let found = unsafe {
        lent(unknown, |object: &ComRc<IUnknownRaw>| match kind {
            U8 => object.query::<AsyncOperationRaw<u8>>().map(drop),
            _ => object.query::<AsyncOperationRaw<u64>>().map(drop),
        })
    };
    answer(found, |()| {})
}
