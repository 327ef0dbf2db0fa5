//! Waiting until nothing is left in a tracker.
//!
//! A waiter is a node with an event on the stack of [`TaskTracker::drain`], in a list under the
//! tracker's lock. The code that takes the last task, timer or handler out of the tracker sets the
//! events under that lock. A waiter takes its node out under the lock before it returns, so an
//! event is never set after it has gone `[D1]`.
//!
//! # Why DPCs are flushed
//!
//! The last task may have left the list in a DPC routine that is still running. So
//! `KeFlushQueuedDpcs` comes after the wait.

use core::{cell::Cell, ptr, time::Duration};

use super::{List, TaskTracker, default_tracker};
use crate::{
    ambient,
    clock::Instant,
    nt,
    status::NTSTATUS,
    sync::{Event, Reset},
};

/// The reason why [`TaskTracker::drain`] gave up.
///
/// ```
/// use ntcom_exec::{DrainError, NTSTATUS};
///
/// let stuck = DrainError::Stuck { tasks: 2, timers: 1, handlers: 0 };
/// assert_eq!(stuck.status(), NTSTATUS::TIMEOUT);
/// assert_eq!(DrainError::Irql.status(), NTSTATUS::INVALID_DEVICE_STATE);
/// assert_eq!(DrainError::InTask.status(), NTSTATUS::POSSIBLE_DEADLOCK);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrainError {
    /// The drain was called above PASSIVE_LEVEL, where it cannot wait, and did nothing.
    Irql,
    /// A task of this tracker called the drain, at PASSIVE_LEVEL, and would have waited for its own
    /// end. The drain did nothing.
    InTask,
    /// The time is over, and some task, timer or handler has not ended.
    Stuck {
        /// The number of tasks that have not ended. Their cleanups have not ended, or no code has
        /// cancelled them.
        tasks: usize,
        /// The number of timers that are set or have a DPC that has not run.
        ///
        /// The timers of unfinished tasks are included. A timer beyond those belongs to a future
        /// that was kept beyond its task.
        timers: usize,
        /// The number of completion handlers that `ntcom`'s futures gave to foreign operations and
        /// that have not been called yet.
        ///
        /// The handlers are in this image, whether the future is still there or not.
        handlers: usize,
    },
}

impl DrainError {
    /// Returns the error as an NTSTATUS.
    ///
    /// It is [`NTSTATUS::INVALID_DEVICE_STATE`], [`NTSTATUS::POSSIBLE_DEADLOCK`], or
    /// [`NTSTATUS::TIMEOUT`]. The last is a *success* code, so `NT_SUCCESS` is true for it.
    #[must_use]
    pub const fn status(self) -> NTSTATUS {
        match self {
            Self::Irql => NTSTATUS::INVALID_DEVICE_STATE,
            Self::InTask => NTSTATUS::POSSIBLE_DEADLOCK,
            Self::Stuck { .. } => NTSTATUS::TIMEOUT,
        }
    }
}

/// A thread that waits in [`TaskTracker::drain`].
pub(super) struct Waiter {
    event: Event,
    /// Only touched under the tracker's lock.
    next: Cell<*const Self>,
}

impl Waiter {
    fn new() -> Self {
        Self { event: Event::new(), next: Cell::new(ptr::null()) }
    }
}

impl List {
    /// Returns `Ok` if no task, timer or handler is left. Then none of their code runs any more,
    /// except the last instructions of a DPC routine or of a work item's.
    const fn left(&self) -> Result<(), DrainError> {
        if self.length == 0 && self.timers == 0 && self.handlers == 0 {
            return Ok(());
        }
        Err(DrainError::Stuck { tasks: self.length, timers: self.timers, handlers: self.handlers })
    }

    /// Sets the events of the waiters if the tracker is empty. The caller has just taken something
    /// out, under the lock `[D1]`.
    pub(super) fn tell_waiters(&self) {
        if self.left().is_err() {
            return;
        }
        let mut waiter = self.waiters;
        // SAFETY: the lock is held, and a waiter in the list has not returned [D1].
        while let Some(current) = unsafe { waiter.as_ref() } {
            current.event.set();
            waiter = current.next.get();
        }
    }

    fn enter(&mut self, waiter: &Waiter) {
        waiter.next.set(self.waiters);
        self.waiters = waiter;
    }

    fn leave(&mut self, waiter: &Waiter) {
        let next = waiter.next.get();
        if ptr::eq(self.waiters, waiter) {
            self.waiters = next;
            return;
        }
        let mut other = self.waiters;
        // SAFETY: the lock is held, and a waiter in the list has not returned [D1].
        while let Some(current) = unsafe { other.as_ref() } {
            if ptr::eq(current.next.get(), waiter) {
                return current.next.set(next);
            }
            other = current.next.get();
        }
    }
}

impl TaskTracker {
    /// Waits until every task has ended, and no DPC of the executor runs any more for one of them.
    ///
    /// The tasks are those of this tracker. The wait is the last step of a driver's Unload, after
    /// [`close`](Self::close) and [`cancel_all`](Self::cancel_all).
    ///
    /// When it returns `Ok`, there was a moment at which every task had ended. At that moment no
    /// timer of a [`sleep`](crate::sleep) was set or on its way, and no completion handler call was
    /// outstanding. After that moment every DPC of theirs has returned (`KeFlushQueuedDpcs`). On a
    /// closed tracker the moment lasts, because nothing can be spawned any more and no timer set.
    /// On an open one, other code may have begun something since.
    ///
    /// Two kinds of code may still be running then:
    ///
    /// - A task on a work item may be in the last instructions of its routine, and its block may
    ///   not be freed yet. The system keeps its device object, and so the image, until the routine
    ///   has returned.
    /// - A handler that a provider calls below DISPATCH_LEVEL may be in the last instructions of
    ///   its return, and nothing keeps the image for that. A driver with such providers must know
    ///   that their call has returned.
    ///
    /// The memory of the other tasks has been freed, except where a
    /// [`CancelHandle`](crate::CancelHandle), a waker or a COM reference is left. Each keeps a
    /// block of pool, which does not hold up this function. Its owner must give it up before the
    /// image is unloaded.
    ///
    /// `limit` is the time that the call may take; zero only looks. `None`, or a limit beyond the
    /// clock's range, waits for ever. It may be called again, and by several threads at once.
    ///
    /// IRQL: PASSIVE_LEVEL. A task of this tracker would wait for itself, and gets an error. Code
    /// that such a task waits for must not drain in its stead either. That is not noticed, and such
    /// a drain does not return.
    ///
    /// # Errors
    /// - [`DrainError::Irql`] (`STATUS_INVALID_DEVICE_STATE`): called above PASSIVE_LEVEL; it has
    ///   not waited.
    /// - [`DrainError::InTask`] (`STATUS_POSSIBLE_DEADLOCK`): called by the body of a task of this
    ///   tracker, without a limit of zero; it has not waited.
    /// - [`DrainError::Stuck`] (`STATUS_TIMEOUT`): the limit has passed; this many tasks, timers
    ///   and handlers are left.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ntcom_exec::{DrainError, TaskTracker, default_tracker};
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    ///
    /// fn unload() {
    ///     default_tracker(TaskTracker::close);
    ///     let limit = Some(Duration::from_millis(100));
    ///     // The task has not been asked to stop yet.
    ///     let stuck = default_tracker(|tracker| tracker.drain(limit));
    ///     assert_eq!(stuck, Err(DrainError::Stuck { tasks: 1, timers: 0, handlers: 0 }));
    ///     default_tracker(TaskTracker::cancel_all);
    ///     assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
    /// }
    ///
    /// # kernel.run_on(0, || {
    /// ntcom_exec::spawn_dpc_task(async {
    ///     let mut wakers = Vec::new();
    ///     core::future::poll_fn(|context| {
    ///         wakers.push(context.waker().clone());
    ///         core::task::Poll::<()>::Pending
    ///     }).await
    /// }).unwrap();
    /// # }).unwrap();
    /// # kernel.unload_with(0, Box::new(unload)).unwrap();
    /// ```
    pub fn drain(&self, limit: Option<Duration>) -> Result<(), DrainError> {
        if !nt::is_passive() {
            return Err(DrainError::Irql);
        }
        if limit != Some(Duration::ZERO) && self.is_of_caller() {
            return Err(DrainError::InTask);
        }
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.wait_until_empty(deadline)?;
        // The code that took the last ones out of the list may still be in a DPC routine.
        nt::flush_dpcs();
        Ok(())
    }

    /// Tells whether the caller is in the body of a task of this tracker. Every task belongs to the
    /// image's tracker.
    fn is_of_caller(&self) -> bool {
        let in_task = ambient::current(|node| node.is_some());
        in_task && default_tracker(|tracker| ptr::eq(tracker, self))
    }

    /// Waits until the tracker is empty or the deadline has passed. IRQL: PASSIVE_LEVEL.
    fn wait_until_empty(&self, deadline: Option<Instant>) -> Result<(), DrainError> {
        let waiter = Waiter::new();
        waiter.event.prepare(Reset::Automatic);
        let mut left = self.locked(|list| {
            list.enter(&waiter);
            list.left()
        });
        while left.is_err() {
            let limit = match deadline.map(Instant::units_left) {
                None => None,
                Some(Some(units)) => Some(units),
                Some(None) => break,
            };
            waiter.event.wait(limit.map(i64::wrapping_neg));
            // The wait may have ended a clock tick early, and other code may have begun something
            // since.
            left = self.locked(|list| list.left());
        }
        let left = self.locked(|list| {
            list.leave(&waiter);
            // The tracker was empty at one moment, so this is `Ok`, even if other code has begun
            // something since.
            left.or_else(|_| list.left())
        });
        // The waiter is out of the list, so no other code has its event [D1].
        waiter.event.retire();
        left
    }
}
