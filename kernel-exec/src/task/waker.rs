//! Wakers of tasks. Each waker holds a reference, and a wake is one step of the state word.

use core::{
    mem::ManuallyDrop,
    ptr::NonNull,
    task::{RawWaker, RawWakerVTable, Waker},
};

use super::{
    header::{Header, TaskPtr},
    state::State,
};
use crate::nt::{self, TaskStep};

/// The table of our wakers. It is a static, so that it has one address, by which our wakers are
/// recognised.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// Makes the waker of a poll. It borrows the poller's reference, so it takes no reference of its
/// own and must not be dropped.
///
/// # Safety
/// The caller is the poller for as long as the result is used.
pub(super) unsafe fn borrowed(task: TaskPtr) -> ManuallyDrop<Waker> {
    // SAFETY: the table's functions are made for this pointer, which stays valid while the caller
    // is the poller.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw(task)) })
}

fn raw(task: TaskPtr) -> RawWaker {
    RawWaker::new(task.0.as_ptr().cast_const().cast(), &VTABLE)
}

/// Returns the task of a waker, if the waker is one of ours. The task stays allocated as long as
/// the waker exists.
pub(super) fn task_of(waker: &Waker) -> Option<TaskPtr> {
    let ours = core::ptr::eq(waker.vtable(), &raw const VTABLE);
    // SAFETY: a waker with this table was made in this file.
    ours.then(|| unsafe { task(waker.data()) })
}

/// # Safety
/// `data` is the data of a waker made in this file.
unsafe fn task(data: *const ()) -> TaskPtr {
    // SAFETY: a waker made in this file holds a task's address, which is not null.
    TaskPtr(unsafe { NonNull::new_unchecked(data.cast_mut().cast::<Header>()) })
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: `data` belongs to the waker that is cloned, which was made in this file.
    let task = unsafe { task(data) };
    // SAFETY: the waker that is cloned holds a reference [T1].
    unsafe { task.add_reference() };
    raw(task)
}

unsafe fn wake(data: *const ()) {
    nt::check_wake(data);
    nt::mark_task(TaskStep::Wake, data, "");
    // SAFETY: `data` belongs to the waker that is consumed, which was made in this file.
    let task = unsafe { task(data) };
    // SAFETY: the waker holds a reference [T1], which it gives up.
    let action = unsafe { State::wake_by_value(task.state()) };
    // SAFETY: `action` came from the step just taken.
    unsafe { task.perform(action) }
}

unsafe fn wake_by_ref(data: *const ()) {
    nt::check_wake(data);
    nt::mark_task(TaskStep::Wake, data, "");
    // SAFETY: `data` belongs to the waker that is used, which was made in this file.
    let task = unsafe { task(data) };
    // SAFETY: the waker holds a reference [T1].
    let action = unsafe { task.header() }.state.wake_by_ref();
    // SAFETY: `action` came from the step just taken.
    unsafe { task.perform(action) }
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: `data` belongs to the waker that is dropped, which was made in this file.
    let task = unsafe { task(data) };
    // SAFETY: the waker holds a reference [T1], which it gives up.
    unsafe { task.release() };
}

/// Makes a waker that owns one of the caller's references.
#[cfg(all(test, loom))]
pub(super) fn owned(task: TaskPtr) -> Waker {
    // SAFETY: the table's functions are made for this pointer, and the reference is the waker's
    // from here on.
    unsafe { Waker::from_raw(raw(task)) }
}
