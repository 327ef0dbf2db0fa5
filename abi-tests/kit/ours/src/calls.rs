//! Functions of the table for bodies and wakers. A waker is a box on the host's heap, and a task is
//! the context of the poll.

use core::{
    ffi::c_void,
    task::{Context, Waker},
};

use ntcom::{CancelHandle, is_cancellation_requested, take_cancellation_request};

/// # Safety
/// `task` is the task of the current poll.
unsafe fn waker<'a>(task: *mut c_void) -> &'a Waker {
    // SAFETY: the caller passes the task of the current poll, which `Parts::poll` made from a
    // context.
    unsafe { &*task.cast::<Context<'_>>() }.waker()
}

fn boxed<T>(value: T) -> *mut c_void {
    Box::into_raw(Box::new(value)).cast()
}

/// # Safety
/// `boxed` made the pointer from a `T`, and it has not been taken.
unsafe fn taken<T>(pointer: *mut c_void) -> T {
    // SAFETY: the caller passes a pointer from `boxed` that has not been taken.
    *unsafe { Box::from_raw(pointer.cast::<T>()) }
}

/// # Safety
/// `boxed` made the pointer from a `T`, and it has not been taken.
unsafe fn seen<'a, T>(pointer: *mut c_void) -> &'a T {
    // SAFETY: the caller passes a pointer from `boxed` that has not been taken.
    unsafe { &*pointer.cast::<T>() }
}

pub(crate) unsafe extern "C" fn task_is_cancelled(_task: *mut c_void) -> i32 {
    is_cancellation_requested().into()
}

pub(crate) unsafe extern "C" fn task_take_cancellation(_task: *mut c_void) -> i32 {
    take_cancellation_request().into()
}

pub(crate) unsafe extern "C" fn task_wake(task: *mut c_void) {
    // SAFETY: the kit passes the task of this poll.
    unsafe { waker(task) }.wake_by_ref();
}

pub(crate) unsafe extern "C" fn task_waker(task: *mut c_void) -> *mut c_void {
    // SAFETY: the kit passes the task of this poll.
    boxed(unsafe { waker(task) }.clone())
}

pub(crate) unsafe extern "C" fn waker_clone(waker: *mut c_void) -> *mut c_void {
    // SAFETY: the kit passes a waker.
    boxed(unsafe { seen::<Waker>(waker) }.clone())
}

pub(crate) unsafe extern "C" fn waker_wake(waker: *mut c_void) {
    // SAFETY: the kit passes a waker and gives it up.
    unsafe { taken::<Waker>(waker) }.wake();
}

pub(crate) unsafe extern "C" fn waker_wake_by_ref(waker: *mut c_void) {
    // SAFETY: the kit passes a waker.
    unsafe { seen::<Waker>(waker) }.wake_by_ref();
}

pub(crate) unsafe extern "C" fn waker_drop(waker: *mut c_void) {
    // SAFETY: the kit passes a waker and gives it up.
    drop(unsafe { taken::<Waker>(waker) });
}

/// Converts a handle to a pointer of the table.
pub(crate) fn handle(handle: CancelHandle) -> *mut c_void {
    boxed(handle)
}

pub(crate) unsafe extern "C" fn handle_cancel(handle: *mut c_void) {
    // SAFETY: the kit passes a handle.
    unsafe { seen::<CancelHandle>(handle) }.cancel();
}

pub(crate) unsafe extern "C" fn handle_clone(handle: *mut c_void) -> *mut c_void {
    // SAFETY: the kit passes a handle.
    boxed(unsafe { seen::<CancelHandle>(handle) }.clone())
}

pub(crate) unsafe extern "C" fn handle_drop(handle: *mut c_void) {
    // SAFETY: the kit passes a handle and gives it up.
    drop(unsafe { taken::<CancelHandle>(handle) });
}
