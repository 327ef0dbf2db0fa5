//! Waiting, in a thread, until a task ends `[C15]`, `[T9]`.
//!
//! A waiter is a node on the stack of [`TaskPtr::wait`], with an event, in the image's list of waiters, under a lock. Whoever ends a task
//! that is waited for looks its waiters up under that lock and sets their events, and a waiter takes its node out under it
//! before it returns: an event is never set that is gone. A task that nobody waits for has one bit for all of this, which its end
//! sees in the step that it takes anyway; nothing is allocated.

mod lot;

#[cfg(all(test, loom))]
mod loom_tests;

use core::{cell::Cell, ptr};

use super::{
    header::TaskPtr,
    state::{Announced, Status},
};
use crate::{NTSTATUS, ambient};

use self::lot::{Event, Reset, with_waiters};

/// A thread that waits for the end of a task.
struct Waiter {
    task: TaskPtr,
    event: Event,
    /// Only touched under the list's lock.
    next: Cell<*const Self>,
}

/// Those who wait for tasks of this image. Only touched under its lock.
struct Waiters(Cell<*const Waiter>);

impl Waiters {
    const fn new() -> Self {
        Self(Cell::new(ptr::null()))
    }

    fn enter(&self, waiter: &Waiter) {
        waiter.next.set(self.0.replace(waiter));
    }

    fn leave(&self, waiter: &Waiter) {
        let mut place = &self.0;
        // SAFETY: under the lock, a waiter in the list has not returned [T9].
        while let Some(current) = unsafe { place.get().as_ref() } {
            if ptr::eq(current, waiter) {
                return place.set(current.next.get());
            }
            place = &current.next;
        }
    }

    fn tell(&self, task: TaskPtr) {
        let mut waiter = self.0.get();
        // SAFETY: under the lock, a waiter in the list has not returned [T9].
        while let Some(current) = unsafe { waiter.as_ref() } {
            if current.task == task {
                current.event.set();
            }
            waiter = current.next.get();
        }
    }
}

/// The task has ended: tells everybody who waits for it.
///
/// # Safety
/// The caller has a reference.
pub(super) unsafe fn tell(task: TaskPtr) {
    with_waiters(|waiters| waiters.tell(task));
}

impl TaskPtr {
    /// Waits until the task has ended `[C15]`: `STATUS_SUCCESS`; or until the time is over: `STATUS_TIMEOUT`. `timeout` as for
    /// KeWaitForSingleObject: negative is from now on, positive a moment of system time, zero only looks, none waits for ever.
    ///
    /// IRQL: PASSIVE_LEVEL; with a timeout of zero ≤ DISPATCH_LEVEL. Otherwise:
    /// `STATUS_NOT_SUPPORTED`. In the task's own body, with a timeout that is not zero, or none:
    /// `STATUS_POSSIBLE_DEADLOCK`.
    ///
    /// # Safety
    /// The caller has a reference, which may go while this waits.
    #[must_use]
    pub unsafe fn wait(self, timeout: Option<i64>) -> NTSTATUS {
        if timeout != Some(0) {
            if !lot::can_wait() {
                return NTSTATUS::NOT_SUPPORTED;
            }
            // SAFETY: the caller's reference.
            if unsafe { self.is_the_callers() } {
                return NTSTATUS::POSSIBLE_DEADLOCK;
            }
            // SAFETY: the caller's reference.
            unsafe { self.add_reference() };
            // SAFETY: the reference above.
            let ended = unsafe { self.wait_as_owner(timeout) };
            // SAFETY: the reference above.
            unsafe { self.release() };
            return answer(ended);
        }
        // SAFETY: the caller's reference.
        answer(unsafe { self.status() })
    }

    /// The caller is in the body of this task. A task that is not being polled costs no kernel
    /// call.
    ///
    /// # Safety
    /// The caller has a reference.
    unsafe fn is_the_callers(self) -> bool {
        // SAFETY: the caller's reference.
        let state = unsafe { &self.header().state };
        state.doing().running && ambient::current(|node| node.is_some_and(|node| node.task == self))
    }

    /// How far the task is when it has ended or the time is over.
    ///
    /// # Safety
    /// The caller has a reference that stays; IRQL: PASSIVE_LEVEL.
    unsafe fn wait_as_owner(self, timeout: Option<i64>) -> Status {
        // SAFETY: the caller's reference.
        let state = unsafe { &self.header().state };
        if state.status() != Status::Started {
            return state.status();
        }
        let waiter = Waiter { task: self, event: Event::new(), next: Cell::new(ptr::null()) };
        waiter.event.prepare(Reset::Never);
        with_waiters(|waiters| waiters.enter(&waiter));
        match state.announce_waiter() {
            // Told once, and by this task only: no need to look again and wait for the rest of the time.
            Announced::Wait => waiter.event.wait(timeout),
            Announced::Ended => {}
        }
        with_waiters(|waiters| waiters.leave(&waiter));
        waiter.event.retire();
        state.status()
    }
}

/// Also where the time has run out: what counts is whether the task has ended by now.
fn answer(status: Status) -> NTSTATUS {
    if status == Status::Started { NTSTATUS::TIMEOUT } else { NTSTATUS::SUCCESS }
}
