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
    replay::{Player, RunDigest},
};
use crate::limits::PROCESSORS;

/// The most steps in a row of one processor while another one can run.
const PATIENCE: u64 = 2_000;

/// A decision for a processor, mostly for another one than the one that would go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The processor that ran.
    pub(crate) processor: usize,
    /// The steps that it had made.
    steps: u64,
    kind: PointKind,
    /// How many points behind calls came before this one in the same step.
    earlier: u32,
    /// The processor that runs then.
    pub(crate) to: usize,
}

impl Turn {
    /// The decision for the processor that runs first.
    pub(crate) fn first(to: usize) -> Self {
        Self { processor: 0, steps: 0, kind: PointKind::Switch, earlier: 0, to }
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
    /// The last step of each processor in which it was asked for behind a call, and how often.
    behind: [(u64, u32); PROCESSORS],
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
            behind: [(0, 0); PROCESSORS],
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

    pub(crate) fn asks_at_return(&self, digest: RunDigest) -> bool {
        if let Some(player) = &self.player {
            return player.asks_at_return(digest);
        }
        let next = self.turns.get(self.running.0).and_then(VecDeque::front);
        next.is_some_and(|turn| turn.kind == PointKind::Return && turn.steps == self.now(digest.step))
    }

    pub(crate) fn run(
        &mut self,
        runnable: u64,
        current: usize,
        kind: PointKind,
        digest: RunDigest,
    ) -> Result<Next, String> {
        let goes_on = kind != PointKind::Switch && runnable >> current & 1 == 1;
        let spent = digest.step.saturating_sub(self.running.1);
        self.runs(current, digest.step);
        let steps = self.steps_of(current);
        let earlier = if kind == PointKind::After { self.count_behind(current, steps) } else { 0 };
        let here = Turn { processor: current, steps, kind, earlier, to: current };
        let usual = if goes_on { current } else { after(runnable, current) };
        let (mut next, planned) = match &mut self.player {
            // A stay at such a point tells a later point of the same step from an earlier one.
            Some(player) => {
                (player.run(runnable, kind, digest)?, matches!(kind, PointKind::After | PointKind::Return))
            }
            None => {
                let given_way = goes_on && kind == PointKind::Before && spent >= PATIENCE;
                let to = self.turn(runnable, here);
                let default = if given_way { after(runnable, current) } else { usual };
                (Next::late(to.unwrap_or(default), 0), to.is_some())
            }
        };
        self.running.0 = next.processor;
        if next.processor != usual {
            self.preemptions += usize::from(goes_on && spent < PATIENCE);
        }
        if next.processor != usual || planned {
            self.made.turns.push(Turn { to: next.processor, ..here });
        }
        if self.player.is_none() {
            (next.points, next.early) = self.slice(next.processor);
        }
        Ok(next)
    }

    /// Counts a point behind a call. Returns how many came before in this step.
    fn count_behind(&mut self, processor: usize, steps: u64) -> u32 {
        let Some((step, count)) = self.behind.get_mut(processor) else { return 0 };
        if *step != steps {
            (*step, *count) = (steps, 0);
        }
        *count += 1;
        *count - 1
    }

    /// The processor that the plan has run from here on.
    fn turn(&mut self, runnable: u64, here: Turn) -> Option<usize> {
        let turns = self.turns.get_mut(here.processor)?;
        while turns.pop_front_if(|turn| turn.steps < here.steps).is_some() {}
        let turn = turns.pop_front_if(|turn| Turn { to: here.to, ..*turn } == here)?;
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

    pub(crate) fn choose(&mut self, options: u8, digest: RunDigest) -> Result<u8, String> {
        let (processor, steps) = (self.running.0, self.now(digest.step));
        let taken = match &mut self.player {
            Some(player) => player.choose(options, digest)?,
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
    pub(crate) fn end(&mut self, unloaded: bool, digest: RunDigest) -> Result<(), String> {
        match &mut self.player {
            Some(player) if unloaded => player.unloaded(),
            Some(player) => player.end(digest),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::ptr::null_mut;
    use std::rc::Rc;

    use super::Guide;
    use crate::{
        Config, Schedule, Simulation, Stop, ddi,
        sync::{AtomicU32, Ordering::SeqCst},
        types::{KDPC, LARGE_INTEGER, PVOID, ULONG_PTR},
    };

    unsafe extern "C" fn routine(_dpc: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
        // SAFETY: the context is the round's counter, which outlives the DPC.
        let counter = unsafe { &*context.cast::<AtomicU32>() };
        counter.fetch_add(1, SeqCst);
    }

    /// Three processors with a lock, DPCs, waits, and a loop that waits for the others.
    fn round(kernel: &mut Simulation) -> Result<(), Stop> {
        let (counter, lock) = (Rc::new(AtomicU32::new(0)), Rc::new(core::cell::Cell::new(0 as ULONG_PTR)));
        let program = || {
            let (counter, lock) = (Rc::clone(&counter), Rc::clone(&lock));
            move || {
                let mut dpc = KDPC::default();
                // SAFETY: the program waits for the DPC, so it and its context live until then.
                unsafe {
                    ddi::KeInitializeDpc(&raw mut dpc, Some(routine), Rc::as_ptr(&counter).cast_mut().cast())
                };
                // SAFETY: the DPC is initialised.
                unsafe { ddi::KeInsertQueueDpc(&raw mut dpc, null_mut(), null_mut()) };
                // SAFETY: zero is a lock that is free, and it outlives the round's programs.
                let before = unsafe { ddi::KeAcquireSpinLockRaiseToDpc(lock.as_ptr()) };
                counter.store(counter.load(SeqCst) + 1, SeqCst);
                // SAFETY: this processor holds the lock.
                unsafe { ddi::KeReleaseSpinLock(lock.as_ptr(), before) };
                let mut moment = LARGE_INTEGER { QuadPart: -1 };
                // SAFETY: the interval is valid for the call.
                unsafe { ddi::KeDelayExecutionThread(0, 0, &raw mut moment) };
                counter.fetch_add(10, SeqCst);
                while counter.load(SeqCst) < 30 {}
                // SAFETY: the caller is at PASSIVE_LEVEL.
                unsafe { ddi::KeFlushQueuedDpcs() };
            }
        };
        kernel.programs().on(0, program()).on(1, program()).on(2, program()).run()?;
        kernel.programs().on(0, crate::preemption_point).on(1, crate::preemption_point).run()?;
        kernel.unload()
    }

    /// Two points of one step may be taken for each other, so it holds for almost all runs.
    #[test]
    fn a_plan_with_all_decisions_makes_the_same_run() {
        let config = Config { processors: 3, trace: true, ..Config::default() };
        let mut kernel = Simulation::new(config, Schedule::round_robin());
        let mut trace_of = |schedule| {
            kernel.reset(config, schedule);
            round(&mut kernel).unwrap();
            let (trace, recording) = (kernel.trace().to_string(), kernel.recording());
            (trace, recording, kernel.take_schedule().into_guide().map(Guide::outcome))
        };
        let mut equal = 0;
        for seed in 0..300 {
            let schedule = if seed % 2 == 0 { Schedule::seed(seed) } else { Schedule::pct(seed, 4, 100) };
            let (trace, recording, _) = trace_of(schedule);
            let (learned, _, outcome) = trace_of(Schedule::guide(Guide::learn(recording)));
            assert_eq!(learned, trace, "seed {seed}");
            let (plan, preemptions) = outcome.unwrap();
            let (followed, recording, outcome) = trace_of(Schedule::guide(Guide::follow(&plan)));
            equal += u32::from(followed == trace && outcome.unwrap().1 == preemptions);
            assert_eq!(trace_of(Schedule::replay(recording)).0, followed, "seed {seed}");
        }
        assert!(equal >= 295, "{equal} of 300");
    }
}
