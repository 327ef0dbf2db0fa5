//! The operation grammar. A client's step is a record of four bytes, and every four bytes are a
//! step.
//!
//! ```text
//! vtable     "NTV2"                              record*
//! schedules  "NTS2"  processors  flags  0  0     record*
//! record     opcode | processor << 6    target   a   b
//! flags      1: the driver is unloaded in the middle of the run
//!            2: waits and parks with an operand above 7 are timers
//! ```
//!
//! A `Spawn` and a `Call` take the record after them too. Their steps are `a b` and the next four
//! bytes. A target is resolved when the step is done, to the n-th of the operations that the
//! processor holds a reference to. So nearly every step reaches an operation. A change that gives
//! existing inputs another meaning is a breaking change and takes a new version number.

use core::fmt;

use crate::{
    call::Call,
    limits::{INTERFACES, LONGEST, OBJECTS, RECORD},
    script::{GATES, Script, Shape, take_steps},
    status::STATUSES,
    value::ValueKind,
};

/// The interface that a call goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// `IAsyncOperation<T>`.
    Operation,
    /// `IAsyncControl`.
    Control,
}

/// The IID that is passed to QueryInterface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Iid {
    /// `IUnknown`.
    Unknown,
    /// `IAsyncOperation`.
    Operation,
    /// `IAsyncControl`.
    Control,
    /// An interface that no operation has.
    Unsupported,
    /// A null pointer.
    Null,
}

/// The pointer that is passed for an out-parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Out {
    /// Aligned.
    Given,
    /// At an odd address.
    Misaligned,
    /// Null.
    Null,
}

/// The timeout that is passed to `wait`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// Zero.
    Zero,
    /// A null pointer, which waits for ever.
    Forever,
    /// One millisecond.
    Some,
}

/// The completion handler that is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handler {
    /// Records that it ran.
    Records,
    /// Releases a reference of its own, too.
    Releases,
    /// Null.
    Null,
}

/// A call of an object, apart from its async methods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectOp {
    /// `AddRef`.
    AddRef,
    /// `Release`.
    Release,
    /// `QueryInterface`, for one of four interfaces.
    Query(u8),
    /// The method that answers at once.
    Echo(u8),
}

/// Whether an object has the interface that a step queries it for.
#[must_use]
#[inline]
pub fn has_interface(which: u8) -> bool {
    usize::from(which) % INTERFACES + 1 < INTERFACES
}

/// A step of one client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Spawns an operation.
    Spawn {
        /// The type of the operation's value.
        kind: ValueKind,
        /// The operation's body.
        script: Script,
        /// Whether the spawner gets a cancel handle.
        cancellable: bool,
        /// Whether the body holds a reference to the target.
        linked: bool,
        /// Whether every processor gets a reference.
        shared: bool,
    },
    /// Makes an operation that failed before it began.
    SpawnError {
        /// The type of the operation's value.
        kind: ValueKind,
        /// The status, as an index into [`STATUSES`].
        status: u8,
    },
    /// `QueryInterface`.
    Query(Via, Iid, Out),
    /// `AddRef`.
    AddRef(Via),
    /// `Release`.
    Release(Via),
    /// `get_status`.
    GetStatus(Out),
    /// `get_result`.
    GetResult(Out),
    /// `cancel`.
    Cancel,
    /// `get_error`.
    GetError(Out),
    /// `get_result_size`.
    GetResultSize(Out),
    /// `set_completed`.
    SetCompleted(Handler),
    /// `wait`.
    Wait(Timeout),
    /// Opens a gate that bodies wait for.
    OpenGate(u8),
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
    /// Cancels through a handle.
    HandleCancel(u8),
    /// Clones a handle.
    HandleClone(u8),
    /// Drops a handle.
    HandleDrop(u8),
    /// Raises the IRQL to DISPATCH_LEVEL, where no DPC runs on this processor.
    Raise,
    /// Lowers the IRQL again, so that the DPCs run.
    Lower,
    /// Moves the clock by two ticks.
    AdvanceTime,
    /// Makes the next pool allocation fail, or the one after it.
    FailAllocation(u8),
    /// Calls an async method of an object, which is made if it does not exist yet.
    Call {
        /// The object's number.
        object: u8,
        /// The method, and the steps of its body.
        call: Call,
        /// Whether every processor gets a reference to the operation.
        shared: bool,
    },
    /// Makes another call of an object.
    Object(u8, ObjectOp),
    /// Cancels every task of the tracker.
    CancelAll,
    /// Carries three bytes for the schedule, and does nothing else.
    Schedule([u8; 3]),
}

impl Op {
    /// The step to do instead where there is no room for another operation, no waker in the stash,
    /// or no handle. The replacement makes it rare that a step reaches nothing.
    #[must_use]
    #[inline]
    pub fn instead(&self, room: bool, wakers: bool, handles: bool) -> Option<Self> {
        match self {
            Self::Spawn { .. } | Self::SpawnError { .. } | Self::Call { .. } if !room => {
                Some(Self::GetResult(Out::Given))
            }
            Self::WakeStash { index, .. } | Self::CloneStash(index) | Self::DropStash(index) if !wakers => {
                Some(Self::OpenGate(index % GATES as u8))
            }
            Self::HandleCancel(_) | Self::HandleClone(_) | Self::HandleDrop(_) if !handles => {
                Some(Self::Cancel)
            }
            _ => None,
        }
    }

    /// A number for each kind of operation, from 1.
    #[must_use]
    #[inline]
    pub const fn number(&self) -> u8 {
        match self {
            Self::Spawn { .. } => 1,
            Self::SpawnError { .. } => 2,
            Self::Query(..) => 3,
            Self::AddRef(_) => 4,
            Self::Release(_) => 5,
            Self::GetStatus(_) => 6,
            Self::GetResult(_) => 7,
            Self::Cancel => 8,
            Self::GetError(_) => 9,
            Self::GetResultSize(_) => 10,
            Self::SetCompleted(_) => 11,
            Self::Wait(_) => 12,
            Self::OpenGate(_) => 13,
            Self::WakeStash { .. } => 14,
            Self::CloneStash(_) => 15,
            Self::DropStash(_) => 16,
            Self::HandleCancel(_) => 17,
            Self::HandleClone(_) => 18,
            Self::HandleDrop(_) => 19,
            Self::Raise => 20,
            Self::Lower => 21,
            Self::AdvanceTime => 22,
            Self::FailAllocation(_) => 23,
            Self::CancelAll => 24,
            Self::Schedule(_) => 25,
            Self::Call { .. } => 26,
            Self::Object(..) => 27,
        }
    }

    /// Whether this is a command to the executor or to the world, rather than a slot call.
    #[must_use]
    #[inline]
    pub const fn is_command(&self) -> bool {
        !matches!(self.number(), 3..=12 | 26 | 27)
    }

    /// Whether this is done to an operation, a waker or a handle. The other steps only change the
    /// state that later steps meet.
    #[must_use]
    #[inline]
    pub const fn reaches_something(&self) -> bool {
        self.number() <= 19
    }
}

const _: () = assert!(size_of::<OperationStep>() <= 16, "steps are copied often");

/// A step with the processor that does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationStep {
    /// The processor that does this step. Always 0 in `vtable`.
    pub processor: u8,
    /// The operation that this step is done to. The [module](self) says how it is chosen.
    pub target: u8,
    /// The call or command.
    pub op: Op,
}

impl fmt::Display for OperationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{} {:?}", self.processor, self.op)?;
        match self.op {
            Op::Spawn { linked: false, .. }
            | Op::SpawnError { .. }
            | Op::OpenGate(_)
            | Op::WakeStash { .. }
            | Op::CloneStash(_)
            | Op::DropStash(_)
            | Op::HandleCancel(_)
            | Op::HandleClone(_)
            | Op::HandleDrop(_)
            | Op::Raise
            | Op::Lower
            | Op::AdvanceTime
            | Op::FailAllocation(_)
            | Op::Call { .. }
            | Op::Object(..)
            | Op::CancelAll
            | Op::Schedule(_) => Ok(()),
            _ => write!(f, " on its held operation #{} (modulo)", self.target),
        }
    }
}

/// Decodes records until they are used up. `keep` may change each step, and says whether it stays.
#[must_use]
pub fn decode(mut records: &[u8], mut keep: impl FnMut(&mut OperationStep) -> bool) -> Vec<OperationStep> {
    let mut steps = Vec::with_capacity((records.len() / RECORD).min(LONGEST));
    for _ in 0..LONGEST {
        let Some((head, rest)) = records.split_first_chunk() else { break };
        let (op, rest) = decode_op(*head, rest);
        let [opcode, target, ..] = *head;
        // The step is pushed first and popped if it is not wanted, because a copy costs more.
        steps.push(OperationStep { processor: opcode >> 6, target, op });
        if steps.last_mut().is_some_and(|step| !keep(step)) {
            steps.pop();
        }
        records = rest;
    }
    steps
}

/// Decodes a record. Returns its step and the records behind those that it used.
#[inline]
fn decode_op([head, target, a, b]: [u8; RECORD], mut rest: &[u8]) -> (Op, &[u8]) {
    let via = if a & 1 == 0 { Via::Operation } else { Via::Control };
    let out = match a >> 1 & 3 {
        0 | 1 => Out::Given,
        2 => Out::Misaligned,
        _ => Out::Null,
    };
    let op = match head & 31 {
        0..=3 => {
            let steps = take_steps([a, b], &mut rest);
            let selector = target >> 4;
            Op::Spawn {
                kind: ValueKind::select(target & 15),
                script: Script { shape: Shape::ALL[usize::from(selector & 7) % Shape::ALL.len()], steps },
                cancellable: head & 1 == 1,
                linked: selector & 8 != 0,
                shared: head & 2 == 0,
            }
        }
        4 => Op::SpawnError { kind: ValueKind::select(a), status: b % STATUSES.len() as u8 },
        5 => {
            let iid = [Iid::Unknown, Iid::Operation, Iid::Control, Iid::Control, Iid::Unsupported, Iid::Null];
            Op::Query(via, iid[usize::from(b) % iid.len()], out)
        }
        6 => Op::AddRef(via),
        7 | 8 => Op::Release(via),
        9 => Op::GetStatus(out),
        10 | 11 => Op::GetResult(out),
        12 | 13 => Op::Cancel,
        14 => Op::GetError(out),
        15 => Op::GetResultSize(out),
        16 => Op::SetCompleted(match a % 4 {
            0 | 1 => Handler::Records,
            2 => Handler::Releases,
            _ => Handler::Null,
        }),
        17 => Op::Wait(match a % 3 {
            0 => Timeout::Zero,
            1 => Timeout::Forever,
            _ => Timeout::Some,
        }),
        18 | 19 => Op::OpenGate(a % GATES as u8),
        20 => Op::WakeStash { index: a, by_ref: b & 1 == 1 },
        21 => Op::CloneStash(a),
        22 => Op::DropStash(a),
        23 => Op::HandleCancel(a),
        24 => Op::HandleClone(a),
        25 => Op::HandleDrop(a),
        26 if a & 1 == 0 => Op::Raise,
        26 => Op::Lower,
        27 => match a % 4 {
            0 | 1 => Op::AdvanceTime,
            2 => Op::FailAllocation(b & 1),
            _ => Op::CancelAll,
        },
        28 | 29 => Op::Call {
            object: (target >> 5 & 1) % OBJECTS as u8,
            call: Call::decode(target, take_steps([a, b], &mut rest)),
            shared: target >> 6 & 1 == 0,
        },
        30 => {
            let op = match a % 4 {
                0 => ObjectOp::AddRef,
                1 => ObjectOp::Release,
                2 => ObjectOp::Query(b),
                _ => ObjectOp::Echo(b),
            };
            Op::Object((target & 1) % OBJECTS as u8, op)
        }
        _ => Op::Schedule([target, a, b]),
    };
    (op, rest)
}

/// The number of the n-th set bit, modulo the number of set bits. A step's target chooses one of
/// the held operations so.
#[must_use]
#[inline]
pub fn nth_bit(bits: u32, n: u8) -> Option<usize> {
    let skip = u32::from(n).checked_rem(bits.count_ones())?;
    let mut rest = bits;
    for _ in 0..skip {
        rest &= rest - 1;
    }
    Some(rest.trailing_zeros() as usize)
}
