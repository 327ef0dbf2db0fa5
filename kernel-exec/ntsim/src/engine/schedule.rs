//! Sources of decisions: which processor runs next, and every other choice that NT leaves open.

extern crate alloc;

use alloc::{boxed::Box, string::String, vec::Vec};

use super::{
    choice::{Next, PointKind, nth, of_byte, random},
    explore::search::Search,
    follow::Follower,
    guide::Guide,
    order::Order,
    pct::Pct,
    recording::Recording,
    replay::{Player, RunDigest},
};

/// A source of a simulation's decisions.
///
/// # Fairness
/// Every source is fair in the end: each processor that can run does, however many others can, too.
/// So "every operation ends" can be an oracle. An operation that has not ended at the [step
/// limit](crate::Config::step_limit), if that leaves enough points for it, never does.
///
/// | source | fair |
/// |---|---|
/// | [`round_robin`](Self::round_robin) | always; each of `n` runnable processors runs after at most `n - 1` decisions, which are for 17 points each |
/// | [`seed`](Self::seed) | with probability 1; each decision is for each of `n` with probability `1 / n` |
/// | [`bytes`](Self::bytes) | after the bytes are used up, by round robin |
/// | [`pct`](Self::pct) | after the expected points, by round robin |
/// | [`replay`](Self::replay) | as the recorded source; it ends with the recording |
/// | [`explore`](crate::explore) | after [`Limits::decisions`](crate::Limits::decisions), by round robin |
///
/// This is fairness between processors. Spin locks are as in NT. A processor that waits for one
/// competes for it anew at each release, and may lose each time.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub(super) source: Source,
    /// Whether this schedule made the last decision about which processor runs. It is cleared when
    /// a processor runs because it is the only one.
    pub(super) unbroken: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    RoundRobin,
    Seed(u64),
    Bytes { bytes: Vec<u8>, position: usize },
    Replay(Player),
    Pct(Box<Pct>),
    Explore(Box<Search>),
    Follow(Box<Follower>),
    Guide(Box<Guide>),
}

impl Schedule {
    /// Each runnable processor in turn, for 16 preemption points each, and the first possibility of
    /// other choices. It preempts before calls only.
    pub fn round_robin() -> Self {
        Self::from(Source::RoundRobin)
    }

    /// A random walk. Any runnable processor runs for 0 to 31 points, short runs being likelier, up
    /// to a point before a call or behind one. The same seed makes the same walk.
    pub fn seed(seed: u64) -> Self {
        Self::from(Source::Seed(seed))
    }

    /// One byte for each decision. When the bytes are used up, round robin follows. If only one
    /// processor is runnable, no byte is used.
    ///
    /// Where at most four processors are runnable, the low five bits of the byte are the points.
    /// The next two bits, modulo the number of runnable processors, choose one of them in the order
    /// of their numbers. With the highest bit the run may end behind its last call, not only before
    /// the next one.
    ///
    /// Where more than four processors are runnable, the high three bits choose the processor, bit
    /// 4 takes the place of the highest bit, and the low four bits are the points.
    ///
    /// For other choices the byte counts modulo the number of possibilities.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::from(Source::Bytes { bytes, position: 0 })
    }

    /// Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010). Processors have random
    /// priorities, and the highest runnable one runs. At `depth - 1` random points of the first
    /// `expected_points`, the processor that would run gets a priority below all others. The
    /// possibilities of other choices are equally likely. The same seed makes the same run.
    ///
    /// Consider a bug that needs `depth` particular orders between steps, in a program of `n`
    /// processors that is asked at most `expected_points` times which one runs. Each run finds it
    /// with a probability of at least `1 / (n * (2 * expected_points) ^ (depth - 1))`, whatever
    /// else the program does. The points that count are the points before calls and returns at
    /// which more than one processor can run. A priority changes at such a point or behind the call
    /// before it. After `expected_points` of them round robin follows, so that programs that wait
    /// for each other end.
    pub fn pct(seed: u64, depth: u32, expected_points: u64) -> Self {
        Self::from(Source::Pct(Box::new(Pct::new(seed, depth, expected_points))))
    }

    /// The next run of a search.
    pub(crate) fn explore(search: Search) -> Self {
        Self::from(Source::Explore(Box::new(search)))
    }

    /// The search that this schedule was made of, if any.
    pub(crate) fn into_search(self) -> Option<Search> {
        match self.source {
            Source::Explore(search) => Some(*search),
            _ => None,
        }
    }

    /// A recording, or a run like it with fewer preemptions.
    pub(crate) fn guide(guide: Guide) -> Self {
        Self::from(Source::Guide(Box::new(guide)))
    }

    /// The guide that this schedule was made of, if any.
    pub(crate) fn into_guide(self) -> Option<Guide> {
        match self.source {
            Source::Guide(guide) => Some(*guide),
            _ => None,
        }
    }

    const fn from(source: Source) -> Self {
        Self { source, unbroken: false }
    }

    /// Whether the source is asked at every point. Recordings join such decisions.
    pub(super) fn is_fine(&self) -> bool {
        matches!(self.source, Source::Pct(_) | Source::Explore(_))
    }

    /// The decisions of an earlier simulation. A program that does not fit them ends its run with a
    /// failure that names the decision. It does not fit if it asks for another decision, has done
    /// something else since the decision before, or leaves decisions over.
    ///
    /// The program's actions are compared by a hash of each kernel call and its step, of the
    /// number of atomic operations of each kind, and of the atomics that they used. An atomic in
    /// pool is known by its block, and one in a static by the order of first use. Atomics in other
    /// memory are not told apart, nor are any by a recording of text version 2.
    ///
    /// Decisions that are left over are noticed at the
    /// end of the run in which the recorded program made them. If the recording does not say where
    /// that run ended, they are noticed at unload.
    pub fn replay(recording: Recording) -> Self {
        Self::from(Source::Replay(Player::new(recording)))
    }

    /// The order of another build's run, which this one repeats with tracing. See
    /// [`Simulation::followed`](crate::Simulation::followed).
    pub fn follow(order: &Order) -> Self {
        Self::from(Source::Follow(Box::new(Follower::new(order))))
    }

    /// The follower of an order, if this schedule has one.
    pub(crate) fn follower(&self) -> Option<&Follower> {
        match &self.source {
            Source::Follow(follower) => Some(follower),
            _ => None,
        }
    }

    /// Whether the source is asked behind a call that makes a second processor runnable, not only
    /// before the next call.
    pub(crate) fn asks_early(&self) -> bool {
        match &self.source {
            Source::RoundRobin => false,
            Source::Seed(_) | Source::Follow(_) => true,
            Source::Bytes { bytes, position } => *position < bytes.len(),
            Source::Pct(pct) => pct.asks_early(),
            Source::Explore(search) => search.asks_early(),
            Source::Replay(player) => player.asks_early(),
            Source::Guide(guide) => guide.asks_early(),
        }
    }

    /// Whether the source is asked before the return of a call-out, too.
    pub(super) fn asks_at_return(&self, digest: RunDigest) -> bool {
        match &self.source {
            Source::RoundRobin => false,
            Source::Bytes { bytes, position } => *position < bytes.len(),
            Source::Pct(pct) => pct.asks_early(),
            Source::Seed(_) | Source::Explore(_) | Source::Follow(_) => true,
            Source::Replay(player) => player.asks_at_return(digest),
            Source::Guide(guide) => guide.asks_at_return(digest),
        }
    }

    /// Which of the runnable processors (a bit each, at least one) runs, and for how many points.
    pub(crate) fn run(
        &mut self,
        runnable: u64,
        current: usize,
        kind: PointKind,
        digest: RunDigest,
    ) -> Result<Next, String> {
        match &mut self.source {
            Source::RoundRobin => Ok(Next::in_turn(runnable, current)),
            Source::Seed(state) => {
                let random = random(state);
                let wanted = (random >> 32) as u32 % runnable.count_ones();
                // In a product of two uniform values small values are likelier.
                let points = ((random & 31) * (random >> 5 & 31) / 31) as u32;
                Ok(Next { processor: nth(runnable, wanted), points, early: random >> 20 & 1 == 1 })
            }
            Source::Bytes { bytes, position } => match bytes.get(*position) {
                Some(byte) => {
                    *position += 1;
                    Ok(of_byte(*byte, runnable))
                }
                None => Ok(Next::in_turn(runnable, current)),
            },
            Source::Pct(pct) => Ok(pct.run(runnable, current, kind)),
            // The machine asks these itself, because it knows more of the situation.
            Source::Explore(_) | Source::Follow(_) => Ok(Next::in_turn(runnable, current)),
            Source::Replay(player) => player.run(runnable, kind, digest),
            Source::Guide(guide) => guide.run(runnable, current, kind, digest),
        }
    }

    /// Which of `options` possibilities, from 0.
    pub(crate) fn choose(&mut self, options: u8, digest: RunDigest) -> Result<u8, String> {
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
            Source::Follow(follower) => Ok(follower.choose(options)),
            Source::Replay(player) => player.choose(options, digest),
            Source::Guide(guide) => guide.choose(options, digest),
        }
    }

    /// Checks the end of a run that has ended well, or, with `unloaded`, the unload of the driver.
    ///
    /// # Errors
    /// The recording that is replayed goes on, or is that of another run.
    pub(crate) fn end(&mut self, unloaded: bool, digest: RunDigest) -> Result<(), String> {
        match &mut self.source {
            Source::Replay(player) if unloaded => player.unloaded(),
            Source::Replay(player) => player.end(digest),
            Source::Guide(guide) => guide.end(unloaded, digest),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Next, PointKind, Schedule, nth};
    use crate::engine::{
        choice::after,
        recording::{Decision, Recording},
        replay::RunDigest,
    };

    fn run(schedule: &mut Schedule, runnable: u64, current: usize) -> (usize, u32) {
        let Next { processor, points, .. } =
            schedule.run(runnable, current, PointKind::Before, RunDigest::default()).unwrap();
        (processor, points)
    }

    #[test]
    fn round_robin_goes_around() {
        let mut schedule = Schedule::round_robin();
        assert_eq!(run(&mut schedule, 0b1011, 0), (1, 16));
        assert_eq!(run(&mut schedule, 0b1011, 1), (3, 16));
        assert_eq!(run(&mut schedule, 0b1011, 3), (0, 16));
        assert_eq!(after(1 << 63 | 1, 63), 0);
    }

    #[test]
    fn a_byte_is_points_a_processor_and_where_the_run_may_end() {
        let mut schedule = Schedule::bytes(vec![0b001_00101, 0b111_11111, 7]);
        let mut asked =
            |runnable| schedule.run(runnable, 1, PointKind::Before, RunDigest::default()).unwrap();
        assert_eq!(asked(0b110), Next { processor: 2, points: 5, early: false });
        assert_eq!(asked(0b110), Next { processor: 2, points: 31, early: true });
        assert_eq!(schedule.choose(3, RunDigest::default()), Ok(1));
        assert_eq!(run(&mut schedule, 0b110, 1), (2, 16), "round robin from here on");
        assert_eq!(schedule.choose(3, RunDigest::default()), Ok(0));
    }

    #[test]
    fn of_more_than_four_processors_a_byte_reaches_eight() {
        let mut schedule = Schedule::bytes(vec![0b111_01111, 0b101_10010]);
        let mut asked = || schedule.run(0xFF, 0, PointKind::Before, RunDigest::default()).unwrap();
        assert_eq!(asked(), Next { processor: 7, points: 15, early: false });
        assert_eq!(asked(), Next { processor: 5, points: 2, early: true });
    }

    #[test]
    fn a_seed_reaches_everything() {
        let mut schedule = Schedule::seed(1);
        let mut seen = [[[false; 2]; 32]; 3];
        for _ in 0..40_000 {
            let Next { processor, points, early } =
                schedule.run(0b111, 0, PointKind::Before, RunDigest::default()).unwrap();
            seen[processor][points as usize][usize::from(early)] = true;
        }
        assert!(seen.iter().flatten().flatten().all(|seen| *seen));
    }

    #[test]
    fn a_recording_that_does_not_fit_says_where() {
        let recording = Recording::new(vec![
            Decision::Choice { options: 2, taken: 1 },
            Decision::Run { processor: 5, points: 1 },
        ]);
        let mut schedule = Schedule::replay(recording);
        assert_eq!(schedule.choose(2, RunDigest::default()), Ok(1));
        let misfit = schedule.run(0b11, 0, PointKind::Before, RunDigest::default()).unwrap_err();
        assert_eq!(misfit, "decision 1: processor 5 is not runnable");
        assert!(schedule.choose(2, RunDigest::default()).unwrap_err().contains("decision 2"));
    }

    #[test]
    fn nth_counts_set_bits_only() {
        assert_eq!(nth(0b10110, 0), 1);
        assert_eq!(nth(0b10110, 2), 4);
    }
}
