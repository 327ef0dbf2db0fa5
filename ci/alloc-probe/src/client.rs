//! Uses operations of any implementation, through their tables.
use core::{
    ffi::c_void,
    future::{Future as _, IntoFuture as _},
    pin::pin,
    task::{Context, Poll, Waker},
};

use ntcom::{AsyncControlRaw, AsyncOperationRaw, AsyncStatus, ComRc, NTSTATUS};

fn take<T>(raw: *mut AsyncOperationRaw<T>) -> Option<ComRc<AsyncOperationRaw<T>>> {
    // SAFETY: no code calls the functions of this crate. A caller would have to hand over a
    // reference.
    unsafe { ComRc::from_raw(raw) }.ok()
}

/// Reads the status and the value, and takes references on the way.
#[unsafe(no_mangle)]
pub extern "C" fn probe_client_result(raw: *mut AsyncOperationRaw<u64>) -> u64 {
    let Some(operation) = take(raw) else { return 0 };
    let again = operation.clone();
    if operation.status() != Ok(AsyncStatus::Completed) {
        return 0;
    }
    again.result().unwrap_or(0)
}

/// Reads a large value.
#[unsafe(no_mangle)]
pub extern "C" fn probe_client_big(raw: *mut AsyncOperationRaw<[u64; 64]>) -> u64 {
    let Some(operation) = take(raw) else { return 0 };
    operation.result().map_or(0, |value| value.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word)))
}

/// Cancels an operation by `IAsyncControl`, and asks for its error and the size of its value.
#[unsafe(no_mangle)]
pub extern "C" fn probe_client_control(raw: *mut AsyncOperationRaw<u64>) -> NTSTATUS {
    let Some(operation) = take(raw) else { return NTSTATUS::INVALID_PARAMETER };
    let control: ComRc<AsyncControlRaw> = match operation.control() {
        Ok(control) => control,
        Err(status) => return status,
    };
    if let Err(status) = control.cancel() {
        return status;
    }
    match (control.error(), control.result_size()) {
        (Ok(status), Ok(_)) | (Err(status), _) | (_, Err(status)) => status,
    }
}

/// Turns an operation into a raw pointer and back.
#[unsafe(no_mangle)]
pub extern "C" fn probe_client_into_raw(raw: *mut AsyncOperationRaw<u64>) -> *mut c_void {
    take(raw).map_or(core::ptr::null_mut(), |operation| operation.into_raw().cast())
}

/// Makes a future of an operation, polls it once, and drops it.
#[unsafe(no_mangle)]
pub extern "C" fn probe_client_future(raw: *mut AsyncOperationRaw<u64>) -> u64 {
    let Some(operation) = take(raw) else { return 0 };
    let mut future = pin!(operation.into_future().cancel_on_drop().with_polling());
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(value)) => value,
        _ => 0,
    }
}
