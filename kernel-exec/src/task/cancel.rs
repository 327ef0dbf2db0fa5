//! Cancellation, with the handle that requests it and the functions by which a body asks about it.

use super::header::{Polling, TaskPtr};
use crate::{
    ambient,
    fail::{FailFast, fail_fast},
};

/// A handle that asks a task to stop.
///
/// It holds one reference, which keeps the task's block but not the task's driver. Dropping the
/// handle detaches it without cancelling `[C9]`.
///
/// IRQL of clone, cancel and drop: ≤ DISPATCH_LEVEL. None of them runs user code.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let handle = ntcom_exec::spawn_dpc_task_cancellable(core::future::pending()).unwrap();
/// let other = handle.clone();
/// drop(handle); // does not cancel
/// other.cancel();
/// other.cancel(); // harmless
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct CancelHandle(Option<TaskPtr>);

// SAFETY: a handle is a reference, and any processor may take any step on a task.
unsafe impl Send for CancelHandle {}
// SAFETY: a shared handle can only cancel and clone, and any processor may take these steps.
unsafe impl Sync for CancelHandle {}

impl CancelHandle {
    /// Makes a handle from one of the caller's references.
    ///
    /// # Safety
    /// The caller has a reference, which is the handle's afterwards.
    #[doc(hidden)]
    #[must_use]
    pub unsafe fn from_reference(task: TaskPtr) -> Self {
        Self(Some(task))
    }

    /// Makes a handle of no task, for a task that could not be made.
    #[doc(hidden)]
    #[must_use]
    pub const fn inert() -> Self {
        Self(None)
    }

    /// Requests cancellation, so that the body is polled once with the request set `[C10]`.
    ///
    /// The call is harmless after the end, and a no-op while a request is pending. IRQL:
    /// ≤ DISPATCH_LEVEL.
    pub fn cancel(&self) {
        if let Some(task) = self.0 {
            // SAFETY: the handle's reference keeps the block.
            unsafe { task.cancel() }
        }
    }
}

impl Clone for CancelHandle {
    fn clone(&self) -> Self {
        if let Some(task) = self.0 {
            // SAFETY: the handle's reference keeps the block.
            unsafe { task.add_reference() };
        }
        Self(self.0)
    }
}

impl Drop for CancelHandle {
    fn drop(&mut self) {
        if let Some(task) = self.0 {
            // SAFETY: the handle owns a reference, which is given up here with it.
            unsafe { task.release() };
        }
    }
}

/// Takes the pending cancel request of the task that is being polled.
///
/// It returns true once for each request. The body continues as if it had not been cancelled, and a
/// later cancel is a new request `[C10]`.
///
/// It returns false outside a task, without a request, and inside a cleanup. It finds the task by
/// the processor, or below DISPATCH_LEVEL by the thread. So it works inside combinators that bring
/// wakers of their own.
///
/// IRQL: that of the task's poll, which is DISPATCH_LEVEL on DPCs and PASSIVE_LEVEL on work items.
/// At another IRQL the call is harmless, but finds no task. A body on work items that has raised
/// its IRQL to DISPATCH_LEVEL gets false.
///
/// ```
/// /// Ends early, with a partial sum, when it is asked to stop.
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
        // SAFETY: a node on the stack means that its task is being polled here.
        let taken = unsafe { node.task.header() }.state.take_cancel();
        if taken {
            node.untaken.set(false);
            // SAFETY: the node's task is being polled here, so we are its poller.
            unsafe { node.task.note_cancel() };
        }
        taken
    })
}

/// Tells whether the task that is being polled is asked to stop.
///
/// That is so while a request is pending, and once the task unwinds.
///
/// It returns false outside a task and inside a cleanup. It finds the task, at the same IRQL, as
/// [`take_cancellation_request`] does.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// ntcom_exec::spawn_dpc_task(async {
///     assert!(!ntcom_exec::is_cancellation_requested(), "no cancel has been requested yet");
/// }).unwrap();
/// # }).unwrap();
/// ```
#[must_use]
pub fn is_cancellation_requested() -> bool {
    ambient::current(|node| {
        node.filter(|node| !node.is_masked()).is_some_and(|node| {
            // SAFETY: a node on the stack means that its task is being polled here.
            let state = unsafe { &node.task.header().state };
            state.cancel_requested() || state.is_unwinding()
        })
    })
}

/// The requests of a `try_finally` to the task that is being polled, which are the poller's side of
/// `[C10]`.
pub(crate) mod unwind {
    use super::{FailFast, TaskPtr, ambient, fail_fast};

    /// Tells whether a main future that has returned Pending must be dropped now. If so, the task
    /// unwinds from here on.
    pub(crate) fn begin() -> bool {
        ambient::current(|node| {
            let Some(node) = node.filter(|node| !node.is_masked()) else { return false };
            // SAFETY: a node on the stack means that its task is being polled here.
            let header = unsafe { node.task.header() };
            // SAFETY: the node's task is being polled here, so we are its poller.
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

    /// Tells whether the task that is being polled unwinds, and so ends Canceled.
    pub(crate) fn has_begun() -> bool {
        ambient::current(|node| {
            // SAFETY: a node on the stack means that its task is being polled here.
            node.is_some_and(|node| unsafe { node.task.header() }.state.is_unwinding())
        })
    }

    /// Begins a cleanup. Returns the task that counts it, if there is one.
    pub(crate) fn begin_cleanup() -> Option<TaskPtr> {
        ambient::current(|node| {
            let task = node?.task;
            // SAFETY: the node's task is being polled here, so we are its poller.
            unsafe { task.count_cleanup(1) };
            Some(task)
        })
    }

    /// Ends the cleanup that `counted` counts, because it has ended or is dropped.
    ///
    /// Fails fast if `counted` is not the task that is being polled, because a `try_finally` that
    /// has begun stays in its task.
    pub(crate) fn end_cleanup(counted: TaskPtr) {
        ambient::current(|node| match node {
            // SAFETY: the node's task is being polled here, so we are its poller.
            Some(node) if node.task == counted => unsafe { counted.count_cleanup(-1) },
            _ => fail_fast(FailFast::Protocol),
        });
    }
}

impl TaskPtr {
    /// Tells whether a cleanup has begun and has not ended.
    ///
    /// # Safety
    /// The caller is the poller.
    pub(crate) unsafe fn is_cleaning(self) -> bool {
        // SAFETY: the caller is the poller, and the closure does not call back.
        unsafe { self.polling(|polling| polling.cleanups > 0) }
    }

    /// # Safety
    /// The caller is the poller.
    unsafe fn count_cleanup(self, by: i32) {
        // A body cannot hold 2^32 futures. The count goes below zero for a cleanup that another
        // task counted, if that task's block stood at this address before.
        let count = |polling: &mut Polling| match polling.cleanups.checked_add_signed(by) {
            Some(count) => polling.cleanups = count,
            None => fail_fast(FailFast::Protocol),
        };
        // SAFETY: the caller is the poller, and the closure does not call back.
        unsafe { self.polling(count) }
    }

    /// Records that the body has been shown a cancel request.
    ///
    /// # Safety
    /// The caller is the poller.
    pub(super) unsafe fn note_cancel(self) {
        // SAFETY: the caller is the poller, and the closure does not call back.
        unsafe { self.polling(|polling| polling.cancel_seen = true) }
    }

    /// Tells whether a cancel request has ever reached the body, or is pending.
    ///
    /// # Safety
    /// The caller is the poller.
    pub(super) unsafe fn was_cancelled(self) -> bool {
        // SAFETY: the poller's reference keeps the block.
        let pending = unsafe { self.header() }.state.cancel_requested();
        // SAFETY: the caller is the poller, and the closure does not call back.
        pending || unsafe { self.polling(|polling| polling.cancel_seen) }
    }

    /// # Safety
    /// The caller is the poller, and `f` does not call this function.
    unsafe fn polling<R>(self, f: impl FnOnce(&mut Polling) -> R) -> R {
        // SAFETY: the poller's reference keeps the block.
        let header = unsafe { self.header() };
        header.polling.with_mut(|polling| {
            // SAFETY: the state is the poller's own [T2], and `f` does not reach it again.
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
        let run = kernel.run_on(0, || {
            let body = poll_fn(|_| {
                let here = ambient::current(|node| node.map(|node| node.task));
                here.map_or(Poll::Pending, |task| {
                    unwind::end_cleanup(task);
                    Poll::Ready(())
                })
            });
            assert!(crate::spawn_dpc_task(body).is_ok());
        });
        let Err(Stop::BugCheck(bug)) = run else { panic!("{run:?}") };
        assert_eq!((bug.code, bug.parameters[0]), (0x139, 5));
    }
}
