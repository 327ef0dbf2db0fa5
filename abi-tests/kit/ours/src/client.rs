//! The Rust client, in the hands of objects that the kit has made.

use core::ffi::c_void;

use ntcom::{AsyncOperationRaw, ComRc, IUnknownRaw, Interface, NTSTATUS};

/// What a provider that breaks the contract becomes, as where a declared method returns null.
const BROKEN: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;

/// Lends an interface for as long as `use_it` takes: the reference stays the caller's.
///
/// # Safety
/// Null, or an interface `I` that lives, or whose table is broken in a way that `ComRc::from_raw` finds.
unsafe fn lent<I: Interface, R>(
    this: *mut c_void,
    use_it: impl FnOnce(&ComRc<I>) -> Result<R, NTSTATUS>,
) -> Result<R, NTSTATUS> {
    // SAFETY: this function's contract; the reference is not given up below.
    let object = unsafe { ComRc::<I>::from_raw(this.cast()) }.map_err(|_| BROKEN)?;
    let object = core::mem::ManuallyDrop::new(object);
    use_it(&object)
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

/// The kinds that the kit asks about.
const U8: u32 = 1;

pub(crate) unsafe extern "C" fn client_result(operation: *mut c_void, kind: u32, out: *mut c_void) -> i32 {
    if kind == U8 {
        // SAFETY: the header.
        let value = unsafe { lent(operation, |operation: &ComRc<AsyncOperationRaw<u8>>| operation.result()) };
        // SAFETY: the header: room for the kind's value.
        return answer(value, |value| unsafe { out.cast::<u8>().write_unaligned(value) });
    }
    // SAFETY: the header.
    let value = unsafe { lent(operation, |operation: &ComRc<AsyncOperationRaw<u64>>| operation.result()) };
    // SAFETY: the header: room for the kind's value.
    answer(value, |value| unsafe { out.cast::<u64>().write_unaligned(value) })
}

pub(crate) unsafe extern "C" fn client_status(operation: *mut c_void, _kind: u32, out: *mut i32) -> i32 {
    // SAFETY: the header; the status does not depend on the type.
    let status = unsafe { lent(operation, |operation: &ComRc<AsyncOperationRaw<u64>>| operation.status()) };
    // SAFETY: the header: room for a status.
    answer(status, |status| unsafe { out.write_unaligned(status as i32) })
}

pub(crate) unsafe extern "C" fn client_query(unknown: *mut c_void, kind: u32) -> i32 {
    // SAFETY: the header.
    let found = unsafe {
        lent(unknown, |object: &ComRc<IUnknownRaw>| match kind {
            U8 => object.query::<AsyncOperationRaw<u8>>().map(drop),
            _ => object.query::<AsyncOperationRaw<u64>>().map(drop),
        })
    };
    answer(found, |()| {})
}
