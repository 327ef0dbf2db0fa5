//! Who runs next, and every other choice that NT leaves open: sources of decisions.

extern crate alloc;

use alloc::{boxed::Box, string::String, vec::Vec};

use super::{
    explore::search::{Search, Situation},
    machine::Machine,
    pct::Pct,
    recording::{Decision, Recording},
};

/// Where the decisions of a simulation come from.
///
/// # Fairness
/// Every source is fair in the end: a processor that can run does, however many others can, too. So "every operation ends" can be an
/// oracle: what has not ended at the [step limit](crate::Config::step_limit), if that leaves enough points for it, never does.
///
/// | source | fair |
/// |---|---|
/// | [`round_robin`](Self::round_robin) | always: of `n` that can run, each does after at most `n - 1` decisions, which are for 17 points each |
/// | [`seed`](Self::seed) | with probability 1: each decision is for each of `n` with probability `1 / n` |
/// | [`bytes`](Self::bytes) | when the bytes are used up: then it is round robin |
/// | [`pct`](Self::pct) | after the expected points: then it is round robin |
/// | [`replay`](Self::replay) | as what was recorded; it ends with the recording |
/// | [`explore`](crate::explore) | after [`Limits::decisions`](crate::Limits::decisions): then it is round robin |
///
/// That is between processors. Spin locks are as in NT: who waits for one competes for it anew whenever it is released, and may lose
/// each time.
#[derive(Debug, Clone)]
pub struct Schedule {
    source: Source,
    /// The last decision about who runs was this schedule's: since then no processor has run because it was the only one.
    unbroken: bool,
}

#[derive(Debug, Clone)]
enum Source {
    RoundRobin,
    Seed(u64),
    Bytes { bytes: Vec<u8>, position: usize },
    Replay { recording: Recording, position: usize },
    Pct(Box<Pct>),
    Explore(Box<Search>),
}

/// Preemption points a processor runs under round robin.
pub(super) const QUANTUM: u32 = 16;

impl Schedule {
    /// Each runnable processor in turn, 16 preemption points each; of other choices the first.
    pub fn round_robin() -> Self {
        Self::from(Source::RoundRobin)
    }

    /// A random walk: any runnable processor for 0 to 31 points, short runs being likelier. Same seed, same walk.
    pub fn seed(seed: u64) -> Self {
        Self::from(Source::Seed(seed))
    }

    /// A byte a decision. Who runs: the low five bits are the points, the high three, modulo the number of runnable processors,
    /// say which of them in the order of their numbers. Another choice: the byte modulo the number of possibilities. Where only
    /// one processor is runnable nothing is asked. When the bytes are used up it goes on as round robin.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::from(Source::Bytes { bytes, position: 0 })
    }

    /// Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010): processors have random priorities and the highest that
    /// can run does; at `depth - 1` random points of the first `expected_points` the one that would run gets a priority below all
    /// others. Of other choices each is as likely. Same seed, same run.
    ///
    /// A bug that needs `depth` orders between steps to be just so, in a program of `n` processors that is asked who runs at most
    /// `expected_points` times, is found with a probability of at least `1 / (n * expected_points ^ (depth - 1))` in each
    /// run, whatever the program does besides. The points that count are those at which more than one processor can run; after
    /// `expected_points` of them it goes on as round robin, so that programs that wait for each other end.
    pub fn pct(seed: u64, depth: u32, expected_points: u64) -> Self {
        Self::from(Source::Pct(Box::new(Pct::new(seed, depth, expected_points))))
    }

    /// The next run of a search.
    pub(crate) fn explore(search: Search) -> Self {
        Self::from(Source::Explore(Box::new(search)))
    }

    /// The search that it was made of.
    pub(crate) fn into_search(self) -> Option<Search> {
        match self.source {
            Source::Explore(search) => Some(*search),
            _ => None,
        }
    }

    const fn from(source: Source) -> Self {
        Self { source, unbroken: false }
    }

    /// It wants to be asked at every point. Recordings join such decisions.
    fn is_fine(&self) -> bool {
        matches!(self.source, Source::Pct(_) | Source::Explore(_))
    }

    /// The decisions of an earlier simulation. One that does not fit ends the run with a failure that says at which decision.
    pub fn replay(recording: Recording) -> Self {
        Self::from(Source::Replay { recording, position: 0 })
    }

    /// Which of the runnable processors (a bit each, at least one) runs, and for how many points.
    pub(crate) fn run(&mut self, runnable: u64, current: usize) -> Result<(usize, u32), String> {
        match &mut self.source {
            Source::RoundRobin => Ok((after(runnable, current), QUANTUM)),
            Source::Seed(state) => {
                let random = random(state);
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
            Source::Pct(pct) => Ok(pct.run(runnable, current)),
            // Asked by the machine, which knows more of the situation.
            Source::Explore(_) => Ok((after(runnable, current), QUANTUM)),
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
            Source::Seed(state) => Ok(((random(state) >> 32) % u64::from(options)) as u8),
            Source::Bytes { bytes, position } => match bytes.get(*position) {
                Some(byte) => {
                    *position += 1;
                    Ok(byte % options)
                }
                None => Ok(0),
            },
            Source::Pct(pct) => Ok(pct.choose(options)),
            Source::Explore(search) => search.choose(options),
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

impl Machine {
    /// Asks who of several runnable processors runs.
    pub(crate) fn ask_schedule(&self, runnable: u64) -> Result<(usize, u32), String> {
        let (current, mut schedule) = (self.current.get(), self.schedule.borrow_mut());
        let Source::Explore(search) = &mut schedule.source else { return schedule.run(runnable, current) };
        let (timed, recorder) = (self.timed(), self.recorder.borrow());
        search.run(&Situation {
            runnable,
            current,
            running: self.inside.get(),
            events: recorder.trace().events(),
            named: recorder.named(),
            timed,
        })
    }

    /// There was only one processor that could run.
    pub(crate) fn not_asked(&self) {
        self.schedule.borrow_mut().unbroken = false;
    }

    /// Records who runs. Decisions of a schedule that is asked at every point are joined where they let one processor go on: the
    /// point at which it is asked counts, too.
    pub(crate) fn record_run(&self, processor: usize, points: u32) {
        let mut schedule = self.schedule.borrow_mut();
        let goes_on = self.inside.get() && processor == self.current.get();
        let join = schedule.is_fine() && core::mem::replace(&mut schedule.unbroken, true) && goes_on;
        let mut decisions = self.decisions.borrow_mut();
        if let (true, Some(Decision::Run { processor: last, points: before })) = (join, decisions.last_mut())
            && usize::from(*last) == processor
            && let Some(together) = before.checked_add(points).and_then(|sum| sum.checked_add(1))
        {
            *before = together;
            return;
        }
        decisions.push(Decision::Run { processor: processor as u8, points });
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
pub(super) fn after(mask: u64, current: usize) -> usize {
    let above = if current >= 63 { 0 } else { mask & (u64::MAX << (current + 1)) };
    let candidates = if above == 0 { mask } else { above };
    candidates.trailing_zeros() as usize % 64
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
pub(super) fn random(state: &mut u64) -> u64 {
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
