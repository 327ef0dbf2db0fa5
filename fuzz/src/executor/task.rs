//! The events of each task.

use core::cell::Cell;

use ntcom_exec::DEFAULT_POLL_BUDGET;
use ntsim::trace::{Mark, MarkKind};

use super::{
    ops::{SpawnMode, TaskKind},
    script::Script,
};
use crate::harness::body::BodyRecord;

/// A task from the harness's view.
#[derive(Default)]
pub struct Task {
    /// What the task runs on.
    pub kind: Cell<TaskKind>,
    /// The task's script.
    pub script: Cell<Script>,
    /// The IRQL at which it was passed to a spawn that has not returned.
    pub spawning: Cell<Option<u8>>,
    /// Whether the spawn has returned and made the task.
    pub spawned: Cell<bool>,
    /// Whether the spawn dropped the body.
    pub refused: Cell<bool>,
    /// The events of the body.
    pub body: BodyRecord,
    /// Number of handles of the task.
    pub handles: Cell<u32>,
    /// Whether it serves an IRP.
    pub serves: Cell<bool>,
    /// Whether the IRP has been cancelled.
    pub irp_canceled: Cell<bool>,
    /// The status with which its spawn failed.
    pub refusal: Cell<Option<u32>>,
    /// The status and information with which its IRP was completed.
    pub completed: Cell<Option<(u32, usize)>>,
    /// Number of consecutive polls that only its own wakes asked for.
    pub chain: Cell<u32>,
    /// The start of that chain, as the number of DPCs that had run and the time.
    pub chain_start: Cell<(u64, u64)>,
    /// The run's number of DPCs, and the times of its first and last poll, for a task with a time
    /// budget.
    pub run_start: Cell<(u64, u64, u64)>,
    /// The clock tick before its last poll.
    pub polled_since: Cell<Option<u64>>,
}

impl Task {
    /// Whether a handle keeps the task and no request for its cancellation can have come. Such a
    /// task was not abandoned.
    pub fn is_left_alone(&self) -> bool {
        self.handles.get() > 0 && self.body.is_unasked()
    }

    /// Whether the task was spawned and its body has not been dropped.
    pub fn is_unfinished(&self) -> bool {
        self.spawned.get() && self.body.drops.get() == 0
    }

    /// Whether it runs on DPCs only.
    pub fn is_on_dpcs(&self) -> bool {
        matches!(self.kind.get(), TaskKind::Dpc(_))
    }

    /// The number of polls that it may have in one run.
    pub fn budget(&self) -> u32 {
        match self.kind.get() {
            TaskKind::Dpc(SpawnMode::Frugal(polls)) => polls.into(),
            _ => DEFAULT_POLL_BUDGET.get(),
        }
    }

    /// The state of the task, in a few bits.
    #[must_use]
    pub fn situation(&self) -> u32 {
        u32::from(self.body.polls.get() > 0)
            | u32::from(self.body.drops.get() > 0) << 1
            | (self.body.waiting.get() as u32) << 2
            | u32::from(self.body.polling.get().is_some()) << 15
            | u32::from(self.is_on_dpcs()) << 6
            | u32::from(self.body.asked.get()) << 7
            | u32::from(self.spawning.get().is_some()) << 8
            | u32::from(self.handles.get() > 0) << 9
            | (self.script.get().shape as u32) << 10
            | u32::from(matches!(self.kind.get(), TaskKind::Moving(_))) << 13
            | u32::from(self.serves.get()) << 14
    }
}

/// Marks in the trace an action on a task.
#[inline(always)]
pub fn marked(kind: MarkKind, task: usize, detail: &'static str) {
    ntsim::mark(|| Mark::new(kind, format!("task {task}")).detail(detail));
}

/// Ends the run, because this task breaks this rule.
pub fn fail(rule: &'static str, task: usize, message: &str) -> ! {
    ntsim::fail(rule, format!("task {task}: {message}"))
}
