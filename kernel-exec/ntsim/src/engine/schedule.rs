//! Sources of decisions: which processor runs next, and every other choice that NT leaves open.

extern crate alloc;

use alloc::{boxed::Box, string::String, vec::Vec};

use super::{
    explore::search::{Search, Situation},
    follow::Follower,
    machine::Machine,
    order::Order,
    pct::Pct,
    recording::{Decision, Recording},
    replay::{Player, SoFar},
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
    source: Source,
    /// Whether this schedule made the last decision about which processor runs. It is cleared when
    /// a processor runs because it is the only one.
    unbroken: bool,
}

#[derive(Debug, Clone)]
enum Source {
    RoundRobin,
    Seed(u64),
    Bytes { bytes: Vec<u8>, position: usize },
    Replay(Player),
    Pct(Box<Pct>),
    Explore(Box<Search>),
    Follow(Box<Follower>),
}

/// For how many preemption points a processor runs under round robin.
pub(super) const QUANTUM: u32 = 16;

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

    const fn from(source: Source) -> Self {
        Self { source, unbroken: false }
    }

    /// Whether the source is asked at every point. Recordings join such decisions.
    fn is_fine(&self) -> bool {
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
        }
    }

    /// Whether the source is asked before the return of a call-out, too.
    fn asks_at_return(&self, so_far: SoFar) -> bool {
        match &self.source {
            Source::RoundRobin => false,
            Source::Bytes { bytes, position } => *position < bytes.len(),
            Source::Pct(pct) => pct.asks_early(),
            Source::Seed(_) | Source::Explore(_) | Source::Follow(_) => true,
            Source::Replay(player) => player.asks_at_return(so_far),
        }
    }

    /// Which of the runnable processors (a bit each, at least one) runs, and for how many points.
    pub(crate) fn run(
        &mut self,
        runnable: u64,
        current: usize,
        kind: PointKind,
        so_far: SoFar,
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
            Source::Replay(player) => player.run(runnable, kind, so_far),
        }
    }

    /// Which of `options` possibilities, from 0.
    pub(crate) fn choose(&mut self, options: u8, so_far: SoFar) -> Result<u8, String> {
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
            Source::Replay(player) => player.choose(options, so_far),
        }
    }

    /// Checks the end of a run that has ended well, or, with `unloaded`, the unload of the driver.
    ///
    /// # Errors
    /// The recording that is replayed goes on, or is that of another run.
    pub(crate) fn end(&mut self, unloaded: bool, so_far: SoFar) -> Result<(), String> {
        match &mut self.source {
            Source::Replay(player) if unloaded => player.unloaded(),
            Source::Replay(player) => player.end(so_far),
            _ => Ok(()),
        }
    }
}

/// The kind of place at which the schedule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointKind {
    /// At a point that counts, before a call.
    Before,
    /// Before the return of a call-out.
    Return,
    /// Behind a call, or before the first step of a call-out.
    After,
    /// Behind a call, as `After`, by which the running processor is alone no more.
    Woken,
    /// Where the processor that ran cannot go on.
    Switch,
}

/// A schedule's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// The processor that runs.
    pub(crate) processor: usize,
    /// How many points it runs past.
    pub(crate) points: u32,
    /// Whether it is stopped behind the last call, not only before the next one.
    pub(crate) early: bool,
}

impl PointKind {
    /// Whether the point is behind a call.
    pub(crate) fn is_behind(self) -> bool {
        matches!(self, Self::After | Self::Woken)
    }
}

impl Next {
    /// A decision that ends before a call.
    pub(crate) fn late(processor: usize, points: u32) -> Self {
        Self { processor, points, early: false }
    }

    /// The next decision of round robin.
    pub(crate) fn in_turn(runnable: u64, current: usize) -> Self {
        Self::late(after(runnable, current), QUANTUM)
    }
}

/// The byte that encodes this decision, if at most four processors can run, for at most 31 points.
/// Otherwise a byte that encodes a similar decision.
pub(super) fn byte_of(runnable: u64, next: Next) -> u8 {
    let which = (runnable & ((1 << next.processor) - 1)).count_ones() as u8;
    let (points, early) = (next.points.min(31) as u8, u8::from(next.early));
    if runnable.count_ones() <= 4 {
        early << 7 | which << 5 | points
    } else {
        which << 5 | early << 4 | points.min(15)
    }
}

/// The decision that a byte encodes.
fn of_byte(byte: u8, runnable: u64) -> Next {
    let count = runnable.count_ones();
    let (which, early, points) = if count <= 4 {
        (byte >> 5 & 3, byte >> 7, byte & 31)
    } else {
        (byte >> 5, byte >> 4 & 1, byte & 15)
    };
    Next { processor: nth(runnable, u32::from(which) % count), points: points.into(), early: early == 1 }
}

impl Machine {
    /// Asks the schedule which of several runnable processors runs.
    pub(crate) fn ask_schedule(&self, runnable: u64, kind: PointKind) -> Result<Next, String> {
        let (current, mut schedule) = (self.current.get(), self.schedule.borrow_mut());
        if let Source::Follow(follower) = &mut schedule.source {
            let forced = self.clock.is_woken() || matches!(kind, PointKind::Woken | PointKind::Switch);
            return Ok(follower.run(
                runnable,
                current,
                kind,
                forced,
                self.recorder.borrow().trace().events(),
            ));
        }
        let Source::Explore(search) = &mut schedule.source else {
            return schedule.run(runnable, current, kind, self.so_far());
        };
        let (timed, recorder) = (self.timed(), self.recorder.borrow());
        search.run(&Situation {
            runnable,
            current,
            running: self.inside.get(),
            kind,
            events: recorder.trace().events(),
            named: recorder.named(),
            timed,
        })
    }

    /// Whether the schedule is asked before the return of a call-out.
    pub(crate) fn asks_at_return(&self) -> bool {
        self.schedule.borrow().asks_at_return(self.so_far())
    }

    /// Records that the schedule was not asked, because only one processor could run.
    pub(crate) fn not_asked(&self) {
        self.schedule.borrow_mut().unbroken = false;
    }

    /// Chooses one of a processor's threads, from 0. The last one already runs unless the processor
    /// is vacant.
    pub(crate) fn choose_thread(&self, options: u8, vacant: bool) -> u8 {
        if let (false, Source::Follow(follower)) = (vacant, &mut self.schedule.borrow_mut().source) {
            follower.next_is_thread();
        }
        self.choose(options)
    }

    /// While tracing, records the place of a decision among the events.
    pub(crate) fn note_decision(&self, decision: Decision) {
        if self.tracing.get() {
            let events = self.recorder.borrow().trace().events().len();
            self.ordered.borrow_mut().push((events, decision));
        }
    }

    /// Records which processor runs. If the schedule is asked at every point, successive decisions
    /// for the same processor are joined. The point at which it was asked counts, too, if it is one
    /// that counts.
    pub(crate) fn record_run(&self, processor: usize, points: u32, kind: PointKind) {
        let decision = match kind {
            PointKind::After => Decision::After { processor: processor as u8, points },
            PointKind::Woken => Decision::Woken { processor: processor as u8, points },
            _ => Decision::Run { processor: processor as u8, points },
        };
        self.note_decision(decision);
        let mut schedule = self.schedule.borrow_mut();
        let goes_on = self.inside.get() && processor == self.current.get() && kind == PointKind::Before;
        let join = schedule.is_fine() && core::mem::replace(&mut schedule.unbroken, true) && goes_on;
        let mut decisions = self.decisions.borrow_mut();
        if let (true, Some(last)) = (join, decisions.last_mut())
            && last.join(processor, points)
        {
            return;
        }
        decisions.push(decision, self.so_far().hash);
    }

    /// A summary of the program's actions so far.
    pub(crate) fn so_far(&self) -> SoFar {
        let (counts, mut hash) = (&self.counts, self.calls.get());
        let atomics = [&counts.loads, &counts.stores, &counts.rmw].map(crate::counters::Count::get);
        let step = self.clock.steps();
        for number in atomics.into_iter().chain([step, self.current.get() as u64]) {
            hash = mixed(hash, number);
        }
        let short = |hash: u64| (hash >> 32) as u32 | 1;
        SoFar { hash: short(mixed(hash, self.identities.hash())), hash_2: short(hash), step }
    }
}

/// Adds a number to a hash (by the multiplication of FxHash).
#[inline(always)]
pub(crate) fn mixed(hash: u64, number: u64) -> u64 {
    (hash.rotate_left(5) ^ number).wrapping_mul(0x517C_C1B7_2722_0A95)
}

/// The position of the `n`-th set bit, from the lowest, modulo 64 if there are fewer.
fn nth(mask: u64, n: u32) -> usize {
    let mut rest = mask;
    for _ in 0..n {
        rest &= rest.wrapping_sub(1);
    }
    rest.trailing_zeros() as usize % 64
}

/// The position of the next set bit after `current`, wrapping around.
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
    use super::{Next, PointKind, Schedule, after, nth};
    use crate::engine::{
        recording::{Decision, Recording},
        replay::SoFar,
    };

    fn run(schedule: &mut Schedule, runnable: u64, current: usize) -> (usize, u32) {
        let Next { processor, points, .. } =
            schedule.run(runnable, current, PointKind::Before, SoFar::default()).unwrap();
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
        let mut asked = |runnable| schedule.run(runnable, 1, PointKind::Before, SoFar::default()).unwrap();
        assert_eq!(asked(0b110), Next { processor: 2, points: 5, early: false });
        assert_eq!(asked(0b110), Next { processor: 2, points: 31, early: true });
        assert_eq!(schedule.choose(3, SoFar::default()), Ok(1));
        assert_eq!(run(&mut schedule, 0b110, 1), (2, 16), "round robin from here on");
        assert_eq!(schedule.choose(3, SoFar::default()), Ok(0));
    }

    #[test]
    fn of_more_than_four_processors_a_byte_reaches_eight() {
        let mut schedule = Schedule::bytes(vec![0b111_01111, 0b101_10010]);
        let mut asked = || schedule.run(0xFF, 0, PointKind::Before, SoFar::default()).unwrap();
        assert_eq!(asked(), Next { processor: 7, points: 15, early: false });
        assert_eq!(asked(), Next { processor: 5, points: 2, early: true });
    }

    #[test]
    fn a_seed_reaches_everything() {
        let mut schedule = Schedule::seed(1);
        let mut seen = [[[false; 2]; 32]; 3];
        for _ in 0..40_000 {
            let Next { processor, points, early } =
                schedule.run(0b111, 0, PointKind::Before, SoFar::default()).unwrap();
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
        assert_eq!(schedule.choose(2, SoFar::default()), Ok(1));
        let misfit = schedule.run(0b11, 0, PointKind::Before, SoFar::default()).unwrap_err();
        assert_eq!(misfit, "decision 1: processor 5 is not runnable");
        assert!(schedule.choose(2, SoFar::default()).unwrap_err().contains("decision 2"));
    }

    #[test]
    fn nth_counts_set_bits_only() {
        assert_eq!(nth(0b10110, 0), 1);
        assert_eq!(nth(0b10110, 2), 4);
    }
}
