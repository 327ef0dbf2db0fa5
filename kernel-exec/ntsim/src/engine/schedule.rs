//! Who runs next, and every other choice that NT leaves open: sources of decisions.

extern crate alloc;

use alloc::{string::String, vec::Vec};

use super::recording::{Decision, Recording};

/// Where the decisions of a simulation come from.
#[derive(Debug, Clone)]
pub struct Schedule {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    RoundRobin,
    Seed(u64),
    Bytes { bytes: Vec<u8>, position: usize },
    Replay { recording: Recording, position: usize },
}

/// Preemption points a processor runs under round robin.
const QUANTUM: u32 = 16;

impl Schedule {
    /// Each runnable processor in turn, 16 preemption points each; of other choices the first.
    pub fn round_robin() -> Self {
        Self { source: Source::RoundRobin }
    }

    /// A random walk: any runnable processor for 0 to 31 points, short runs being likelier. Same seed, same walk.
    pub fn seed(seed: u64) -> Self {
        Self { source: Source::Seed(seed) }
    }

    /// A byte a decision. Who runs: the low five bits are the points, the high three, modulo the number of runnable processors,
    /// say which of them in the order of their numbers. Another choice: the byte modulo the number of possibilities. Where only
    /// one processor is runnable nothing is asked. When the bytes are used up it goes on as round robin.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self { source: Source::Bytes { bytes, position: 0 } }
    }

    /// The decisions of an earlier simulation. One that does not fit ends the run with a failure that says at which decision.
    pub fn replay(recording: Recording) -> Self {
        Self { source: Source::Replay { recording, position: 0 } }
    }

    /// Which of the runnable processors (a bit each, at least one) runs, and for how many points.
    pub(crate) fn run(&mut self, runnable: u64, current: usize) -> Result<(usize, u32), String> {
        match &mut self.source {
            Source::RoundRobin => Ok((after(runnable, current), QUANTUM)),
            Source::Seed(state) => {
                let random = next(state);
                let wanted = (random >> 32) as u32 % runnable.count_ones();
                // Of a product of two uniform values small ones are likelier.
                let points = ((random & 31) * (random >> 5 & 31) / 31) as u32;
                Ok((nth(runnable, wanted), points))
            }
            Source::Bytes { bytes, position } => match bytes.get(*position) {
                Some(byte) => {
                    *position += 1;
                    Ok((nth(runnable, u32::from(byte >> 5) % runnable.count_ones()), u32::from(byte & 31)))
                }
                None => Ok((after(runnable, current), QUANTUM)),
            },
            Source::Replay { recording, position } => {
                let number = *position;
                *position += 1;
                match recording.decisions().get(number) {
                    Some(&Decision::Run { processor, points }) if runnable >> processor & 1 == 1 => {
                        Ok((processor.into(), points))
                    }
                    Some(Decision::Run { processor, .. }) => {
                        Err(alloc::format!("decision {number}: processor {processor} is not runnable"))
                    }
                    other => Err(misfit(number, "who runs", other)),
                }
            }
        }
    }

    /// Which of `options` possibilities, from 0.
    pub(crate) fn choose(&mut self, options: u8) -> Result<u8, String> {
        match &mut self.source {
            Source::RoundRobin => Ok(0),
            Source::Seed(state) => Ok(((next(state) >> 32) % u64::from(options)) as u8),
            Source::Bytes { bytes, position } => match bytes.get(*position) {
                Some(byte) => {
                    *position += 1;
                    Ok(byte % options)
                }
                None => Ok(0),
            },
            Source::Replay { recording, position } => {
                let number = *position;
                *position += 1;
                match recording.decisions().get(number) {
                    Some(decision @ Decision::Choice { options: recorded, taken }) => {
                        if *recorded == options {
                            Ok(*taken)
                        } else {
                            Err(misfit(number, "a choice of another number of possibilities", Some(decision)))
                        }
                    }
                    other => Err(misfit(number, "a choice", other)),
                }
            }
        }
    }
}

fn misfit(number: usize, asked: &str, recorded: Option<&Decision>) -> String {
    match recorded {
        Some(decision) => alloc::format!("decision {number}: asked for {asked}, recorded is {decision:?}"),
        None => alloc::format!("decision {number}: asked for {asked}, but the recording has ended"),
    }
}

/// The `n`-th set bit, from the lowest, modulo 64 where there are fewer.
fn nth(mask: u64, n: u32) -> usize {
    let mut rest = mask;
    for _ in 0..n {
        rest &= rest.wrapping_sub(1);
    }
    rest.trailing_zeros() as usize % 64
}

/// The next set bit after `current`, around.
fn after(mask: u64, current: usize) -> usize {
    let above = if current >= 63 { 0 } else { mask & (u64::MAX << (current + 1)) };
    let candidates = if above == 0 { mask } else { above };
    candidates.trailing_zeros() as usize % 64
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut value = *state;
    value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::{Schedule, after, nth};
    use crate::engine::recording::{Decision, Recording};

    #[test]
    fn round_robin_goes_around() {
        let mut schedule = Schedule::round_robin();
        assert_eq!(schedule.run(0b1011, 0), Ok((1, 16)));
        assert_eq!(schedule.run(0b1011, 1), Ok((3, 16)));
        assert_eq!(schedule.run(0b1011, 3), Ok((0, 16)));
        assert_eq!(after(1 << 63 | 1, 63), 0);
    }

    #[test]
    fn a_byte_is_points_and_a_processor() {
        let mut schedule = Schedule::bytes(vec![0b001_00101, 0b111_11111, 7]);
        assert_eq!(schedule.run(0b110, 1), Ok((2, 5)));
        assert_eq!(schedule.run(0b110, 1), Ok((2, 31)));
        assert_eq!(schedule.choose(3), Ok(1));
        assert_eq!(schedule.run(0b110, 1), Ok((2, 16)), "round robin from here on");
        assert_eq!(schedule.choose(3), Ok(0));
    }

    #[test]
    fn a_seed_reaches_everything() {
        let mut schedule = Schedule::seed(1);
        let mut seen = [[false; 32]; 3];
        for _ in 0..20_000 {
            let (processor, points) = schedule.run(0b111, 0).unwrap();
            seen[processor][points as usize] = true;
        }
        assert!(seen.iter().flatten().all(|seen| *seen));
    }

    #[test]
    fn a_recording_that_does_not_fit_says_where() {
        let recording = Recording::new(vec![
            Decision::Choice { options: 2, taken: 1 },
            Decision::Run { processor: 5, points: 1 },
        ]);
        let mut schedule = Schedule::replay(recording);
        assert_eq!(schedule.choose(2), Ok(1));
        assert_eq!(schedule.run(0b11, 0).unwrap_err(), "decision 1: processor 5 is not runnable");
        assert!(schedule.choose(2).unwrap_err().contains("decision 2"));
    }

    #[test]
    fn nth_counts_set_bits_only() {
        assert_eq!(nth(0b10110, 0), 1);
        assert_eq!(nth(0b10110, 2), 4);
    }
}
