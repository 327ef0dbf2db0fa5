//! Where a task runs: how many parts of its body want PASSIVE_LEVEL, and what follows.
//!
//! The count is the poller's. Whoever queues the task reads it too: after the step that obliged him to, which has seen every poll
//! before it, and before the run that the queueing leads to. So it is never written meanwhile `[T2]`, `[T3]`.

#[cfg(all(test, loom))]
mod loom_tests;

use super::header::{Level, TaskPtr};
use crate::{
    ambient,
    fail::{FailFast, fail_fast},
};

/// Where a future that wants PASSIVE_LEVEL finds itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In a poll of a task that is at PASSIVE_LEVEL always.
    Home,
    /// In a poll of this task at PASSIVE_LEVEL, where it has moved to.
    Away(TaskPtr),
    /// In a poll of this task at DISPATCH_LEVEL; it can move.
    Dispatch(TaskPtr),
    /// In no task, or in one that cannot move.
    Stuck,
}

/// Where the caller is.
pub(crate) fn place() -> Place {
    ambient::current(|node| {
        let Some(node) = node else { return Place::Stuck };
        // SAFETY: a node on the stack means that its task is being polled, here.
        let level = unsafe { node.task.header() }.vtable.level;
        match (level, node.in_thread) {
            (Level::Passive, _) => Place::Home,
            (Level::Moving, true) => Place::Away(node.task),
            (Level::Moving, false) => Place::Dispatch(node.task),
            (Level::Dispatch, _) => Place::Stuck,
        }
    })
}

/// Does a part of the body that is being polled here want PASSIVE_LEVEL?
pub(crate) fn is_wanted() -> bool {
    ambient::current(|node| {
        // SAFETY: a node on the stack means that its task is being polled, here: we are its poller.
        node.is_some_and(|node| unsafe { node.task.wants_passive() })
    })
}

/// One more part of the body that is being polled here wants PASSIVE_LEVEL.
pub(crate) fn begin(task: TaskPtr) {
    count(task, 1);
}

/// One fewer; `task` is the one that [`begin`] was told.
pub(crate) fn end(task: TaskPtr) {
    count(task, -1);
}

/// Fails fast where `task` is not the one that is being polled: a future that has begun stays in its task.
fn count(task: TaskPtr, by: i32) {
    ambient::current(|node| {
        if node.is_none_or(|node| node.task != task) {
            fail_fast(FailFast::Protocol);
        }
    });
    // SAFETY: it is being polled, here: we are its poller.
    let header = unsafe { task.header() };
    header.polling.with_mut(|polling| {
        // SAFETY: the poller's own [T2].
        let polling = unsafe { &mut *polling };
        match polling.passives.checked_add_signed(by) {
            Some(count) => polling.passives = count,
            None => fail_fast(FailFast::Protocol),
        }
    });
}

impl TaskPtr {
    /// Is the next run to be at PASSIVE_LEVEL, of a task that moves?
    ///
    /// # Safety
    /// The caller is the poller, or a step has obliged it to queue the task, which it has not yet done.
    pub(crate) unsafe fn wants_passive(self) -> bool {
        // SAFETY: the poller's reference, or the queue's.
        let header = unsafe { self.header() };
        // SAFETY: nobody writes it meanwhile, by this function's contract.
        header.polling.with(|polling| unsafe { (*polling).passives } > 0)
    }

    /// Must the task leave this run, of the executor at PASSIVE_LEVEL (`in_thread`) or at DISPATCH_LEVEL, for the other?
    ///
    /// # Safety
    /// The caller is the poller.
    pub(super) unsafe fn must_move(self, in_thread: bool) -> bool {
        // SAFETY: the poller's reference.
        let moves = unsafe { self.header() }.vtable.level == Level::Moving;
        // SAFETY: the poller.
        moves && unsafe { self.wants_passive() } != in_thread
    }
}
