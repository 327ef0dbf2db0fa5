//! Takes preemptions out of a recording, as long as its run ends in the same way.

extern crate alloc;

use alloc::vec::Vec;

use super::runner::{Case, Runner};
use crate::{
    engine::{
        guide::{Guide, Plan, Turn},
        recording::Recording,
        schedule::Schedule,
    },
    verifier::stop::Stop,
};

/// The most runs.
const RUNS: u32 = 500;
/// The most steps of all runs.
const STEPS: u64 = 20_000_000;

/// The most decisions of a plan in which slices are exchanged.
const REDIRECTED: usize = 40;

/// A recording with few preemptions.
pub(super) struct Shrunk {
    pub(super) recording: Recording,
    pub(super) preemptions: usize,
    /// The preemptions of the recording that was given.
    pub(super) before: usize,
}

/// Takes preemptions out of a recording. `None` if the recording's run does not end in the same
/// way.
pub(super) fn shrink(
    runner: &mut Runner<'_>,
    case: Case,
    recording: &Recording,
    stop: &Stop,
) -> Option<Shrunk> {
    let mut shrinker = Shrinker { runner, case, stop, runs: 0, steps: 0 };
    let (plan, before) = shrinker.attempt(Guide::learn(recording.clone()))?;
    let mut best = Best { plan, preemptions: before, recording: recording.clone() };
    let simple = Plan { choices: Vec::new(), ..best.plan.clone() };
    shrinker.improve(&mut best, &simple);
    let turns = best.plan.turns.iter().filter(|turn| turn.to != turn.processor).copied().collect();
    let plan = Plan { turns, choices: best.plan.choices.clone() };
    shrinker.improve(&mut best, &plan);
    let mut size = best.plan.turns.len().max(1);
    loop {
        let shorter = shrinker.without_parts(&mut best, size);
        match (shorter, size) {
            (false, 1) => break,
            (true, 1) => {}
            _ => size = size.div_ceil(2),
        }
    }
    Some(Shrunk { recording: best.recording, preemptions: best.preemptions, before })
}

/// The best run so far.
struct Best {
    plan: Plan,
    preemptions: usize,
    recording: Recording,
}

struct Shrinker<'a, 'b> {
    runner: &'a mut Runner<'b>,
    case: Case,
    stop: &'a Stop,
    runs: u32,
    steps: u64,
}

impl Shrinker<'_, '_> {
    /// Makes a run. Returns what it did if it ended in the same way.
    fn attempt(&mut self, guide: Guide) -> Option<(Plan, usize)> {
        if self.runs == RUNS || self.steps > STEPS {
            return None;
        }
        self.runs += 1;
        let outcome = self.runner.run(self.case, false, Schedule::guide(guide));
        self.steps += self.runner.kernel.counters().steps;
        let is_alike = outcome.err().is_some_and(|stop| alike(&stop, self.stop));
        let guide = self.runner.kernel.take_schedule().into_guide().filter(|_| is_alike)?;
        Some(guide.outcome())
    }

    /// Makes the plan's run the best one, if it ends in the same way, with no more preemptions and
    /// fewer decisions.
    fn improve(&mut self, best: &mut Best, plan: &Plan) -> bool {
        let Some((made, preemptions)) = self.attempt(Guide::follow(plan)) else { return false };
        let rank = |plan: &Plan, preemptions| (preemptions, plan.turns.len());
        let (now, before) = (rank(&made, preemptions), rank(&best.plan, best.preemptions));
        // Without choices of its own, an equal run is a simpler one.
        if now > before || now == before && !plan.choices.is_empty() {
            return false;
        }
        *best = Best { plan: made, preemptions, recording: self.runner.kernel.recording() };
        true
    }

    /// Leaves out each part of so many decisions, one after the other. Returns whether that has
    /// made the run better.
    fn without_parts(&mut self, best: &mut Best, size: usize) -> bool {
        let (mut better, mut end) = (false, best.plan.turns.len());
        while end > 0 {
            let begin = end.saturating_sub(size);
            let rest = |turns: &[Turn]| {
                let parts = turns.iter().enumerate();
                let kept = parts.filter(|(number, _)| !(begin..end).contains(number));
                kept.map(|(_, turn)| *turn).collect()
            };
            let plan = Plan { turns: rest(&best.plan.turns), choices: best.plan.choices.clone() };
            let is_shorter = self.improve(best, &plan);
            better |= is_shorter || size == 1 && self.begin_with(best, begin);
            end = begin.min(best.plan.turns.len());
        }
        better
    }

    /// Leaves out a preemption in another way: the processor that it lets run does so from the
    /// beginning of the interrupted processor's slice.
    fn begin_with(&mut self, best: &mut Best, number: usize) -> bool {
        let mut plan = best.plan.clone();
        if number >= plan.turns.len() || plan.turns.len() > REDIRECTED {
            return false;
        }
        let left_out = plan.turns.remove(number);
        let mut before = plan.turns.iter_mut().take(number).rev();
        match before.find(|turn| turn.to == left_out.processor) {
            Some(turn) => turn.to = left_out.to,
            None => plan.turns.insert(0, Turn::first(left_out.to)),
        }
        self.improve(best, &plan)
    }
}

/// Whether two stops are of the same kind.
pub(super) fn alike(one: &Stop, other: &Stop) -> bool {
    match (one, other) {
        (Stop::BugCheck(one), Stop::BugCheck(other)) => {
            // Driver Verifier's bug check says by the first parameter which rule was broken.
            const DRIVER_VERIFIER: u32 = 0xC4;
            one.code == other.code
                && (one.code != DRIVER_VERIFIER || one.parameters.first() == other.parameters.first())
        }
        (Stop::Failure { oracle: one, .. }, Stop::Failure { oracle: other, .. }) => one == other,
        (Stop::Panic { place: one, .. }, Stop::Panic { place: other, .. }) => one == other,
        (Stop::StepLimit { .. }, Stop::StepLimit { .. }) | (Stop::Deadlock { .. }, Stop::Deadlock { .. }) => {
            true
        }
        _ => false,
    }
}
