//! Inputs of `com`: every four bytes are an operation.

use core::fmt;

use super::shapes::{IFACES, Shape};
use crate::{
    input::{Input, Malformed, Record, program, setting},
    ops::RECORD,
};

/// How a new object is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Make {
    /// Without ado.
    Plain,
    /// Every processor gets a reference.
    Shared,
    /// The n-th allocation from now fails.
    Starved(u8),
    /// The initialiser fails.
    Fails,
    /// It will take and give up a reference in its own Drop.
    Revives,
}

/// What QueryInterface is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pointers {
    /// Good ones.
    Good,
    /// An `iid` and an `out` at odd addresses.
    Misaligned,
    /// No `iid`.
    NoIid,
    /// No `out`.
    NoOut,
}

/// What one client does once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Makes an object.
    Make(Shape, Make),
    /// Takes a reference to the static.
    Static,
    /// `QueryInterface`, for the n-th of the interfaces that there are, or for one that nobody has.
    Query(u8, Pointers),
    /// `AddRef`.
    AddRef,
    /// `Release`.
    Release,
    /// Gives its reference to this processor.
    Give(u8),
    /// Calls a method that answers at once.
    Call(u8, u8),
    /// Calls an async method: by name or opaque, and what its body does.
    Async {
        /// The form of the method.
        opaque: bool,
        /// What the body does.
        work: u8,
        /// An allocation fails.
        starved: bool,
    },
    /// Calls an async method that yields an interface.
    Open {
        /// What the body does.
        work: u8,
        /// An allocation fails.
        starved: bool,
    },
    /// Asks an operation how far it is, and keeps the interface that it yields.
    Status,
    /// Cancels one.
    Cancel,
    /// Releases one.
    Let,
    /// Raises IRQL to DISPATCH_LEVEL until the next time.
    Raise,
    /// Takes a reference where there are as many as a count may have: the machine stops.
    Overflow,
    /// Gives one up where there is none: the machine stops.
    Underflow,
    /// Bytes of the schedule.
    Schedule([u8; 3]),
}

/// An operation of some processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Which processor.
    pub processor: u8,
    /// Which of what it holds, modulo their number.
    pub target: u8,
    /// What is done.
    pub op: Op,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{} {:?}", self.processor, self.op)?;
        match self.op {
            Op::Make(..) | Op::Static | Op::Raise | Op::Schedule(_) => Ok(()),
            Op::Status | Op::Cancel | Op::Let => write!(f, " its operation #{} (modulo)", self.target),
            _ => write!(f, " on its reference #{} (modulo)", self.target),
        }
    }
}

fn decode([head, target, a, b]: [u8; RECORD]) -> Step {
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
    Step { processor: head >> 6, target, op }
}

impl Record for Step {
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

/// An input of `com`: one to four processors, and what decides between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ComInput {
    /// How many.
    pub processors: usize,
    /// What each processor's program does.
    pub steps: Vec<Step>,
    /// The schedule: see `ntsim::Schedule::bytes`.
    pub schedule: Vec<u8>,
}

impl Input for ComInput {
    type Step = Step;
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

    fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn setting(&self) -> String {
        setting(self.processors, &self.schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::{ComInput, Op};
    use crate::input::Input as _;

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
