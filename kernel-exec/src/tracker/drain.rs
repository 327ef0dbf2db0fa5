//! Waiting until nothing of a tracker is left.
//!
//! A waiter is a node on the stack of [`TaskTracker::drain`], with an event, in a list under the tracker's lock. Whoever takes the last
//! task or timer out of the tracker sets the events under that lock, and a waiter takes its node out under it before it returns: so
//! an event is never set that is gone `[D1]`.

use core::{cell::Cell, ptr, time::Duration};

use super::{List, TaskTracker, default_tracker};
use crate::{
    Instant, NTSTATUS, ambient, nt,
    sync::{Event, Reset},
};

/// Why [`TaskTracker::drain`] gave up.
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
    /// It was called above PASSIVE_LEVEL, where it cannot wait. Nothing has happened.
    Irql,
    /// A task of this tracker called it, at PASSIVE_LEVEL, and would have waited for its own end.
    /// Nothing has happened.
    InTask,
    /// Time is over, and something has not ended.
    Stuck {
        /// Tasks that have not ended: neither have their cleanups, or nobody has cancelled them.
        tasks: usize,
        /// Timers that are set or whose DPC has not run. Those of unfinished tasks are among them; one more than these need is
        /// a timer future that was kept beyond its task.
        timers: usize,
        /// Completion handlers that foreign operations were given by `ntcom`'s futures, and have not called yet: what they call is in this image,
        /// whether the future is still there or not.
        handlers: usize,
    },
}

impl DrainError {
    /// The error as an NTSTATUS: [`NTSTATUS::INVALID_DEVICE_STATE`],
    /// [`NTSTATUS::POSSIBLE_DEADLOCK`], or [`NTSTATUS::TIMEOUT`], which is a *success* code:
    /// `NT_SUCCESS` is true for it.
    #[must_use]
    pub const fn status(self) -> NTSTATUS {
        match self {
            Self::Irql => NTSTATUS::INVALID_DEVICE_STATE,
            Self::InTask => NTSTATUS::POSSIBLE_DEADLOCK,
            Self::Stuck { .. } => NTSTATUS::TIMEOUT,
        }
    }
}

/// Somebody who waits in [`TaskTracker::drain`].
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
    /// What is left in it: none, and then no code of any of them runs but what is on its way out of a DPC routine or a work item's.
    const fn left(&self) -> Result<(), DrainError> {
        if self.length == 0 && self.timers == 0 && self.handlers == 0 {
            return Ok(());
        }
        Err(DrainError::Stuck { tasks: self.length, timers: self.timers, handlers: self.handlers })
    }

    /// Something has left the list: tells the waiters where it was the last. Under the lock `[D1]`.
    pub(super) fn tell_waiters(&self) {
        if self.left().is_err() {
            return;
        }
        let mut waiter = self.waiters;
        // SAFETY: under the lock, a waiter in the list has not returned [D1].
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
        // SAFETY: under the lock, a waiter in the list has not returned [D1].
        while let Some(current) = unsafe { other.as_ref() } {
            if ptr::eq(current.next.get(), waiter) {
                return current.next.set(next);
            }
            other = current.next.get();
        }
    }
}

impl TaskTracker {
    /// Waits until every task of this tracker has ended, and no DPC of the executor runs any more for one of them: what a driver's Unload
    /// does last, after [`close`](Self::close) and [`cancel_all`](Self::cancel_all).
    ///
    /// When it returns `Ok`, there was a moment at which every task had ended, no timer of a [`sleep`](crate::sleep) was set
    /// or on its way, and no completion handler was owed a call, and after it every DPC of theirs has returned (`KeFlushQueuedDpcs`). A task on a work item may still be in the last
    /// instructions of its routine, and its block not freed: the system keeps its device object, and so the image, until that has returned.
    /// A handler that a provider calls below DISPATCH_LEVEL may be in the last instructions of its return, too, and for that nothing holds the image: a driver
    /// whose providers do that must know that their call has returned.
    /// The memory of the others has been freed, except
    /// where somebody still has a [`CancelHandle`](crate::CancelHandle), a waker or a COM reference: who keeps one keeps a block of pool, which does
    /// not hold up this function, and must give it up before the image goes. On a closed tracker the moment lasts: nothing can be
    /// spawned any more, and no timer set. On an open one others may have begun something since.
    ///
    /// `limit`: how long it may take; zero: it only looks. None, or what is beyond the clock's range: for ever. It may be called
    /// again, and by several threads at once.
    ///
    /// IRQL: PASSIVE_LEVEL. A task of this tracker would wait for itself, and is told so; what it
    /// waits for may not wait in its stead, either, which is not noticed: such a drain does not
    /// return.
    ///
    /// # Errors
    /// - [`DrainError::Irql`] (`STATUS_INVALID_DEVICE_STATE`): called above PASSIVE_LEVEL; it has not waited.
    /// - [`DrainError::InTask`] (`STATUS_POSSIBLE_DEADLOCK`): called by the body of a task of this
    ///   tracker, with a limit that is not zero, or none; it has not waited.
    /// - [`DrainError::Stuck`] (`STATUS_TIMEOUT`): the limit has passed; this many tasks, timers and handlers are left.
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
    ///     // Nobody has asked the task to stop yet.
    ///     let stuck = default_tracker(|tracker| tracker.drain(limit));
    ///     assert_eq!(stuck, Err(DrainError::Stuck { tasks: 1, timers: 0, handlers: 0 }));
    ///     default_tracker(TaskTracker::cancel_all);
    ///     assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
    /// }
    ///
    /// # kernel.run(vec![(0, Box::new(|| {
    /// ntcom_exec::spawn_dpc_task(async {
    ///     let mut wakers = Vec::new();
    ///     core::future::poll_fn(|context| {
    ///         wakers.push(context.waker().clone());
    ///         core::task::Poll::<()>::Pending
    ///     }).await
    /// }).unwrap();
    /// # }))]).unwrap();
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
        // Whoever took the last ones out of the list may have done so in a DPC routine, and be in it still.
        nt::flush_dpcs();
        Ok(())
    }

    /// The caller is in the body of a task of this tracker: every task is the image's.
    fn is_of_caller(&self) -> bool {
        let in_task = ambient::current(|node| node.is_some());
        in_task && default_tracker(|tracker| ptr::eq(tracker, self))
    }

    /// IRQL: PASSIVE_LEVEL.
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
            // The wait may have ended a clock tick early, and somebody may have begun something since.
            left = self.locked(|list| list.left());
        }
        let left = self.locked(|list| {
            list.leave(&waiter);
            // A moment at which nothing was left stays one, whatever somebody has begun since.
            left.or_else(|_| list.left())
        });
        // Out of the list, so nobody else has it [D1].
        waiter.event.retire();
        left
    }
}
