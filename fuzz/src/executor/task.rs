//! The events of each task.

use core::{cell::Cell, task::Waker};

use ntcom_exec::DEFAULT_POLL_BUDGET;
use ntsim::trace::{Mark, MarkKind};

use super::{
    ops::{SpawnMode, TaskKind},
    script::{Script, Shape},
};

/// Why a body is not being polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// It has not been polled, or is not waiting.
    Nothing,
    /// For a gate.
    Gate,
    /// For a signal.
    Signal,
    /// For a timer.
    Timer,
    /// For a value.
    Value,
    /// It is parked and has kept no waker.
    Parked,
    /// For its own wake.
    Itself,
    /// For PASSIVE_LEVEL, or for something that it does there.
    Passive,
}

/// A task from the harness's view.
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
    /// Number of polls.
    pub polls: Cell<u32>,
    /// Number of drops of the body.
    pub drops: Cell<u32>,
    /// The processor that polls it now, or has begun to.
    pub polling: Cell<Option<usize>>,
    /// Whether it has returned Ready.
    pub ready: Cell<bool>,
    /// The reason for its last Pending.
    pub waiting: Cell<Waiting>,
    /// Number of handles of the task.
    pub handles: Cell<u32>,
    /// The task's own waker, if it keeps one.
    pub kept: Cell<Option<Waker>>,
    /// An actor or a task has asked for its cancellation, and since then it has neither been polled
    /// nor acted on a request.
    pub asked: Cell<bool>,
    /// An actor or a task has asked for its cancellation at some time.
    pub ever_asked: Cell<bool>,
    /// A request to all tasks came while its spawn was under way, and may have reached it.
    pub maybe_asked: Cell<bool>,
    /// Whether it has taken a request.
    pub took: Cell<bool>,
    /// Whether a `try_finally` or an `on_cancel` of its body has yielded `None`.
    pub unwound: Cell<bool>,
    /// Whether it serves an IRP.
    pub serves: Cell<bool>,
    /// Whether the IRP has been cancelled.
    pub irp_canceled: Cell<bool>,
    /// The status with which its spawn failed.
    pub refusal: Cell<Option<u32>>,
    /// The status and information with which its IRP was completed.
    pub completed: Cell<Option<(u32, usize)>>,
    /// A bit for each part that has been polled, and, four bits up, for each that has ended.
    pub parts: Cell<u8>,
    /// Number of consecutive polls that only its own wakes asked for.
    pub chain: Cell<u32>,
    /// The start of that chain, as the number of DPCs that had run and the time.
    pub chain_start: Cell<(u64, u64)>,
    /// The run's number of DPCs, and the times of its first and last poll, for a task with a time
    /// budget.
    pub run_start: Cell<(u64, u64, u64)>,
}

const NOTHING: Script = Script { shape: Shape::Plain, steps: [0; super::script::STEPS] };

impl Task {
    pub(super) const fn new() -> Self {
        Self {
            kind: Cell::new(TaskKind::Dpc(SpawnMode::Plain)),
            script: Cell::new(NOTHING),
            spawning: Cell::new(None),
            spawned: Cell::new(false),
            refused: Cell::new(false),
            polls: Cell::new(0),
            drops: Cell::new(0),
            polling: Cell::new(None),
            ready: Cell::new(false),
            waiting: Cell::new(Waiting::Nothing),
            handles: Cell::new(0),
            kept: Cell::new(None),
            asked: Cell::new(false),
            ever_asked: Cell::new(false),
            maybe_asked: Cell::new(false),
            took: Cell::new(false),
            unwound: Cell::new(false),
            serves: Cell::new(false),
            irp_canceled: Cell::new(false),
            refusal: Cell::new(None),
            completed: Cell::new(None),
            parts: Cell::new(0),
            chain: Cell::new(0),
            chain_start: Cell::new((0, 0)),
            run_start: Cell::new((0, 0, 0)),
        }
    }

    /// Resets the record for the next run. Leaks the waker that the task kept.
    pub(super) fn reset(&self) {
        super::world::leak(self.kept.take());
        self.spawning.set(None);
        self.spawned.set(false);
        self.refused.set(false);
        self.polls.set(0);
        self.drops.set(0);
        self.polling.set(None);
        self.ready.set(false);
        self.waiting.set(Waiting::Nothing);
        self.handles.set(0);
        self.asked.set(false);
        self.ever_asked.set(false);
        self.maybe_asked.set(false);
        self.took.set(false);
        self.unwound.set(false);
        self.serves.set(false);
        self.irp_canceled.set(false);
        self.refusal.set(None);
        self.completed.set(None);
        self.parts.set(0);
        self.chain.set(0);
    }

    /// Records that a request for its cancellation is about to come.
    pub fn ask(&self) {
        self.asked.set(true);
        self.ever_asked.set(true);
    }

    /// Whether a handle keeps the task and no request for its cancellation can have come. Such a
    /// task was not abandoned.
    pub fn is_left_alone(&self) -> bool {
        self.handles.get() > 0 && !self.ever_asked.get() && !self.maybe_asked.get()
    }

    /// Whether the task was spawned and its body has not been dropped.
    pub fn is_unfinished(&self) -> bool {
        self.spawned.get() && self.drops.get() == 0
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
        u32::from(self.polls.get() > 0)
            | u32::from(self.drops.get() > 0) << 1
            | (self.waiting.get() as u32) << 2
            | u32::from(self.polling.get().is_some()) << 15
            | u32::from(self.is_on_dpcs()) << 6
            | u32::from(self.asked.get()) << 7
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
