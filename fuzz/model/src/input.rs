//! Inputs of targets, and the errors of bytes that are not an input.

use core::fmt;
use std::rc::Rc;

use crate::{
    limits::{LONGEST, RECORD},
    ops::{self, Op, OperationStep},
};

/// Why some bytes are not an input of a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The bytes do not begin with the target's header.
    Foreign {
        /// The header that the target requires.
        expected: &'static [u8],
        /// The first bytes that were found.
        found: Vec<u8>,
    },
    /// The bytes end inside the header or inside a record.
    Truncated {
        /// Number of bytes.
        length: usize,
        /// Number of missing bytes of the header or record.
        missing: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { expected, found } => write!(
                f,
                "wrong header: expected \"{}\", found \"{}\"",
                expected.escape_ascii(),
                found.escape_ascii()
            ),
            Self::Truncated { length, missing } => {
                write!(
                    f,
                    "truncated after {length} bytes: {missing} bytes are missing of the header or of a record"
                )
            }
        }
    }
}

impl core::error::Error for Malformed {}

/// The records after a header of `size` bytes that begins with `magic`.
///
/// # Errors
/// The bytes have another header, or end inside the header or a record.
pub fn records<'a>(
    data: &'a [u8],
    magic: &'static [u8],
    size: usize,
) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    if !data.starts_with(magic) {
        let short = data.len() < magic.len() && magic.starts_with(data);
        return Err(if short {
            Malformed::Truncated { length: data.len(), missing: size - data.len() }
        } else {
            Malformed::Foreign { expected: magic, found: data.iter().take(magic.len()).copied().collect() }
        });
    }
    if data.len() < size {
        return Err(Malformed::Truncated { length: data.len(), missing: size - data.len() });
    }
    let (header, records) = data.split_at(size);
    match records.len() % RECORD {
        0 => Ok((header, records)),
        rest => Err(Malformed::Truncated { length: data.len(), missing: RECORD - rest }),
    }
}

/// A step that is one record.
pub trait Record: Sized {
    /// Decodes a record of an input with this many processors.
    fn decode(record: [u8; RECORD], processors: usize) -> Self;

    /// The record's bytes for the schedule, if it is a part of the schedule and not a step.
    fn schedule(&self) -> Option<[u8; 3]>;
}

/// Decodes a program for several processors. The header's fifth byte chooses one to `most`
/// processors; the steps and the schedule come from the records after the header.
///
/// # Errors
/// The bytes have another header, or end inside the header or a record.
pub fn program<S: Record>(
    data: &[u8],
    magic: &'static [u8],
    size: usize,
    most: usize,
) -> Result<(usize, Vec<S>, Vec<u8>), Malformed> {
    let (header, records) = records(data, magic, size)?;
    let processors = 1 + usize::from(header.get(magic.len()).copied().unwrap_or(0)) % most;
    let (mut steps, mut schedule) = (Vec::new(), Vec::new());
    for record in records.as_chunks().0.iter().take(LONGEST) {
        let step = S::decode(*record, processors);
        match step.schedule() {
            Some(bytes) => schedule.extend_from_slice(&bytes),
            None => steps.push(step),
        }
    }
    Ok((processors, steps, schedule))
}

/// Describes the settings of such an input besides its steps.
pub fn setting(processors: usize, schedule: &[u8]) -> String {
    format!("{processors} processors, {} bytes of schedule", schedule.len())
}

/// An input of a target.
pub trait Input: Sized {
    /// One step of the input.
    type Step: fmt::Display + fmt::Debug;
    /// The target's name.
    const TARGET: &'static str;
    /// The first bytes of every input of the target.
    const MAGIC: &'static [u8];
    /// The size of the whole header in bytes.
    const HEADER: usize;

    /// Decodes an input.
    ///
    /// # Errors
    /// The bytes are not an input of the target.
    fn decode(data: &[u8]) -> Result<Self, Malformed>;

    /// Whether the bytes are an input, without decoding it.
    ///
    /// # Errors
    /// The bytes are not an input of the target.
    fn check(data: &[u8]) -> Result<(), Malformed> {
        records(data, Self::MAGIC, Self::HEADER).map(|_| ())
    }

    /// The steps in their order.
    fn steps(&self) -> &[Self::Step];

    /// The schedule of the input, in the format of `ntsim::Schedule::bytes`.
    fn schedule(&self) -> &[u8] {
        &[]
    }

    /// The bytes of this input with another schedule; `None` if the schedule does not fit.
    fn with_schedule(data: &[u8], schedule: &[u8]) -> Option<Vec<u8>> {
        let (header, rest) = data.split_at_checked(Self::HEADER)?;
        let length = |until: usize| {
            let bytes = [header, rest.get(..until)?].concat();
            Some(Self::decode(&bytes).ok()?.schedule().len())
        };
        let whole = Self::decode(data).ok()?;
        let same = |until: &usize| {
            let bytes = [header, rest.get(..*until).unwrap_or_default()].concat();
            Self::decode(&bytes).is_ok_and(|input| {
                let steps = format!("{:?}", input.steps()) == format!("{:?}", whole.steps());
                steps && input.schedule() == whole.schedule()
            })
        };
        // The bytes behind the last decoded record mean nothing.
        let until = (0..=rest.len()).step_by(RECORD).find(same)?;
        let rest = rest.get(..until)?;
        let mut steps = Vec::new();
        for at in (0..rest.len()).step_by(RECORD) {
            // A record that makes the schedule longer is a part of the schedule.
            if length(at)? == length(at + RECORD)? {
                steps.extend_from_slice(rest.get(at..at + RECORD)?);
            }
        }
        let is_schedule = |first: &u8| {
            let record = [header, &[*first, 1, 2, 3]].concat();
            Self::decode(&record).is_ok_and(|input| input.steps().is_empty() && input.schedule() == [1, 2, 3])
        };
        let first = (0..=u8::MAX).rev().find(is_schedule)?;
        // The schedule comes first, because the last step may use the record behind it.
        let mut bytes = header.to_vec();
        for part in schedule.chunks(3) {
            bytes.push(first);
            bytes.extend(part.iter().copied().chain([0; 2]).take(3));
        }
        bytes.extend(steps);
        let made = Self::decode(&bytes).ok()?;
        let length = schedule.len().next_multiple_of(3);
        (made.steps().len() == whole.steps().len() && made.schedule().len() == length).then_some(bytes)
    }

    /// The settings of the input besides its steps, in one line. Empty if there are none.
    fn setting(&self) -> String {
        String::new()
    }
}

/// An input of `vtable`, which has one processor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VtableInput {
    /// The client's steps.
    pub steps: Rc<Vec<OperationStep>>,
}

impl Input for VtableInput {
    type Step = OperationStep;
    const TARGET: &'static str = "vtable";
    const MAGIC: &'static [u8] = b"NTV2";
    const HEADER: usize = 4;

    fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let (_, records) = records(data, Self::MAGIC, Self::HEADER)?;
        // One processor needs no schedule.
        let steps = ops::decode(records, |step| {
            step.processor = 0;
            !matches!(step.op, Op::Schedule(_))
        });
        Ok(Self { steps: Rc::new(steps) })
    }

    fn steps(&self) -> &[OperationStep] {
        &self.steps
    }
}

/// An input of `schedules`, with several processors and a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchedulesInput {
    /// The number of processors, from two to four.
    pub processors: usize,
    /// Whether the driver is unloaded while operations are under way. The programs are then threads
    /// of the unload routine, which waits for them and drains.
    pub abrupt: bool,
    /// Whether bodies that park, or wait for a gate, may wait for a timer instead.
    pub timers: bool,
    /// The steps of all processors' programs.
    pub steps: Rc<Vec<OperationStep>>,
    /// The schedule, in the format of `ntsim::Schedule::bytes`.
    pub schedule: Vec<u8>,
}

impl Input for SchedulesInput {
    type Step = OperationStep;
    const TARGET: &'static str = "schedules";
    const MAGIC: &'static [u8] = b"NTS2";
    const HEADER: usize = 8;

    fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let (header, records) = records(data, Self::MAGIC, Self::HEADER)?;
        let byte = |place| header.get(place).copied().unwrap_or(0_u8);
        let processors = 2 + usize::from(byte(4)) % 3;
        let (abrupt, timers) = (byte(5) & 1 != 0, byte(5) & 2 != 0);
        let mut schedule = Vec::new();
        let steps = ops::decode(records, |step| {
            step.processor %= processors as u8;
            match step.op {
                Op::Schedule(bytes) => {
                    schedule.extend_from_slice(&bytes);
                    false
                }
                _ => true,
            }
        });
        Ok(Self { processors, abrupt, timers, steps: Rc::new(steps), schedule })
    }

    fn steps(&self) -> &[OperationStep] {
        &self.steps
    }

    fn schedule(&self) -> &[u8] {
        &self.schedule
    }

    fn setting(&self) -> String {
        let unloaded = if self.abrupt { "unloaded in the middle" } else { "unloaded at the end" };
        let timers = if self.timers { ", waits may be timers" } else { "" };
        format!("{}, {unloaded}{timers}", setting(self.processors, &self.schedule))
    }
}

/// Implements `Arbitrary` for an input, which decodes the fuzzer's bytes as a file.
#[macro_export]
macro_rules! arbitrary_input {
    ($input:ty) => {
        impl<'a> ::arbitrary::Arbitrary<'a> for $input {
            fn arbitrary(u: &mut ::arbitrary::Unstructured<'a>) -> ::arbitrary::Result<Self> {
                let data = u.bytes(u.len())?;
                $crate::input::Input::decode(data).map_err(|_| ::arbitrary::Error::IncorrectFormat)
            }

            fn arbitrary_take_rest(u: ::arbitrary::Unstructured<'a>) -> ::arbitrary::Result<Self> {
                $crate::input::Input::decode(u.take_rest()).map_err(|_| ::arbitrary::Error::IncorrectFormat)
            }
        }
    };
}

arbitrary_input!(VtableInput);
arbitrary_input!(SchedulesInput);

#[cfg(test)]
mod tests {
    use super::{Input, Malformed, SchedulesInput, VtableInput};

    #[test]
    fn a_foreign_file_is_told_from_a_truncated_one() {
        let foreign = VtableInput::decode(b"\x7fELF").unwrap_err();
        assert!(matches!(foreign, Malformed::Foreign { .. }), "{foreign}");
        assert!(matches!(VtableInput::decode(b"NTS2").unwrap_err(), Malformed::Foreign { .. }));
        let cut = VtableInput::decode(b"NTV2\x00\x00").unwrap_err();
        assert_eq!(cut, Malformed::Truncated { length: 6, missing: 2 });
        assert!(matches!(SchedulesInput::decode(b"NT").unwrap_err(), Malformed::Truncated { .. }));
        assert!(matches!(SchedulesInput::decode(b"NTS2\x00").unwrap_err(), Malformed::Truncated { .. }));
    }

    #[test]
    fn every_record_is_an_operation() {
        for head in 0..=255_u8 {
            let mut data = b"NTS2\x02\0\0\0".to_vec();
            data.extend([head, 0x35, 7, 200]);
            let input = SchedulesInput::decode(&data).unwrap();
            assert_eq!(input.processors, 4);
            assert!(input.steps.len() == 1 || input.schedule.len() == 3, "{head}");
        }
    }
}
