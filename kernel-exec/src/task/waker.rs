//! Wakers: a reference each, whose wake is one step of the word.

use core::{
    mem::ManuallyDrop,
    ptr::NonNull,
    task::{RawWaker, RawWakerVTable, Waker},
};

use super::{
    header::{Header, TaskPtr},
    state::State,
};
use crate::nt;

/// A static, so that it has one address, by which our wakers are known.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// The waker of a poll: it borrows the poller's reference, so it costs nothing and must not be dropped.
///
/// # Safety
/// The caller is the poller for as long as the result is used.
pub(super) unsafe fn borrowed(task: TaskPtr) -> ManuallyDrop<Waker> {
    // SAFETY: the vtable's functions are those of this pointer, which stays valid by this function's contract.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw(task)) })
}

fn raw(task: TaskPtr) -> RawWaker {
    RawWaker::new(task.0.as_ptr().cast_const().cast(), &VTABLE)
}

/// The task of a waker, if it is one of ours: allocated for as long as the waker is there.
pub(super) fn task_of(waker: &Waker) -> Option<TaskPtr> {
    let ours = core::ptr::eq(waker.vtable(), &raw const VTABLE);
    // SAFETY: a waker with this table was made here.
    ours.then(|| unsafe { task(waker.data()) })
}

/// # Safety
/// `data` is the data of a waker made here.
unsafe fn task(data: *const ()) -> TaskPtr {
    // SAFETY: a waker made here has a task's address, which is not null.
    TaskPtr(unsafe { NonNull::new_unchecked(data.cast_mut().cast::<Header>()) })
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned.
    let task = unsafe { task(data) };
    // SAFETY: it has a reference [T1].
    unsafe { task.add_reference() };
    raw(task)
}

unsafe fn wake(data: *const ()) {
    nt::check_wake(data);
    // SAFETY: the waker that is given up.
    let task = unsafe { task(data) };
    // SAFETY: it has a reference, which it gives up.
    let duty = unsafe { State::wake_by_value(task.state()) };
    // SAFETY: the step's duty.
    unsafe { task.settle(duty) }
}

unsafe fn wake_by_ref(data: *const ()) {
    nt::check_wake(data);
    // SAFETY: the waker that is used.
    let task = unsafe { task(data) };
    // SAFETY: it has a reference.
    let duty = unsafe { task.header() }.state.wake_by_ref();
    // SAFETY: the step's duty.
    unsafe { task.settle(duty) }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker that is dropped.
    let task = unsafe { task(data) };
    // SAFETY: it has a reference, which it gives up.
    unsafe { task.release() };
}

/// A waker that owns one of the caller's references.
#[cfg(all(test, loom))]
pub(super) fn owned(task: TaskPtr) -> Waker {
    // SAFETY: the vtable's functions are those of this pointer, and the reference is the waker's from here on.
    unsafe { Waker::from_raw(raw(task)) }
}
