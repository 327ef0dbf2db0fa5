//! Inputs of `com`. Every four bytes are a step.

use core::fmt;

use ntcom_fuzz_model::{
    input::{Input, Malformed, Record, program, setting},
    limits::RECORD,
};

use super::{interfaces::IFACES, shape::Shape};

/// The way in which a new object is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Make {
    /// With nothing special.
    Plain,
    /// Every processor gets a reference.
    Shared,
    /// The n-th allocation from now fails.
    Starved(u8),
    /// With an initialiser that fails.
    Fails,
    /// With a value that takes and gives up a reference in its own Drop.
    Revives,
}

/// The pointers that are passed to QueryInterface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pointers {
    /// Valid pointers.
    Good,
    /// An `iid` and an `out` at odd addresses.
    Misaligned,
    /// No `iid`.
    NoIid,
    /// No `out`.
    NoOut,
}

/// A step of one client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Makes an object.
    Make(Shape, Make),
    /// Takes a reference to the static.
    Static,
    /// `QueryInterface`, for the n-th of the interfaces, or for one that no object has.
    Query(u8, Pointers),
    /// `AddRef`.
    AddRef,
    /// `Release`.
    Release,
    /// Gives its reference to this processor.
    Give(u8),
    /// Calls a method that answers at once.
    Call(u8, u8),
    /// Calls an async method.
    Async {
        /// Whether the method is opaque or has a named future.
        opaque: bool,
        /// The behaviour of the body.
        work: u8,
        /// Whether an allocation fails.
        starved: bool,
    },
    /// Calls an async method that yields an interface.
    Open {
        /// The behaviour of the body.
        work: u8,
        /// Whether an allocation fails.
        starved: bool,
    },
    /// Asks an operation for its status, and keeps the interface that it yields.
    Status,
    /// Cancels an operation.
    Cancel,
    /// Releases an operation.
    Let,
    /// Raises the IRQL to DISPATCH_LEVEL. The next step of this kind lowers it.
    Raise,
    /// Takes a reference when the count is at its maximum, which stops the machine.
    Overflow,
    /// Gives up a reference when the count is zero, which stops the machine.
    Underflow,
    /// Carries bytes of the schedule.
    Schedule([u8; 3]),
}

/// A step with the processor that does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ComStep {
    /// The processor that does the step.
    pub processor: u8,
    /// The reference or operation of the processor's hand, modulo their number.
    pub target: u8,
    /// The call or command.
    pub op: Op,
}

impl fmt::Display for ComStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{} {:?}", self.processor, self.op)?;
        match self.op {
            Op::Make(..) | Op::Static | Op::Raise | Op::Schedule(_) => Ok(()),
            Op::Status | Op::Cancel | Op::Let => write!(f, " its operation #{} (modulo)", self.target),
            _ => write!(f, " on its reference #{} (modulo)", self.target),
        }
    }
}

fn decode([head, target, a, b]: [u8; RECORD]) -> ComStep {
    let op = match head & 31 {
        0..=3 => {
            let make = match b & 15 {
                0..=4 => Make::Plain,
                5..=10 => Make::Shared,
                11 | 12 => Make::Starved(b >> 4 & 3),
                13 => Make::Fails,
                _ => Make::Revives,
            };
            Op::Make(Shape::ALL[usize::from(a) % Shape::ALL.len()], make)
        }
        4 => Op::Static,
        5..=10 => {
            let pointers = match b & 15 {
                0..=11 => Pointers::Good,
                12 | 13 => Pointers::Misaligned,
                14 => Pointers::NoIid,
                _ => Pointers::NoOut,
            };
            Op::Query(a % (IFACES as u8 + 1), pointers)
        }
        11 | 12 => Op::AddRef,
        13..=16 => Op::Release,
        17 | 18 => Op::Give(a),
        19..=22 => Op::Call(a, b),
        24 if b >> 5 == 7 => Op::Open { work: a, starved: b & 15 == 15 },
        23 | 24 => Op::Async { opaque: head & 1 == 0, work: a, starved: b & 15 == 15 },
        25 => Op::Status,
        26 => Op::Cancel,
        27 => Op::Let,
        28 if a & 3 == 0 => Op::Raise,
        28 if a & 63 == 1 => Op::Overflow,
        28 if a & 63 == 2 => Op::Underflow,
        28 => Op::Query(a % (IFACES as u8 + 1), Pointers::Good),
        _ => Op::Schedule([target, a, b]),
    };
    ComStep { processor: head >> 6, target, op }
}

impl Record for ComStep {
    fn decode(record: [u8; RECORD], processors: usize) -> Self {
        let mut step = decode(record);
        step.processor %= processors as u8;
        step
    }

    fn schedule(&self) -> Option<[u8; 3]> {
        match self.op {
            Op::Schedule(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// An input of `com`, with one to four processors and a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ComInput {
    /// The number of processors.
    pub processors: usize,
    /// The steps of all processors' programs.
    pub steps: Vec<ComStep>,
    /// The schedule, in the format of `ntsim::Schedule::bytes`.
    pub schedule: Vec<u8>,
}

impl Input for ComInput {
    type Step = ComStep;
    const TARGET: &'static str = "com";
    const MAGIC: &'static [u8] = b"NTC1";
    const HEADER: usize = 8;

    fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let (processors, steps, schedule) = program(data, Self::MAGIC, Self::HEADER, 4)?;
        Ok(Self { processors, steps, schedule })
    }

    fn schedule(&self) -> &[u8] {
        &self.schedule
    }

    fn steps(&self) -> &[ComStep] {
        &self.steps
    }

    fn setting(&self) -> String {
        setting(self.processors, &self.schedule)
    }
}

ntcom_fuzz_model::arbitrary_input!(ComInput);

#[cfg(test)]
mod tests {
    use super::{ComInput, Op};
    use ntcom_fuzz_model::input::Input as _;

    #[test]
    fn every_record_is_an_operation_or_schedule() {
        for head in 0..=255_u8 {
            let mut data = b"NTC1\x03\0\0\0".to_vec();
            data.extend([head, 0x35, 7, 200]);
            let input = ComInput::decode(&data).unwrap();
            assert_eq!(input.processors, 4);
            assert!(input.steps.len() == 1 || input.schedule.len() == 3, "{head}");
            assert!(input.steps.iter().all(|step| !matches!(step.op, Op::Schedule(_))));
        }
    }
}
