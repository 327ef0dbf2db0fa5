//! The tracker of an image's unfinished tasks, by which unload reaches the idle ones too.
//!
//! It is a list of tasks, not a count, and it holds no references. A task leaves the list before
//! its status becomes terminal, so a task in the list, under its lock, is allocated `[T1]`. The
//! tracker also counts timers, from being set until they are cancelled or their DPC routine
//! returns. A timer may outlive the task that set it, when its future is kept or leaked.

mod drain;
#[cfg(all(test, loom))]
mod loom_tests;

use core::ptr;

use self::drain::Waiter;
use crate::{
    status::NTSTATUS,
    sync::{KernelCell, SpinLock, const_fn, image_static},
    task::{TaskPtr, TaskReport},
};

pub use self::drain::DrainError;

/// A task's place in its tracker's list. Only touched under the tracker's lock.
pub(crate) struct Link(KernelCell<Node>);

struct Node {
    previous: *const Link,
    next: *const Link,
    task: Option<TaskPtr>,
}

impl Link {
    pub(crate) const fn new() -> Self {
        Self(KernelCell::new(Node { previous: ptr::null(), next: ptr::null(), task: None }))
    }
}

struct List {
    first: *const Link,
    length: usize,
    /// The timers that are set, or that have a DPC routine that has not ended.
    timers: usize,
    /// The completion handlers that a provider still has to call.
    handlers: usize,
    closed: bool,
    /// The threads that wait until nothing of this is left.
    waiters: *const Waiter,
}

// SAFETY: the links and waiters in the list are only touched under its lock, on any processor.
unsafe impl Send for List {}

/// A set of unfinished tasks.
///
/// Every task belongs to a tracker, by default to the image's own ([`default_tracker`]).
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// ntcom_exec::spawn_dpc_task(core::future::pending()).unwrap();
/// ntcom_exec::default_tracker(|tracker| {
///     tracker.close(); // the first step of a driver's Unload
///     tracker.cancel_all();
///     tracker.drain(None).unwrap(); // the last step
///     assert_eq!(tracker.unfinished(), 0);
/// });
/// # }).unwrap();
/// ```
pub struct TaskTracker(SpinLock<List>);

impl TaskTracker {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self(SpinLock::new(List {
                first: ptr::null(),
                length: 0,
                timers: 0,
                handlers: 0,
                closed: false,
                waiters: ptr::null(),
            }))
        }
    }

    /// Calls `f` with the list, under the lock. `f` must not take the lock again.
    /// IRQL: ≤ DISPATCH_LEVEL.
    fn locked<R>(&self, f: impl FnOnce(&mut List) -> R) -> R {
        self.0.locked(f)
    }

    /// Adds a task to the list.
    ///
    /// # Errors
    /// `STATUS_DELETE_PENDING`: the tracker has been closed.
    ///
    /// # Safety
    /// `link` is the task's own, in no list, and is removed before the task ends.
    pub(crate) unsafe fn insert(&self, link: &Link, task: TaskPtr) -> Result<(), NTSTATUS> {
        self.locked(|list| {
            if list.closed {
                return Err(NTSTATUS::DELETE_PENDING);
            }
            let node = Node { previous: ptr::null(), next: list.first, task: Some(task) };
            // SAFETY: the lock is held, and a link in no list is used by no other code.
            unsafe { link.0.get().write(node) };
            // SAFETY: the lock is held, and a link in the list is allocated.
            if let Some(first) = unsafe { list.first.as_ref() } {
                // SAFETY: the lock is held, so no other code touches the node.
                unsafe { (*first.0.get()).previous = link };
            }
            list.first = link;
            list.length += 1;
            Ok(())
        })
    }

    /// Removes a task from the list, and tells the waiters if nothing is left.
    ///
    /// # Safety
    /// `link` is in this tracker's list.
    pub(crate) unsafe fn remove(&self, link: &Link) {
        self.locked(|list| {
            // SAFETY: the lock is held, so no other code touches the node.
            let Node { previous, next, .. } = unsafe { link.0.get().read() };
            // SAFETY: the lock is held, and a link in the list is allocated.
            match unsafe { previous.as_ref() } {
                // SAFETY: the lock is held, so no other code touches the node.
                Some(previous) => unsafe { (*previous.0.get()).next = next },
                None => list.first = next,
            }
            // SAFETY: the lock is held, and a link in the list is allocated.
            if let Some(next) = unsafe { next.as_ref() } {
                // SAFETY: the lock is held, so no other code touches the node.
                unsafe { (*next.0.get()).previous = previous };
            }
            list.length -= 1;
            list.tell_waiters();
        });
    }

    /// Counts a timer that is about to be set.
    ///
    /// # Errors
    /// `STATUS_DELETE_PENDING`: the tracker has been closed, and no task is left that could wait
    /// for the timer.
    pub(crate) fn begin_timer(&self) -> Result<(), NTSTATUS> {
        self.locked(|list| {
            if list.closed && list.length == 0 {
                return Err(NTSTATUS::DELETE_PENDING);
            }
            list.timers += 1;
            Ok(())
        })
    }

    /// Uncounts a timer that has been cancelled, or that has a DPC routine about to return.
    pub(crate) fn end_timer(&self) {
        self.locked(|list| {
            list.timers -= 1;
            list.tell_waiters();
        });
    }

    /// Counts a completion handler of this image that is about to be given to a provider.
    ///
    /// # Errors
    /// `STATUS_DELETE_PENDING`: the tracker has been closed, and no task is left that could wait
    /// for the handler.
    pub(crate) fn begin_handler(&self) -> Result<(), NTSTATUS> {
        self.locked(|list| {
            if list.closed && list.length == 0 {
                return Err(NTSTATUS::DELETE_PENDING);
            }
            list.handlers += 1;
            Ok(())
        })
    }

    /// Uncounts a handler that has been called and is about to return, or that has been refused.
    pub(crate) fn end_handler(&self) {
        self.locked(|list| {
            list.handlers -= 1;
            list.tell_waiters();
        });
    }

    /// Requests cancellation of every unfinished task, idle ones included `[C18]`.
    ///
    /// The bodies run once the caller is below DISPATCH_LEVEL. IRQL: ≤ DISPATCH_LEVEL.
    pub fn cancel_all(&self) {
        self.locked(|list| {
            let mut link = list.first;
            // SAFETY: the lock is held, and a link in the list is allocated.
            while let Some(current) = unsafe { link.as_ref() } {
                // SAFETY: the lock is held, so no other code touches the node.
                let node = unsafe { &*current.0.get() };
                if let Some(task) = node.task {
                    // SAFETY: a task in the list has not ended, and cannot end while we hold the
                    // lock that it must take to leave the list.
                    unsafe { task.cancel() };
                }
                link = node.next;
            }
        });
    }

    /// Reports the state of the unfinished tasks, the youngest first.
    ///
    /// It writes as many reports as `reports` has places for, and `None` into the places that are
    /// left. It returns the number of unfinished tasks. A driver writes the report to its log when
    /// a [`drain`](Self::drain) takes too long.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL. `reports` must be resident, because it is written to under a spin
    /// lock.
    ///
    /// See [`TaskReport`] for an example.
    pub fn report(&self, reports: &mut [Option<TaskReport>]) -> usize {
        reports.fill(None);
        self.locked(|list| {
            let (mut link, mut places) = (list.first, reports.iter_mut());
            // SAFETY: the lock is held, and a link in the list is allocated.
            while let Some(current) = unsafe { link.as_ref() } {
                // SAFETY: the lock is held, so no other code touches the node.
                let node = unsafe { &*current.0.get() };
                let Some(place) = places.next() else { break };
                // SAFETY: the lock is held, and a task in the list is allocated.
                *place = node.task.map(|task| unsafe { TaskReport::of(task) });
                link = node.next;
            }
            list.length
        })
    }

    /// Closes the tracker, so that every later spawn on it fails with `STATUS_DELETE_PENDING`.
    /// IRQL: ≤ DISPATCH_LEVEL.
    pub fn close(&self) {
        self.locked(|list| list.closed = true);
    }

    /// Returns the number of tasks that have not ended. IRQL: ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.locked(|list| list.length)
    }
}

impl Default for TaskTracker {
    fn default() -> Self {
        Self::new()
    }
}

image_static! {
    /// Calls `f` with the tracker of this image. IRQL: any; the tracker's methods name their own.
    ///
    /// ```
    /// use ntsim::{Config, Schedule, Simulation};
    ///
    /// let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// kernel.run_on(0, || {
    ///     ntcom_exec::spawn_dpc_task(core::future::ready(())).unwrap();
    ///     ntcom_exec::default_tracker(|tracker| {
    ///         assert_eq!(tracker.unfinished(), 0, "a ready body ends in its first poll");
    ///         tracker.close();
    ///     });
    ///     let refused = ntcom_exec::spawn_dpc_task(core::future::ready(()));
    ///     assert_eq!(refused, Err(ntcom_exec::NTSTATUS::DELETE_PENDING));
    /// }).unwrap();
    /// ```
    pub fn default_tracker -> TaskTracker
}
