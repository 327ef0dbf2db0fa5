//! Runs a program as a recording says, but for preemptions that are left out. [`hunt`](crate::hunt)
//! makes recordings shorter with it.
//!
//! A recording says how far each slice of a run goes, so none of its decisions fits any more once
//! one before it is left out. A guide instead says where a *processor* is stopped, in steps of that
//! processor, and which one runs then. Such a decision still has its place when others are left
//! out. Elsewhere the running processor goes on, and gives way after [`PATIENCE`] steps, so that a
//! loop that waits for another processor ends.

extern crate alloc;

use alloc::{collections::VecDeque, string::String, vec::Vec};

use super::{
    choice::{Next, PointKind, after},
    recording::Recording,
    replay::{Player, SoFar},
};
use crate::limits::PROCESSORS;

/// The most steps in a row of one processor while another one can run.
const PATIENCE: u64 = 2_000;

/// A decision for another processor than the one that would go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The processor that ran.
    pub(crate) processor: usize,
    /// The steps that it had made.
    steps: u64,
    kind: PointKind,
    /// The processor that runs then.
    pub(crate) to: usize,
}

impl Turn {
    /// The decision for the processor that runs first.
    pub(crate) fn first(to: usize) -> Self {
        Self { processor: 0, steps: 0, kind: PointKind::Switch, to }
    }
}

/// A choice that NT leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    processor: usize,
    steps: u64,
    options: u8,
    taken: u8,
}

/// The decisions of a guide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) turns: Vec<Turn>,
    pub(crate) choices: Vec<Choice>,
}

/// The source of a run's decisions.
#[derive(Debug, Clone)]
pub(crate) struct Guide {
    /// The recording that is made a plan of; without one the guide follows its plan.
    player: Option<Player>,
    turns: [VecDeque<Turn>; PROCESSORS],
    choices: [VecDeque<Choice>; PROCESSORS],
    /// The decisions that were taken in this run.
    made: Plan,
    preemptions: usize,
    /// The steps of each processor.
    steps: [u64; PROCESSORS],
    /// The running processor, and the machine's steps when it was last asked for.
    running: (usize, u64),
}

impl Guide {
    /// Replays a recording, and makes a plan of it.
    pub(crate) fn learn(recording: Recording) -> Self {
        Self { player: Some(Player::new(recording)), ..Self::follow(&Plan::default()) }
    }

    /// Follows a plan.
    pub(crate) fn follow(plan: &Plan) -> Self {
        let turns = |processor| plan.turns.iter().filter(move |turn| turn.processor == processor);
        let choices = |processor| plan.choices.iter().filter(move |choice| choice.processor == processor);
        Self {
            player: None,
            turns: core::array::from_fn(|processor| turns(processor).copied().collect()),
            choices: core::array::from_fn(|processor| choices(processor).copied().collect()),
            made: Plan::default(),
            preemptions: 0,
            steps: [0; PROCESSORS],
            running: (0, 0),
        }
    }

    /// The decisions that were taken, and the number of preemptions among them.
    pub(crate) fn outcome(self) -> (Plan, usize) {
        (self.made, self.preemptions)
    }

    /// Counts the steps of the running processor, and notes which one runs from here on.
    pub(crate) fn runs(&mut self, processor: usize, step: u64) {
        let (before, since) = self.running;
        if let Some(steps) = self.steps.get_mut(before) {
            *steps += step.saturating_sub(since);
        }
        self.running = (processor, step);
    }

    /// The steps of the running processor.
    fn now(&self, step: u64) -> u64 {
        let (processor, since) = self.running;
        self.steps_of(processor) + step.saturating_sub(since)
    }

    fn steps_of(&self, processor: usize) -> u64 {
        self.steps.get(processor).copied().unwrap_or_default()
    }

    pub(crate) fn asks_early(&self) -> bool {
        self.player.as_ref().is_none_or(Player::asks_early)
    }

    pub(crate) fn asks_at_return(&self, so_far: SoFar) -> bool {
        if let Some(player) = &self.player {
            return player.asks_at_return(so_far);
        }
        let next = self.turns.get(self.running.0).and_then(VecDeque::front);
        next.is_some_and(|turn| turn.kind == PointKind::Return && turn.steps == self.now(so_far.step))
    }

    pub(crate) fn run(
        &mut self,
        runnable: u64,
        current: usize,
        kind: PointKind,
        so_far: SoFar,
    ) -> Result<Next, String> {
        let goes_on = kind != PointKind::Switch && runnable >> current & 1 == 1;
        let spent = so_far.step.saturating_sub(self.running.1);
        self.runs(current, so_far.step);
        let steps = self.steps_of(current);
        let usual = if goes_on { current } else { after(runnable, current) };
        let mut next = match &mut self.player {
            Some(player) => player.run(runnable, kind, so_far)?,
            None => {
                let given_way = goes_on && kind == PointKind::Before && spent >= PATIENCE;
                let to = self.turn(runnable, current, kind, steps);
                let default = if given_way { after(runnable, current) } else { usual };
                Next::late(to.unwrap_or(default), 0)
            }
        };
        self.running.0 = next.processor;
        if next.processor != usual {
            self.preemptions += usize::from(goes_on && spent < PATIENCE);
            self.made.turns.push(Turn { processor: current, steps, kind, to: next.processor });
        }
        if self.player.is_none() {
            (next.points, next.early) = self.slice(next.processor);
        }
        Ok(next)
    }

    /// The processor that the plan has run now.
    fn turn(&mut self, runnable: u64, current: usize, kind: PointKind, steps: u64) -> Option<usize> {
        let turns = self.turns.get_mut(current)?;
        while turns.pop_front_if(|turn| turn.steps < steps).is_some() {}
        let turn = turns.pop_front_if(|turn| turn.steps == steps && turn.kind == kind)?;
        (runnable >> turn.to & 1 == 1).then_some(turn.to)
    }

    /// For how many points a processor runs, and whether it stops behind the last call.
    fn slice(&mut self, processor: usize) -> (u32, bool) {
        let steps = self.steps_of(processor);
        let Some(turns) = self.turns.get_mut(processor) else { return (0, false) };
        // A point before a call is the first one of its step.
        let is_over =
            |turn: &mut Turn| turn.steps < steps || turn.steps == steps && turn.kind == PointKind::Before;
        while turns.pop_front_if(is_over).is_some() {}
        let next = turns.front();
        let left = next.map_or(PATIENCE, |turn| {
            (turn.steps - steps).saturating_sub(u64::from(turn.kind == PointKind::Before))
        });
        let early = next.is_some_and(|turn| turn.kind.is_behind()) && left <= PATIENCE;
        (left.min(PATIENCE) as u32, early)
    }

    pub(crate) fn choose(&mut self, options: u8, so_far: SoFar) -> Result<u8, String> {
        let (processor, steps) = (self.running.0, self.now(so_far.step));
        let taken = match &mut self.player {
            Some(player) => player.choose(options, so_far)?,
            None => self.choice(processor, steps, options).unwrap_or_default(),
        };
        self.made.choices.push(Choice { processor, steps, options, taken });
        Ok(taken)
    }

    fn choice(&mut self, processor: usize, steps: u64, options: u8) -> Option<u8> {
        let choices = self.choices.get_mut(processor)?;
        while choices.pop_front_if(|choice| choice.steps < steps).is_some() {}
        let choice = choices.pop_front_if(|choice| choice.steps == steps && choice.options == options)?;
        Some(choice.taken)
    }

    /// Checks the end of a run that has ended well.
    pub(crate) fn end(&mut self, unloaded: bool, so_far: SoFar) -> Result<(), String> {
        match &mut self.player {
            Some(player) if unloaded => player.unloaded(),
            Some(player) => player.end(so_far),
            None => Ok(()),
        }
    }
}
