//! Inputs of `foreign`: every four bytes are a step of the client's or of the other side.

use core::fmt;
use std::rc::Rc;

use ntcom::{NTSTATUS, com::E_NOINTERFACE};

use super::kind::Kind;
use crate::{
    input::{Input, Malformed, Record, program, setting},
    ops::RECORD,
};

/// What the other side may say: the codes of the contract, and some that are none of it.
pub const CODES: [NTSTATUS; 16] = [
    NTSTATUS::SUCCESS,
    NTSTATUS::PENDING,
    NTSTATUS::SUCCESS,
    NTSTATUS::TIMEOUT,
    NTSTATUS::CANCELLED,
    NTSTATUS::NOINTERFACE,
    NTSTATUS::SUCCESS,
    E_NOINTERFACE,
    NTSTATUS::INVALID_PARAMETER,
    NTSTATUS::INVALID_DEVICE_STATE,
    NTSTATUS::INSUFFICIENT_RESOURCES,
    NTSTATUS::DRIVER_INTERNAL_ERROR,
    // S_FALSE; an informational code; a warning; what is 0 in its low half only.
    NTSTATUS(1),
    NTSTATUS(0x4000_0000),
    NTSTATUS::from_u32(0x8000_0005),
    NTSTATUS(0x0001_0000),
];

/// What get_result_size may write.
pub const SIZES: [u32; 8] = [0, 0x1111_1111, 4, 8, 1, 16, u32::MAX, 2];

/// What get_status may write.
pub const STATUSES: [i32; 8] = [0, 1, 2, 3, 4, -1, i32::MIN, 0x100];

/// A slot that has a mind of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// QueryInterface, for whatever interface.
    Query,
    /// `get_status`.
    Status,
    /// `get_result`.
    Result,
    /// `cancel`.
    Cancel,
    /// `get_error`.
    Error,
    /// `set_completed`.
    SetCompleted,
    /// `wait`.
    Wait,
    /// `get_result_size`.
    Size,
}

impl Slot {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Query,
        Self::Status,
        Self::Result,
        Self::Cancel,
        Self::Error,
        Self::SetCompleted,
        Self::Wait,
        Self::Size,
    ];
}

/// What a slot is to say next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its answer, of [`CODES`].
    pub code: u8,
    /// What it writes, of what its kind of slot can.
    pub value: u8,
    /// It writes nothing.
    pub silent: bool,
}

/// One of the two tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// The operation's.
    Operation,
    /// The control's.
    Control,
}

/// What is wrong with an interface that an operation yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// It has no table any more.
    Vanished,
    /// Slots are null now.
    NoQuery,
    /// See `NoQuery`.
    NoAddRef,
    /// See `NoQuery`.
    NoRelease,
    /// Its own one.
    NoMethod,
    /// QueryInterface answers this, of [`CODES`], and gives nothing.
    Lies(u8),
}

/// How a future is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct How {
    /// `cancel_on_drop`.
    pub cancels: bool,
    /// `watched`.
    pub watched: bool,
    /// `look_every(0)`.
    pub often: bool,
}

/// What is done once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// A new object with values of this type, of which the client has one reference.
    New(Kind),
    /// The other side makes up its mind about a slot: once more than before. It says one thing after the other, and begins anew.
    Answer(Slot, Answer),
    /// It is Started, Completed, Canceled or Error now, and says so wherever it has nothing else in mind.
    Become(u8),
    /// Slots of a table, but for IUnknown's, are null now: those with a bit set.
    Holes(Table, u8),
    /// A table is null now. What is to be released through it is lost.
    Vanish(Table),
    /// It has the IUnknown slot with this number be null in the control that it gives out.
    Headless(u8),
    /// What it yields, if that is an interface, has a flaw.
    Spoil(Flaw),
    /// It calls a handler that it was given: the n-th, with this status, once or twice.
    CallBack {
        /// Which, modulo their number.
        which: u8,
        /// Told what.
        status: u8,
        /// A second time, too.
        twice: bool,
    },
    /// It calls a handler with a context that it was never given.
    CallNonsense(u8),
    /// The client asks for the status.
    Status,
    /// For the value.
    Result,
    /// For the error.
    Error,
    /// Cancels.
    Cancel,
    /// Waits.
    Wait(u8),
    /// Asks the control for the size.
    Size,
    /// Asks for IUnknown, and gives it back.
    Unknown,
    /// Asks for an operation with values of that size, and that one for the status.
    Again(Kind),
    /// Uses an interface that it was handed out: asks it for IUnknown, calls it, copies it.
    Use,
    /// Releases one.
    Forget,
    /// One more reference.
    Clone,
    /// One less.
    Drop,
    /// A future of it.
    Future(How),
    /// Polls one, with the n-th waker.
    Poll(u8),
    /// Drops one.
    DropFuture,
    /// A future of it in a task of its own.
    Task(How),
    /// Cancels a task.
    CancelTask,
    /// Two clock ticks go by.
    AdvanceTime,
    /// The n-th allocation from now fails.
    Starve(u8),
    /// Bytes of the schedule.
    Schedule([u8; 3]),
}

impl Op {
    /// It is the other side's: on two processors it happens on the second one.
    #[must_use]
    pub const fn is_hostile(&self) -> bool {
        matches!(
            self,
            Self::Answer(..)
                | Self::Become(_)
                | Self::Holes(..)
                | Self::Vanish(_)
                | Self::Spoil(_)
                | Self::CallBack { .. }
                | Self::CallNonsense(_)
        )
    }
}

/// A step, and which object, future or task it is about, modulo their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Which.
    pub target: u8,
    /// What.
    pub op: Op,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.op.is_hostile() { "hostile" } else { "client" };
        write!(f, "{side} {:?} on #{} (modulo)", self.op, self.target)
    }
}

fn kind(n: u8) -> Kind {
    Kind::ALL[usize::from(n) % Kind::ALL.len()]
}

fn flaw(which: u8, code: u8) -> Flaw {
    match which & 7 {
        0 => Flaw::Vanished,
        1 => Flaw::NoQuery,
        2 => Flaw::NoAddRef,
        3 => Flaw::NoRelease,
        4 => Flaw::NoMethod,
        _ => Flaw::Lies(code % CODES.len() as u8),
    }
}

fn decode([head, target, a, b]: [u8; RECORD]) -> Step {
    let how = How { cancels: a & 1 != 0, watched: a & 2 != 0, often: a & 4 != 0 };
    let table = if a & 1 == 0 { Table::Operation } else { Table::Control };
    let op = match head & 63 {
        0..=3 => Op::New(kind(a)),
        4..=19 => {
            let answer = Answer { code: b & 15, value: b >> 4 & 7, silent: b >> 7 != 0 };
            Op::Answer(Slot::ALL[usize::from(a) % Slot::ALL.len()], answer)
        }
        20..=22 => Op::Become(a & 3),
        23 => Op::Holes(table, b),
        24 if b & 7 == 0 => Op::Vanish(table),
        24 if b & 7 == 1 => Op::Headless(b >> 3 & 3),
        24 => Op::CallNonsense(a),
        25 => Op::Spoil(flaw(b, a)),
        26..=30 => Op::CallBack { which: a, status: b & 7, twice: b & 8 != 0 },
        31..=33 => Op::Status,
        34..=36 => Op::Result,
        37 | 38 => Op::Error,
        39 => Op::Cancel,
        40 => Op::Wait(a),
        41 if a & 1 == 0 => Op::Size,
        41 => Op::Again(kind(a >> 1)),
        42 if a & 3 == 2 => Op::Use,
        42 if a & 3 == 3 => Op::Forget,
        42 => Op::Unknown,
        43 => Op::Clone,
        44 => Op::Drop,
        45..=47 => Op::Future(how),
        48..=54 => Op::Poll(a & 3),
        55 => Op::DropFuture,
        56 | 57 => Op::Task(how),
        58 => Op::CancelTask,
        59 => Op::AdvanceTime,
        60 if a & 3 == 0 => Op::Starve(b & 3),
        _ => Op::Schedule([target, a, b]),
    };
    Step { target, op }
}

impl Record for Step {
    fn decode(record: [u8; RECORD], _processors: usize) -> Self {
        decode(record)
    }

    fn schedule(&self) -> Option<[u8; 3]> {
        match self.op {
            Op::Schedule(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// An input of `foreign`: the client and the other side take turns on one processor, or have one each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignInput {
    /// One or two.
    pub processors: usize,
    /// What happens.
    pub steps: Rc<Vec<Step>>,
    /// The schedule: see `ntsim::Schedule::bytes`.
    pub schedule: Vec<u8>,
}

impl Input for ForeignInput {
    type Step = Step;
    const TARGET: &'static str = "foreign";
    const MAGIC: &'static [u8] = b"NTH1";
    const HEADER: usize = 8;

    fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let (processors, steps, schedule) = program(data, Self::MAGIC, Self::HEADER, 2)?;
        Ok(Self { processors, steps: Rc::new(steps), schedule })
    }

    fn schedule(&self) -> &[u8] {
        &self.schedule
    }

    fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn setting(&self) -> String {
        setting(self.processors, &self.schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::{ForeignInput, Op};
    use crate::input::Input as _;

    #[test]
    fn every_record_is_a_step_or_schedule() {
        for head in 0..=255_u8 {
            let mut data = b"NTH1\x01\0\0\0".to_vec();
            data.extend([head, 0x35, 7, 200]);
            let input = ForeignInput::decode(&data).unwrap();
            assert_eq!(input.processors, 2);
            assert!(input.steps.len() == 1 || input.schedule.len() == 3, "{head}");
            assert!(input.steps.iter().all(|step| !matches!(step.op, Op::Schedule(_))));
        }
    }
}
