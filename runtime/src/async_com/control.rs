//! The slots of `IAsyncControl` of our operations.

use core::{ffi::c_void, mem::transmute};

use ntcom_exec::{Completion, NTSTATUS};

use super::{
    abi::{AsyncControlVtbl, CompletedHandler},
    operation::{CONTROL, Object, adjust, unknown_slots},
};

/// The table of `IAsyncControl`, an operation's second interface.
pub(super) const fn slots<O: Object>() -> AsyncControlVtbl {
    AsyncControlVtbl {
        base: unknown_slots::<O, CONTROL>(),
        cancel: Some(cancel::<O>),
        get_error: Some(get_error::<O>),
        set_completed: Some(set_completed::<O>),
        wait: Some(wait::<O>),
        get_result_size: Some(get_result_size::<O>),
    }
}

unsafe extern "system" fn cancel<O: Object>(this: *mut c_void) -> NTSTATUS {
    // SAFETY: `this` is this interface of an operation `O`, to which the client holds a reference.
    unsafe { adjust::<O, CONTROL>(this) }.cancel();
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn get_error<O: Object>(this: *mut c_void, out: *mut NTSTATUS) -> NTSTATUS {
    if out.is_null() {
        return NTSTATUS::INVALID_PARAMETER;
    }
    // SAFETY: `this` is this interface of an operation `O`, to which the client holds a reference.
    let operation = unsafe { adjust::<O, CONTROL>(this) };
    // SAFETY: not null; a client's `out` is writable, and needs no alignment.
    unsafe { out.write_unaligned(operation.outcome()) };
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn set_completed<O: Object>(
    this: *mut c_void,
    handler: Option<CompletedHandler>,
    context: *mut c_void,
) -> NTSTATUS {
    let Some(handler) = handler else { return NTSTATUS::INVALID_PARAMETER };
    // SAFETY: `RawAsyncStatus` is transparent over `i32`, so the two function types have one ABI.
    let function = unsafe {
        transmute::<CompletedHandler, unsafe extern "system" fn(context: *mut c_void, status: i32)>(handler)
    };
    // SAFETY: `this` is this interface of an operation `O`, to which the client holds a reference.
    // The view is not used after the handler has run, which may release the last reference.
    let task = unsafe { adjust::<O, CONTROL>(this) }.task();
    // SAFETY: the client's reference keeps the block alive; the client promises that the handler
    // may be called so, once [C14].
    match unsafe { task.set_completion(Completion { function, context }) } {
        Ok(()) => NTSTATUS::SUCCESS,
        Err(status) => status,
    }
}

unsafe extern "system" fn wait<O: Object>(this: *mut c_void, timeout: *const i64) -> NTSTATUS {
    // SAFETY: a client's timeout is null or readable, and needs no alignment.
    let timeout = if timeout.is_null() { None } else { Some(unsafe { timeout.read_unaligned() }) };
    // SAFETY: `this` is this interface of an operation `O`, to which the client holds a reference.
    // The view is not used after the wait, during which that reference may go.
    let task = unsafe { adjust::<O, CONTROL>(this) }.task();
    // SAFETY: the client's reference keeps the block alive when the wait begins.
    unsafe { task.wait(timeout) }
}

unsafe extern "system" fn get_result_size<O: Object>(_this: *mut c_void, size: *mut u32) -> NTSTATUS {
    if size.is_null() {
        return NTSTATUS::INVALID_PARAMETER;
    }
    let Some(value) = O::VALUE_SIZE else { return NTSTATUS::NOT_SUPPORTED };
    // SAFETY: not null; a client's `size` is writable, and needs no alignment.
    unsafe { size.write_unaligned(value) };
    NTSTATUS::SUCCESS
}
