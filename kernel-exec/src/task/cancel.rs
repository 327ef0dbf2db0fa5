//! Cancellation: the handle that asks, and the questions a body asks about itself.

use super::header::{Polling, TaskPtr};
use crate::{
    ambient,
    fail::{FailFast, fail_fast},
};

/// Asks a task to stop. One reference: it keeps the task's block, not the task's driver, and dropping it detaches it
/// without cancelling `[C9]`.
///
/// Clone, cancel and drop: IRQL ≤ DISPATCH_LEVEL. None of them runs user code.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let handle = ntcom_exec::spawn_dpc_task_cancellable(core::future::pending()).unwrap();
/// let other = handle.clone();
/// drop(handle); // does not cancel
/// other.cancel();
/// other.cancel(); // harmless
/// # }))]).unwrap();
/// ```
#[derive(Debug)]
pub struct CancelHandle(Option<TaskPtr>);

// SAFETY: a handle is a reference, and every step on a task may be taken on any processor.
unsafe impl Send for CancelHandle {}
// SAFETY: as above; a shared handle can only cancel and clone.
unsafe impl Sync for CancelHandle {}

impl CancelHandle {
    /// A handle that owns one of the caller's references.
    ///
    /// # Safety
    /// The caller has a reference, which is the handle's afterwards.
    #[doc(hidden)]
    #[must_use]
    pub unsafe fn from_reference(task: TaskPtr) -> Self {
        Self(Some(task))
    }

    /// A handle of nothing: for a task that could not be made.
    #[doc(hidden)]
    #[must_use]
    pub const fn inert() -> Self {
        Self(None)
    }

    /// Requests cancellation `[C10]`: the body is polled once with the request set. Harmless after the end, a no-op while a
    /// request is pending.
    pub fn cancel(&self) {
        if let Some(task) = self.0 {
            // SAFETY: the handle's reference.
            unsafe { task.cancel() }
        }
    }
}

impl Clone for CancelHandle {
    fn clone(&self) -> Self {
        if let Some(task) = self.0 {
            // SAFETY: the handle's reference.
            unsafe { task.add_reference() };
        }
        Self(self.0)
    }
}

impl Drop for CancelHandle {
    fn drop(&mut self) {
        if let Some(task) = self.0 {
            // SAFETY: the handle's reference, which is gone with it.
            unsafe { task.release() };
        }
    }
}

/// Takes the pending cancel request of the task that is being polled: true once for each request. The body goes on as if it
/// had not been cancelled; a later cancel is a new request `[C10]`.
///
/// False outside a task, without a request, and inside a cleanup. It finds the task by the processor, or below DISPATCH_LEVEL by
/// the thread, so it is right inside combinators that bring wakers of their own. IRQL: that of the task's poll, DISPATCH_LEVEL on DPCs
/// and PASSIVE_LEVEL on work items; harmless elsewhere, where no task is found: a body on work items that has raised its IRQL to
/// DISPATCH_LEVEL is told false.
///
/// ```
/// /// Ends early, with what there is, when it is asked to stop.
/// async fn collect(samples: &[u32]) -> u32 {
///     let mut sum = 0;
///     for sample in samples {
///         if ntcom_exec::take_cancellation_request() {
///             break;
///         }
///         sum += sample;
///         ntcom_exec::yield_now().await;
///     }
///     sum
/// }
/// # drop(collect(&[1]));
/// ```
#[must_use = "a request that has been taken is gone"]
pub fn take_cancellation_request() -> bool {
    ambient::current(|node| {
        let Some(node) = node.filter(|node| !node.is_masked()) else { return false };
        // SAFETY: a node on the stack means that its task is being polled, here.
        let taken = unsafe { node.task.header() }.state.take_cancel();
        if taken {
            node.untaken.set(false);
            // SAFETY: as above: we are its poller.
            unsafe { node.task.note_cancel() };
        }
        taken
    })
}

/// Is the task that is being polled asked to stop: is a request pending, or does it unwind already?
///
/// False outside a task and inside a cleanup. Found as [`take_cancellation_request`] finds it.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// ntcom_exec::spawn_dpc_task(async {
///     assert!(!ntcom_exec::is_cancellation_requested(), "nobody has asked yet");
/// }).unwrap();
/// # }))]).unwrap();
/// ```
#[must_use]
pub fn is_cancellation_requested() -> bool {
    ambient::current(|node| {
        node.filter(|node| !node.is_masked()).is_some_and(|node| {
            // SAFETY: a node on the stack means that its task is being polled, here.
            let state = unsafe { &node.task.header().state };
            state.cancel_requested() || state.is_unwinding()
        })
    })
}

/// What a `try_finally` asks of the task that is being polled. The poller's side of `[C10]`.
pub(crate) mod unwind {
    use super::{FailFast, TaskPtr, ambient, fail_fast};

    /// A main has returned Pending: must it be dropped now? If so, the task unwinds from here on.
    pub(crate) fn begin() -> bool {
        ambient::current(|node| {
            let Some(node) = node.filter(|node| !node.is_masked()) else { return false };
            // SAFETY: a node on the stack means that its task is being polled, here.
            let header = unsafe { node.task.header() };
            // SAFETY: as above: we are its poller.
            let cleaning = unsafe { node.task.is_cleaning() };
            let requested = node.untaken.get() && header.state.cancel_requested();
            if !(requested || header.state.is_unwinding()) {
                return false;
            }
            if cleaning {
                node.held_back.set(true);
                return false;
            }
            header.state.begin_unwind();
            true
        })
    }

    /// A cleanup begins. Returns the task that counts it, if in one.
    pub(crate) fn begin_cleanup() -> Option<TaskPtr> {
        ambient::current(|node| {
            let task = node?.task;
            // SAFETY: we are its poller.
            unsafe { task.count_cleanup(1) };
            Some(task)
        })
    }

    /// The cleanup that `counted` counts has ended, or is dropped. Fails fast where that is not the task that is being
    /// polled: a `try_finally` that has begun stays in its task.
    pub(crate) fn end_cleanup(counted: TaskPtr) {
        ambient::current(|node| match node {
            // SAFETY: we are its poller.
            Some(node) if node.task == counted => unsafe { counted.count_cleanup(-1) },
            _ => fail_fast(FailFast::Protocol),
        });
    }
}

impl TaskPtr {
    /// Has a cleanup begun that has not ended?
    ///
    /// # Safety
    /// The caller is the poller.
    pub(crate) unsafe fn is_cleaning(self) -> bool {
        // SAFETY: this function's contract.
        unsafe { self.polling(|polling| polling.cleanups > 0) }
    }

    /// # Safety
    /// The caller is the poller.
    unsafe fn count_cleanup(self, by: i32) {
        // A body cannot hold 2^32 futures; below zero goes a cleanup that another task counted whose block stood here before.
        let count = |polling: &mut Polling| match polling.cleanups.checked_add_signed(by) {
            Some(count) => polling.cleanups = count,
            None => fail_fast(FailFast::Protocol),
        };
        // SAFETY: this function's contract.
        unsafe { self.polling(count) }
    }

    /// The body has been shown a cancel request.
    ///
    /// # Safety
    /// The caller is the poller.
    pub(super) unsafe fn note_cancel(self) {
        // SAFETY: this function's contract.
        unsafe { self.polling(|polling| polling.cancel_seen = true) }
    }

    /// Has a cancel request ever reached the body, or is one pending?
    ///
    /// # Safety
    /// The caller is the poller.
    pub(super) unsafe fn was_canceled(self) -> bool {
        // SAFETY: the poller's reference.
        let pending = unsafe { self.header() }.state.cancel_requested();
        // SAFETY: this function's contract.
        pending || unsafe { self.polling(|polling| polling.cancel_seen) }
    }

    /// # Safety
    /// The caller is the poller, and `f` does not come back here.
    unsafe fn polling<R>(self, f: impl FnOnce(&mut Polling) -> R) -> R {
        // SAFETY: the poller's reference.
        let header = unsafe { self.header() };
        header.polling.with_mut(|polling| {
            // SAFETY: the poller's own [T2].
            f(unsafe { &mut *polling })
        })
    }
}

#[cfg(all(test, kernel = "sim"))]
mod tests {
    use core::{future::poll_fn, task::Poll};

    use super::{ambient, unwind};
    use ntsim::{Config, Schedule, Simulation, Stop};

    #[test]
    fn a_cleanup_that_the_task_does_not_count_fails_fast() {
        let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        let run = kernel.run(vec![(
            0,
            Box::new(|| {
                let body = poll_fn(|_| {
                    let here = ambient::current(|node| node.map(|node| node.task));
                    here.map_or(Poll::Pending, |task| {
                        unwind::end_cleanup(task);
                        Poll::Ready(())
                    })
                });
                assert!(crate::spawn_dpc_task(body).is_ok());
            }),
        )]);
        let Err(Stop::BugCheck(bug)) = run else { panic!("{run:?}") };
        assert_eq!((bug.code, bug.parameters[0]), (0x139, 5));
    }
}
