//! What has happened to a task.

use core::{cell::Cell, task::Waker};

use ntcom_exec::DEFAULT_POLL_BUDGET;
use ntsim::trace::{Mark, MarkKind};

use super::{
    ops::{Kind, Manner},
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
    /// For nothing: it has kept no waker.
    Parked,
    /// For its own wake.
    Itself,
    /// For PASSIVE_LEVEL, or for something there.
    Passive,
}

/// A task, as the harness sees it.
pub struct Task {
    /// What it runs on.
    pub kind: Cell<Kind>,
    /// What it does.
    pub script: Cell<Script>,
    /// It was handed to a spawn that has not come back, at this IRQL.
    pub spawning: Cell<Option<u8>>,
    /// The spawn has come back, and the task is one.
    pub spawned: Cell<bool>,
    /// Its body was dropped by the spawn.
    pub refused: Cell<bool>,
    /// How often it was polled.
    pub polls: Cell<u32>,
    /// How often its body was dropped.
    pub drops: Cell<u32>,
    /// The processor that polls it now, or has begun to.
    pub polling: Cell<Option<usize>>,
    /// It has returned Ready.
    pub ready: Cell<bool>,
    /// What its last Pending waits for.
    pub waiting: Cell<Waiting>,
    /// Handles that there are of it.
    pub handles: Cell<u32>,
    /// Its own waker.
    pub kept: Cell<Option<Waker>>,
    /// Somebody has asked for its cancellation, and it has neither been polled since nor acted on a request.
    pub asked: Cell<bool>,
    /// Somebody has ever asked for its cancellation.
    pub ever_asked: Cell<bool>,
    /// Everybody was asked while its spawn was under way: it may have been there.
    pub maybe_asked: Cell<bool>,
    /// It has taken a request.
    pub took: Cell<bool>,
    /// A `try_finally` or an `on_cancel` of its has yielded `None`.
    pub unwound: Cell<bool>,
    /// It serves an IRP.
    pub serves: Cell<bool>,
    /// The IRP has been cancelled.
    pub irp_canceled: Cell<bool>,
    /// Why its spawn has failed.
    pub refusal: Cell<Option<u32>>,
    /// What its IRP was completed with.
    pub completed: Cell<Option<(u32, usize)>>,
    /// A bit for each part that has been polled, and, four bits up, for each that has ended.
    pub parts: Cell<u8>,
    /// How many polls were owed to its own wakes alone, in a row.
    pub chain: Cell<u32>,
    /// When that began: DPCs that had run, and the time.
    pub chain_start: Cell<(u64, u64)>,
    /// The same of the first and the time of the last poll of a run, for a task whose time in it is limited.
    pub run_start: Cell<(u64, u64, u64)>,
}

const NOTHING: Script = Script { shape: Shape::Plain, steps: [0; super::script::STEPS] };

impl Task {
    pub(super) const fn new() -> Self {
        Self {
            kind: Cell::new(Kind::Dpc(Manner::Plain)),
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

    /// As it was before it was used. The waker that it kept is leaked.
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

    /// Somebody is about to ask for its cancellation.
    pub fn ask(&self) {
        self.asked.set(true);
        self.ever_asked.set(true);
    }

    /// Somebody holds it, so it was not abandoned, and nobody can have asked for its cancellation.
    pub fn is_left_alone(&self) -> bool {
        self.handles.get() > 0 && !self.ever_asked.get() && !self.maybe_asked.get()
    }

    /// It is one, and its body has not been dropped.
    pub fn is_unfinished(&self) -> bool {
        self.spawned.get() && self.drops.get() == 0
    }

    /// Whether it runs on DPCs only.
    pub fn is_on_dpcs(&self) -> bool {
        matches!(self.kind.get(), Kind::Dpc(_))
    }

    /// How often it may be polled in one run.
    pub fn budget(&self) -> u32 {
        match self.kind.get() {
            Kind::Dpc(Manner::Frugal(polls)) => polls.into(),
            _ => DEFAULT_POLL_BUDGET.get(),
        }
    }

    /// How it stands, in a few bits.
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
            | u32::from(matches!(self.kind.get(), Kind::Moving(_))) << 13
            | u32::from(self.serves.get()) << 14
    }
}

/// Says in the trace, where there is one, what is done to a task.
#[inline(always)]
pub fn marked(kind: MarkKind, task: usize, detail: &'static str) {
    ntsim::mark(|| Mark::new(kind, format!("task {task}")).detail(detail));
}

/// Ends the run: this rule is broken by this task.
pub fn fail(rule: &'static str, task: usize, message: &str) -> ! {
    ntsim::fail(rule, format!("task {task}: {message}"))
}
