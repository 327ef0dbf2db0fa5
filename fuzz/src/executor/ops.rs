//! The steps of actors. A step is a record of four bytes, and every four bytes are a step.
//!
//! ```text
//! executor   "NTE1"  setting  0  0  0     record*
//! faults     "NTF1"  setting  0  0  0     record*
//! record     opcode | actor << 6    target   a   b
//! ```
//!
//! A `Spawn` takes the record after it too. Its steps are `a b` and the next four bytes. A handle,
//! waker, timer or sender is chosen when the step is done, as the n-th of those that exist, modulo
//! their number. A change that gives existing inputs another meaning is a breaking change and takes
//! a new version number.

use core::{fmt, time::Duration};

use ntcom_fuzz_model::{
    limits::{LONGEST, RECORD},
    script::{STEPS, take_steps},
};

use super::{
    DEVICES, STORAGES,
    script::{EVENTS, GATES, SIGNALS, Script, Shape, Span},
};

/// The time budget of a frugal task.
pub const FRUGAL: Duration = Duration::from_micros(5);

/// The way in which a task on DPCs is spawned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpawnMode {
    /// With the default options.
    Plain,
    /// With a DPC of this importance, and a pool tag of its own.
    Important(u8),
    /// On the processor with this number, modulo the number of processors.
    Pinned(u8),
    /// With at most this many polls in one run, and at most [`FRUGAL`] of time.
    Frugal(u8),
    /// In the driver's own memory with this number.
    InPlace(u8),
    /// With options that the executor refuses.
    Wrong(u8),
    /// As an operation of `ntcom`.
    Operation,
}

impl SpawnMode {
    const fn select(selector: u8, operand: u8) -> Self {
        match selector & 7 {
            2 => Self::Operation,
            3 => Self::Important(operand & 3),
            4 => Self::Pinned(operand & 3),
            5 => Self::Frugal([1, 3, 16, 200][(operand & 3) as usize]),
            6 => Self::InPlace(operand % STORAGES as u8),
            7 => Self::Wrong(operand & 3),
            _ => Self::Plain,
        }
    }
}

/// The DPCs or work items that a task runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskKind {
    /// DPCs.
    Dpc(SpawnMode),
    /// Work items of this device. `None` passes a null pointer.
    WorkItem(Option<u8>),
    /// DPCs, and work items of this device while its body wants PASSIVE_LEVEL.
    Moving(Option<u8>),
}

impl Default for TaskKind {
    fn default() -> Self {
        Self::Dpc(SpawnMode::Plain)
    }
}

/// The distance by which the clock is moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticks(u8);

impl Ticks {
    /// The distance in units of 100 ns.
    #[must_use]
    pub const fn units(self) -> u64 {
        [1_000, 156_250, 312_500, 1_000_000][(self.0 & 3) as usize]
    }
}

/// A step of one actor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Spawns a task.
    Spawn {
        /// What the task runs on.
        kind: TaskKind,
        /// The task's body.
        script: Script,
        /// Whether the spawner gets a cancel handle.
        cancellable: bool,
        /// Whether the task serves an IRP.
        irp: bool,
        /// Whether the task is an operation of `ntcom`, placed as its kind says.
        operation: bool,
    },
    /// Cancels by a handle.
    Cancel(u8),
    /// Clones a handle.
    CloneHandle(u8),
    /// Drops a handle.
    DropHandle(u8),
    /// Wakes with a waker from the stash, by value or by reference.
    WakeStash {
        /// The waker's index in the stash, modulo their number.
        index: u8,
        /// Whether the waker stays in the stash.
        by_ref: bool,
    },
    /// Clones a waker in the stash.
    CloneStash(u8),
    /// Drops a waker from the stash.
    DropStash(u8),
    /// Opens a gate.
    OpenGate(u8),
    /// Sets a signal.
    SetSignal(u8),
    /// Takes a signal, without waiting.
    TakeSignal(u8),
    /// Sets one of the kernel events.
    SetEvent(u8),
    /// Sends to a receiver.
    Send(u8),
    /// Drops a sender.
    DropSender(u8),
    /// Polls a timer that a body has given away.
    PollTimer(u8),
    /// Drops a timer that a body has given away.
    DropTimer(u8),
    /// Cancels an IRP.
    CancelIrp(u8),
    /// Asks an operation for its status and result.
    AskOperation(u8),
    /// Cancels an operation.
    CancelOperation(u8),
    /// Releases an operation.
    DropOperation(u8),
    /// Moves the clock on.
    AdvanceTime(Ticks),
    /// Raises the IRQL to DISPATCH_LEVEL.
    Raise,
    /// Lowers the IRQL again.
    Lower,
    /// Waits until no task is left, for at most this span.
    Drain(Span),
    /// Cancels every task.
    CancelAll,
    /// Asks how many tasks have not ended.
    Unfinished,
    /// Closes the tracker.
    Close,
    /// Deletes a device. It is freed with its last reference.
    DeleteDevice(u8),
    /// Makes the n-th allocation from now fail.
    FailAllocation(u8),
    /// Carries three bytes for the schedule, and does nothing else.
    Schedule([u8; 3]),
}

impl Op {
    /// A number for each kind of operation, from 1.
    #[must_use]
    pub const fn number(&self) -> u8 {
        match self {
            Self::Spawn { .. } => 1,
            Self::Cancel(_) => 2,
            Self::CloneHandle(_) => 3,
            Self::DropHandle(_) => 4,
            Self::WakeStash { .. } => 5,
            Self::CloneStash(_) => 6,
            Self::DropStash(_) => 7,
            Self::OpenGate(_) => 8,
            Self::SetSignal(_) => 9,
            Self::TakeSignal(_) => 10,
            Self::Send(_) => 11,
            Self::DropSender(_) => 12,
            Self::PollTimer(_) => 13,
            Self::DropTimer(_) => 14,
            Self::CancelIrp(_) => 15,
            Self::AskOperation(_) => 16,
            Self::CancelOperation(_) => 17,
            Self::DropOperation(_) => 18,
            Self::AdvanceTime(_) => 19,
            Self::Raise => 20,
            Self::Lower => 21,
            Self::Drain(_) => 22,
            Self::CancelAll => 23,
            Self::Unfinished => 24,
            Self::Close => 25,
            Self::DeleteDevice(_) => 26,
            Self::FailAllocation(_) => 27,
            Self::SetEvent(_) => 28,
            Self::Schedule(_) => 29,
        }
    }

    /// Whether this is done to a task, or to an object that a task waits for or has given away. The
    /// other steps only change the state that later steps meet.
    #[must_use]
    pub const fn reaches_something(&self) -> bool {
        self.number() <= 18
    }
}

const _: () = assert!(size_of::<ExecutorStep>() <= 16, "steps are copied often");

/// A step with the actor that does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExecutorStep {
    /// The actor.
    pub actor: u8,
    /// The call or command.
    pub op: Op,
}

impl fmt::Display for ExecutorStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A{} {:?}", self.actor, self.op)
    }
}

/// Decodes records until they are used up, into steps and bytes for the schedule. `faults` says
/// whether allocations may fail.
#[must_use]
pub fn decode(mut records: &[u8], faults: bool) -> (Vec<ExecutorStep>, Vec<u8>) {
    let mut steps = Vec::with_capacity((records.len() / RECORD).min(LONGEST));
    let mut schedule = Vec::new();
    for _ in 0..LONGEST {
        let Some((head, rest)) = records.split_first_chunk() else { break };
        let (op, rest) = decode_op(*head, rest, faults);
        match op {
            Op::Schedule(bytes) => schedule.extend_from_slice(&bytes),
            op => steps.push(ExecutorStep { actor: head[0] >> 6, op }),
        }
        records = rest;
    }
    (steps, schedule)
}

/// Decodes a record. Returns its step and the records behind those that it used.
#[inline]
fn decode_op([head, target, a, b]: [u8; RECORD], mut rest: &[u8], faults: bool) -> (Op, &[u8]) {
    let op = match head & 31 {
        0..=5 => {
            let steps = take_steps([a, b], &mut rest);
            let last = steps[STEPS - 1];
            let device = if target >> 5 == 7 { None } else { Some(target >> 5 & 1) };
            Op::Spawn {
                // This reuses the byte of the last step, because the meaning of that step rarely
                // matters.
                kind: match target & 3 {
                    0 | 1 => TaskKind::Dpc(SpawnMode::select(target >> 5, last >> 5 ^ last)),
                    2 => TaskKind::WorkItem(device),
                    _ => TaskKind::Moving(device),
                },
                script: Script { shape: Shape::ALL[usize::from(target >> 2 & 7)], steps },
                cancellable: head & 1 == 1,
                irp: head & 0x22 == 0x20,
                operation: head & 0x22 == 0x22 && target & 3 >= 2,
            }
        }
        6 | 7 => Op::Cancel(a),
        8 => Op::CloneHandle(a),
        9 => Op::DropHandle(a),
        10 | 11 => Op::WakeStash { index: a, by_ref: head & 1 == 1 },
        12 => Op::CloneStash(a),
        13 => Op::DropStash(a),
        14 | 15 => Op::OpenGate(a % GATES as u8),
        16 => Op::SetSignal(a % SIGNALS as u8),
        17 if b & 7 == 0 => Op::TakeSignal(a % SIGNALS as u8),
        17 if b & 7 < 3 => Op::SetEvent(a % EVENTS as u8),
        17 => Op::SetSignal(a % SIGNALS as u8),
        18 => Op::Send(a),
        19 => Op::DropSender(a),
        20 => Op::DropTimer(a),
        21 => Op::PollTimer(a),
        22 => Op::AdvanceTime(Ticks(a)),
        23 if a & 1 == 0 => Op::Raise,
        23 => Op::Lower,
        24 => Op::Drain(Span::new(a % 7)),
        25 => match a % 3 {
            0 => Op::CancelAll,
            1 => Op::Unfinished,
            _ => Op::DeleteDevice(b % DEVICES as u8),
        },
        26 if a & 7 == 0 => Op::Close,
        26 if a & 7 < 3 => Op::CancelIrp(b),
        26 => match a & 7 {
            3 | 4 => Op::AskOperation(b),
            5 => Op::CancelOperation(b),
            _ => Op::DropOperation(b),
        },
        27 if faults => Op::FailAllocation(a & 3),
        27 => Op::AdvanceTime(Ticks(a)),
        _ => Op::Schedule([target, a, b]),
    };
    (op, rest)
}
