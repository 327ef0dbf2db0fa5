//! Inputs of `foreign`. Every four bytes are a step of the client or of the other side.

use core::fmt;
use std::rc::Rc;

use ntcom::{NTSTATUS, com::E_NOINTERFACE};

use ntcom_fuzz_model::{
    input::{Input, Malformed, Record, program, setting},
    limits::RECORD,
};

use super::kind::ForeignKind;

/// The statuses that the other side may answer. They are the codes of the contract, and some that
/// are not in it.
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
    // S_FALSE, an informational code, a warning, and a code that is 0 in its low half only.
    NTSTATUS(1),
    NTSTATUS(0x4000_0000),
    NTSTATUS::from_u32(0x8000_0005),
    NTSTATUS(0x0001_0000),
];

/// The sizes that get_result_size may write.
pub const SIZES: [u32; 8] = [0, 0x1111_1111, 4, 8, 1, 16, u32::MAX, 2];

/// The statuses that get_status may write.
pub const STATUSES: [i32; 8] = [0, 1, 2, 3, 4, -1, i32::MIN, 0x100];

/// A slot that the input can give answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// QueryInterface, for any interface.
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
    /// All slots.
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

/// An answer that a slot is to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The index of its status in [`CODES`].
    pub code: u8,
    /// The value that it writes. Its meaning depends on the slot.
    pub value: u8,
    /// Whether it writes nothing.
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

/// A defect of an interface that an operation yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defect {
    /// Its pointer to the table is null.
    Vanished,
    /// Its QueryInterface is null.
    NoQuery,
    /// Its AddRef is null.
    NoAddRef,
    /// Its Release is null.
    NoRelease,
    /// Its own method is null.
    NoMethod,
    /// QueryInterface answers this status, of [`CODES`], and gives no reference.
    Lies(u8),
}

/// The options of a future.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct How {
    /// `cancel_on_drop`.
    pub cancels: bool,
    /// `with_polling`.
    pub polls: bool,
    /// `poll_interval(0)`.
    pub often: bool,
}

/// A step of the client or of the other side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Makes an object with values of this type. The client gets one reference.
    New(ForeignKind),
    /// Adds an answer to those of a slot. The slot gives them in turn, and then from the beginning.
    Answer(Slot, Answer),
    /// Makes an operation Started, Completed, Canceled or Error. It answers so unless its slots
    /// have other answers.
    Become(u8),
    /// Sets slots of a table to null, except IUnknown's. The mask has a bit for each.
    Holes(Table, u8),
    /// Sets the pointer of a table to null. References that would be released through it are lost.
    Vanish(Table),
    /// Sets the IUnknown slot with this number to null in the control that it gives out.
    Headless(u8),
    /// Gives a defect to the interface that it yields, if it yields one.
    Spoil(Defect),
    /// Calls a handler that it was given, once or twice.
    CallBack {
        /// The handler's index, modulo their number.
        which: u8,
        /// The status that the handler is told.
        status: u8,
        /// Whether it is called a second time.
        twice: bool,
    },
    /// Calls a handler with a context that it was never given.
    CallNonsense(u8),
    /// Asks as the client for the status.
    Status,
    /// Asks for the value.
    Result,
    /// Asks for the error.
    Error,
    /// Cancels.
    Cancel,
    /// Waits.
    Wait(u8),
    /// Asks the control for the size.
    Size,
    /// Asks for IUnknown, and gives it back.
    Unknown,
    /// Queries an operation with values of that size, and asks that operation for its status.
    Again(ForeignKind),
    /// Uses an interface that the client was handed out. Queries IUnknown, calls it, and clones it.
    Use,
    /// Releases an interface that the client was handed out.
    Forget,
    /// Adds a reference.
    Clone,
    /// Releases a reference.
    Drop,
    /// Makes a future of an operation.
    Future(How),
    /// Polls a future, with the n-th waker.
    Poll(u8),
    /// Drops a future.
    DropFuture,
    /// Spawns a task that awaits an operation.
    Task(How),
    /// Cancels a task.
    CancelTask,
    /// Advances the clock by two ticks.
    AdvanceTime,
    /// Makes the n-th allocation from now fail.
    Starve(u8),
    /// Carries bytes of the schedule.
    Schedule([u8; 3]),
}

impl Op {
    /// Whether the other side does this step. On two processors the second one does it.
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

/// A step with its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForeignStep {
    /// The object, future or task, modulo their number.
    pub target: u8,
    /// The call or command.
    pub op: Op,
}

impl fmt::Display for ForeignStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.op.is_hostile() { "hostile" } else { "client" };
        write!(f, "{side} {:?} on #{} (modulo)", self.op, self.target)
    }
}

fn kind(n: u8) -> ForeignKind {
    ForeignKind::ALL[usize::from(n) % ForeignKind::ALL.len()]
}

fn defect(which: u8, code: u8) -> Defect {
    match which & 7 {
        0 => Defect::Vanished,
        1 => Defect::NoQuery,
        2 => Defect::NoAddRef,
        3 => Defect::NoRelease,
        4 => Defect::NoMethod,
        _ => Defect::Lies(code % CODES.len() as u8),
    }
}

fn decode([head, target, a, b]: [u8; RECORD]) -> ForeignStep {
    let how = How { cancels: a & 1 != 0, polls: a & 2 != 0, often: a & 4 != 0 };
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
        25 => Op::Spoil(defect(b, a)),
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
    ForeignStep { target, op }
}

impl Record for ForeignStep {
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

/// An input of `foreign`. The client and the other side take turns on one processor, or have one
/// each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignInput {
    /// The number of processors, one or two.
    pub processors: usize,
    /// The steps of both sides.
    pub steps: Rc<Vec<ForeignStep>>,
    /// The schedule, in the format of `ntsim::Schedule::bytes`.
    pub schedule: Vec<u8>,
}

impl Input for ForeignInput {
    type Step = ForeignStep;
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

    fn steps(&self) -> &[ForeignStep] {
        &self.steps
    }

    fn setting(&self) -> String {
        setting(self.processors, &self.schedule)
    }
}

ntcom_fuzz_model::arbitrary_input!(ForeignInput);

#[cfg(test)]
mod tests {
    use super::{ForeignInput, Op};
    use ntcom_fuzz_model::input::Input as _;

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
