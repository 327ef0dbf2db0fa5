//! Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: A randomized
//! scheduler with probabilistic guarantees of finding bugs, ASPLOS 2010).
//!
//! Processors have random priorities, and at a few points the highest one is lowered.

extern crate alloc;

use alloc::vec::Vec;

use super::choice::{Next, PointKind, random};
use crate::limits::PROCESSORS;

/// The state of the scheduler.
#[derive(Debug, Clone)]
pub(crate) struct Pct {
    random: u64,
    /// The priority of each processor. The runnable processor with the highest one runs.
    priorities: [u32; PROCESSORS],
    /// The points at which the processor that would run gets a priority below all others, and that
    /// priority. The latest point comes first. Twice a number is the point with that number; one
    /// more is behind the call after it.
    changes: Vec<(u64, u32)>,
    /// How many points the scheduler was asked at.
    asked: u64,
    expected: u64,
}

impl Pct {
    pub(crate) fn new(seed: u64, depth: u32, expected_points: u64) -> Self {
        let (mut random, expected) = (seed, expected_points.max(1));
        let depth = depth.max(1);
        let mut priorities = core::array::from_fn(|processor| depth + processor as u32);
        for last in (1..PROCESSORS).rev() {
            let other = below(&mut random, last as u64 + 1) as usize;
            priorities.swap(last, other);
        }
        let mut changes: Vec<_> =
            (1..depth).map(|priority| (1 + below(&mut random, 2 * expected), priority)).collect();
        changes.sort_unstable_by(|one, other| other.cmp(one));
        Self { random, priorities, changes, asked: 0, expected }
    }

    /// The processor that runs until the next point at which another one could.
    pub(crate) fn run(&mut self, runnable: u64, current: usize, kind: PointKind) -> Next {
        let behind = kind.is_behind();
        self.asked += u64::from(!behind);
        if self.asked > self.expected {
            return Next::in_turn(runnable, current);
        }
        let now = 2 * self.asked + u64::from(behind);
        while let Some((_, priority)) = self.changes.pop_if(|(at, _)| *at <= now) {
            let would_run = self.highest(runnable);
            if let Some(place) = self.priorities.get_mut(would_run) {
                *place = priority;
            }
        }
        let early = self.changes.last().is_some_and(|(at, _)| *at == 2 * self.asked + 1);
        Next { processor: self.highest(runnable), points: 0, early }
    }

    /// Whether PCT is asked behind a call that has made another processor runnable.
    pub(crate) fn asks_early(&self) -> bool {
        self.asked < self.expected
    }

    /// One of `options` possibilities, each equally likely.
    pub(crate) fn choose(&mut self, options: u8) -> u8 {
        below(&mut self.random, options.into()) as u8
    }

    /// The runnable processor with the highest priority. No two processors have the same one.
    fn highest(&self, runnable: u64) -> usize {
        let candidates = self.priorities.iter().enumerate().filter(|(number, _)| runnable >> number & 1 == 1);
        candidates.max_by_key(|(_, priority)| **priority).map_or(0, |(number, _)| number)
    }
}

/// A number below `end`, which is not 0.
fn below(state: &mut u64, end: u64) -> u64 {
    // The high half of the product is uniform, with an error of at most 2^-64 times `end`.
    ((u128::from(random(state)) * u128::from(end)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::{Next, Pct, PointKind};

    /// The processors that run at each of `points` points and behind the call after each, with
    /// three processors that can always run.
    fn runs(seed: u64, depth: u32, points: usize) -> Vec<usize> {
        let mut pct = Pct::new(seed, depth, 40);
        let mut runs = Vec::new();
        let mut current = 0;
        for _ in 0..points {
            let mut next = pct.run(0b111, current, PointKind::Before);
            runs.push(next.processor);
            if next.early {
                next = pct.run(0b111, next.processor, PointKind::After);
            }
            runs.push(next.processor);
            current = next.processor;
        }
        runs
    }

    fn changes(runs: &[usize]) -> usize {
        runs.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn the_highest_runs_until_a_change_point() {
        for seed in 0..200 {
            assert_eq!(changes(&runs(seed, 1, 40)), 0, "depth 1 has no change points");
            assert!(changes(&runs(seed, 3, 40)) <= 2);
        }
        assert!((0..200).any(|seed| changes(&runs(seed, 3, 40)) == 2));
    }

    #[test]
    fn every_processor_may_be_first_and_every_point_a_change() {
        let first: Vec<_> = (0..100).map(|seed| runs(seed, 1, 1)[0]).collect();
        assert!((0..3).all(|processor| first.contains(&processor)));
        let mut seen = [false; 80];
        for seed in 0..2000 {
            if let Some(at) = runs(seed, 2, 40).windows(2).position(|pair| pair[0] != pair[1]) {
                seen[at + 1] = true;
            }
        }
        // The place behind the last expected point is not expected.
        assert!(seen[1..79].iter().all(|seen| *seen), "{seen:?}");
    }

    #[test]
    fn after_the_expected_points_it_is_round_robin() {
        let mut pct = Pct::new(3, 2, 5);
        for _ in 0..5 {
            assert_eq!(pct.run(0b11, 0, PointKind::Before).points, 0);
        }
        assert_eq!(pct.run(0b11, 0, PointKind::Before), Next::late(1, 16));
        assert_eq!(pct.run(0b11, 1, PointKind::Before), Next::late(0, 16));
    }

    #[test]
    fn a_processor_that_has_become_runnable_runs_if_it_is_higher() {
        let overtakes = |seed| {
            let mut pct = Pct::new(seed, 1, 40);
            assert_eq!(pct.run(0b001, 0, PointKind::Before).processor, 0);
            pct.run(0b011, 0, PointKind::After).processor == 1
        };
        assert!((0..50).any(overtakes) && !(0..50).all(overtakes));
    }
}
