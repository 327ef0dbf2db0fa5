//! The level of a task's runs, which follows from the number of body parts that want PASSIVE_LEVEL.
//!
//! The poller writes the count. Code that queues the task reads it too. It reads after the step
//! that obliged it to queue the task, which has seen every poll before it, and before the run that
//! follows. So the count is never written at the same time `[T2]`, `[T3]`.

#[cfg(all(test, loom))]
mod loom_tests;

use super::header::{Level, TaskPtr};
use crate::{
    ambient,
    fail::{FailFast, fail_fast},
};

/// The level at which a future that wants PASSIVE_LEVEL is being polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RunLevel {
    /// In a poll of a task that is always at PASSIVE_LEVEL.
    AlwaysPassive,
    /// In a poll of this task at PASSIVE_LEVEL, to which it has migrated.
    Migrated(TaskPtr),
    /// In a poll of this task at DISPATCH_LEVEL. The task can migrate.
    Dispatch(TaskPtr),
    /// In no task, or in one that cannot migrate.
    CannotMigrate,
}

/// Returns the level of the poll that the caller is in.
pub(crate) fn run_level() -> RunLevel {
    ambient::current(|node| {
        let Some(node) = node else { return RunLevel::CannotMigrate };
        // SAFETY: a node on the stack means that its task is being polled here.
        let level = unsafe { node.task.header() }.vtable.level;
        match (level, node.in_thread) {
            (Level::Passive, _) => RunLevel::AlwaysPassive,
            (Level::Migrating, true) => RunLevel::Migrated(node.task),
            (Level::Migrating, false) => RunLevel::Dispatch(node.task),
            (Level::Dispatch, _) => RunLevel::CannotMigrate,
        }
    })
}

/// Tells whether a part of the body that is being polled here wants PASSIVE_LEVEL.
pub(crate) fn is_wanted() -> bool {
    ambient::current(|node| {
        // SAFETY: a node on the stack means that its task is being polled here, so we are its
        // poller.
        node.is_some_and(|node| unsafe { node.task.wants_passive() })
    })
}

/// Counts one more part of the body that is being polled here and wants PASSIVE_LEVEL.
pub(crate) fn begin(task: TaskPtr) {
    count(task, 1);
}

/// Counts one part fewer. `task` is the task that [`begin`] was given.
pub(crate) fn end(task: TaskPtr) {
    count(task, -1);
}

/// Changes the count. Fails fast if `task` is not the task that is being polled, because a future
/// that has begun stays in its task.
fn count(task: TaskPtr, by: i32) {
    ambient::current(|node| {
        if node.is_none_or(|node| node.task != task) {
            fail_fast(FailFast::Protocol);
        }
    });
    // SAFETY: the check above shows that the task is being polled here, so we are its poller.
    let header = unsafe { task.header() };
    header.polling.with_mut(|polling| {
        // SAFETY: the state is the poller's own [T2].
        let polling = unsafe { &mut *polling };
        match polling.passives.checked_add_signed(by) {
            Some(count) => polling.passives = count,
            None => fail_fast(FailFast::Protocol),
        }
    });
}

impl TaskPtr {
    /// Tells whether the next run of a task that migrates must be at PASSIVE_LEVEL.
    ///
    /// # Safety
    /// The caller is the poller, or a step has obliged it to queue the task and it has not queued
    /// the task yet.
    pub(crate) unsafe fn wants_passive(self) -> bool {
        // SAFETY: the poller's reference, or the queue's, keeps the block.
        let header = unsafe { self.header() };
        // SAFETY: only the poller writes the count, and the caller is the poller, or no run has
        // begun yet.
        header.polling.with(|polling| unsafe { (*polling).passives } > 0)
    }

    /// Tells whether the task must leave this run for the other executor. This run is at
    /// PASSIVE_LEVEL if `in_thread` is true, otherwise at DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The caller is the poller.
    pub(super) unsafe fn must_migrate(self, in_thread: bool) -> bool {
        // SAFETY: the poller's reference keeps the block.
        let migrates = unsafe { self.header() }.vtable.level == Level::Migrating;
        // SAFETY: the caller is the poller.
        migrates && unsafe { self.wants_passive() } != in_thread
    }
}
