//! Waiting, in a thread, until a task ends `[C15]`, `[T9]`.
//!
//! A waiter is a node with an event on the stack of [`TaskPtr::wait`]. It stands in the image's
//! list of waiters, under a lock. The poller that ends a task with waiters looks them up under that
//! lock and sets their events. A waiter takes its node out under the lock before it returns, so an
//! event is never set after it has gone.
//!
//! A task without waiters pays one bit of its word, which its last step reads anyway. Nothing is
//! allocated.

mod waiter_list;

#[cfg(all(test, loom))]
mod loom_tests;

use core::{cell::Cell, ptr};

use super::{
    header::TaskPtr,
    state::{RegisterWaiter, Status},
};
use crate::{ambient, status::NTSTATUS};

use self::waiter_list::{Event, Reset, with_waiters};

/// A thread that waits for the end of a task.
struct Waiter {
    task: TaskPtr,
    event: Event,
    /// Only touched under the list's lock.
    next: Cell<*const Self>,
}

/// The list of the waiters of this image. Only touched under its lock.
struct Waiters(Cell<*const Waiter>);

// SAFETY: the waiters in the list are only touched under its lock, on any processor.
unsafe impl Send for Waiters {}

impl Waiters {
    const fn new() -> Self {
        Self(Cell::new(ptr::null()))
    }

    fn enter(&self, waiter: &Waiter) {
        waiter.next.set(self.0.replace(waiter));
    }

    fn leave(&self, waiter: &Waiter) {
        let mut place = &self.0;
        // SAFETY: the caller holds the list's lock, and a waiter in the list has not returned [T9].
        while let Some(current) = unsafe { place.get().as_ref() } {
            if ptr::eq(current, waiter) {
                return place.set(current.next.get());
            }
            place = &current.next;
        }
    }

    fn tell(&self, task: TaskPtr) {
        let mut waiter = self.0.get();
        // SAFETY: the caller holds the list's lock, and a waiter in the list has not returned [T9].
        while let Some(current) = unsafe { waiter.as_ref() } {
            if current.task == task {
                current.event.set();
            }
            waiter = current.next.get();
        }
    }
}

/// Sets the events of all threads that wait for the task, which has ended.
///
/// # Safety
/// The caller has a reference.
pub(super) unsafe fn tell(task: TaskPtr) {
    with_waiters(|waiters| waiters.tell(task));
}

impl TaskPtr {
    /// Waits until the task has ended `[C15]`.
    ///
    /// Returns `STATUS_SUCCESS`, or `STATUS_TIMEOUT` if the time runs out first. `timeout` is as
    /// for KeWaitForSingleObject. A negative value counts from now on, a positive one is a moment
    /// of system time, zero only looks, and `None` waits for ever.
    ///
    /// IRQL: PASSIVE_LEVEL; with a timeout of zero ≤ DISPATCH_LEVEL. At another IRQL it returns
    /// `STATUS_NOT_SUPPORTED`. In the task's own body, with any timeout except zero, it returns
    /// `STATUS_POSSIBLE_DEADLOCK`.
    ///
    /// # Safety
    /// The caller has a reference, which may be released by another thread during the wait.
    #[must_use]
    pub unsafe fn wait(self, timeout: Option<i64>) -> NTSTATUS {
        if timeout != Some(0) {
            if !waiter_list::can_wait() {
                return NTSTATUS::NOT_SUPPORTED;
            }
            // SAFETY: the caller's reference keeps the block.
            if unsafe { self.is_the_callers() } {
                return NTSTATUS::POSSIBLE_DEADLOCK;
            }
            // SAFETY: the caller's reference keeps the block.
            unsafe { self.add_reference() };
            // SAFETY: the reference added above keeps the block.
            let ended = unsafe { self.wait_as_owner(timeout) };
            // SAFETY: the reference added above, which is given up here.
            unsafe { self.release() };
            return answer(ended);
        }
        // SAFETY: the caller's reference keeps the block.
        answer(unsafe { self.status() })
    }

    /// Tells whether the caller is in the body of this task. For a task that is not being polled
    /// this makes no kernel call.
    ///
    /// # Safety
    /// The caller has a reference.
    unsafe fn is_the_callers(self) -> bool {
        // SAFETY: the caller's reference keeps the block.
        let state = unsafe { &self.header().state };
        state.view().running && ambient::current(|node| node.is_some_and(|node| node.task == self))
    }

    /// Waits until the task has ended or the time is over, and returns its status then.
    ///
    /// # Safety
    /// The caller has a reference that stays until this returns; IRQL: PASSIVE_LEVEL.
    unsafe fn wait_as_owner(self, timeout: Option<i64>) -> Status {
        // SAFETY: the caller's reference keeps the block.
        let state = unsafe { &self.header().state };
        if state.status() != Status::Started {
            return state.status();
        }
        let waiter = Waiter { task: self, event: Event::new(), next: Cell::new(ptr::null()) };
        waiter.event.prepare(Reset::Never);
        with_waiters(|waiters| waiters.enter(&waiter));
        match state.register_waiter() {
            // The event is set once, and by this task only, so one wait is enough.
            RegisterWaiter::Wait => waiter.event.wait(timeout),
            RegisterWaiter::Ended => {}
        }
        with_waiters(|waiters| waiters.leave(&waiter));
        waiter.event.retire();
        state.status()
    }
}

/// Turns the task's status into the result of a wait. After a timeout, too, the result depends on
/// whether the task has ended by now.
fn answer(status: Status) -> NTSTATUS {
    if status == Status::Started { NTSTATUS::TIMEOUT } else { NTSTATUS::SUCCESS }
}
