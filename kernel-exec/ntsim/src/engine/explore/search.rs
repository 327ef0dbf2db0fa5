//! The search: a depth-first walk over the decisions of a program's runs, each of which starts the
//! same program from its beginning.
//!
//! A path is the sequence of the current run's decisions that may still be taken otherwise. A run
//! follows the path to its end, and then takes the first possibility everywhere. After the run, the
//! last decision that has another possibility takes it.

extern crate alloc;

use alloc::{string::String, vec::Vec};

use super::footprint::Footprint;
use crate::{
    engine::choice::{Next, PointKind, after},
    trace::Event,
};

/// The limits of the search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) preemptions: Option<u32>,
    pub(crate) decisions: usize,
    pub(crate) fairness: usize,
    pub(crate) prune: bool,
    /// Whether the search is asked behind calls, too.
    pub(crate) plain_memory: bool,
}

/// The situation in which the schedule is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SchedulePoint<'a> {
    /// A bit for each processor that can run.
    pub(crate) runnable: u64,
    /// The current processor.
    pub(crate) current: usize,
    /// Whether the current processor is in the middle of something and could go on.
    pub(crate) running: bool,
    /// The kind of point.
    pub(crate) kind: PointKind,
    /// All events so far.
    pub(crate) events: &'a [Event],
    /// How many objects have names.
    pub(crate) named: u32,
    /// Whether time alone may cause an event, because a timer is set or a DPC waits for a clock
    /// tick.
    pub(crate) timed: bool,
}

/// The search.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    bounds: Bounds,
    path: Vec<Node>,
    /// The number of this run's decisions so far.
    position: usize,
    /// The number of this run's events that footprints contain.
    seen: usize,
    /// Set once nothing new can come of this run, or it is too long. It then goes on by round
    /// robin.
    rest: Option<PruneReason>,
    /// How many decisions in a row have let the running processor go on, though another one could
    /// run.
    streak: usize,
    /// Whether a processor had to give way in this run.
    gave_way: bool,
}

/// The reason why a run goes on without new decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PruneReason {
    /// The rest of the run equals an earlier run but for the order of steps that commute.
    Redundant,
    /// The run has made as many decisions as it may.
    TooLong,
}

/// A decision of the path.
#[derive(Debug, Clone)]
enum Node {
    Run(Run),
    Choice { options: u8, taken: u8 },
}

/// A decision about which processor runs.
#[derive(Debug, Clone)]
struct Run {
    runnable: u64,
    /// The processor that was running, if it could go on.
    running: Option<usize>,
    /// Whether the decision was made behind a call.
    behind: bool,
    /// The number of preemptions before it.
    preemptions: u32,
    /// The number of objects that had names before it.
    named: u32,
    /// The processors that need not run next, because their outcome is known.
    sleep: Vec<SleepSetEntry>,
    taken: usize,
    /// Whether the running processor had to give way. Then there is no other possibility, and it is
    /// no preemption.
    gives_way: bool,
    /// A bit for each processor that has been taken.
    tried: u64,
    /// The objects that the taken processor has touched in its step, in all the step's choices.
    own: Footprint,
    /// The objects touched until the next decision, also by processors that ran on because they
    /// were the only ones.
    footprint: Footprint,
}

/// A processor with a next transition that has been explored, from here or from an earlier
/// decision. Nothing since then has touched its objects.
#[derive(Debug, Clone)]
struct SleepSetEntry {
    processor: usize,
    footprint: Footprint,
    named: u32,
    /// Whether the processor is behind a call, and touches nothing before its next point [S2].
    behind: bool,
}

impl SleepSetEntry {
    /// Whether it sleeps on after a transition with this footprint.
    fn sleeps_on(&self, footprint: &Footprint) -> bool {
        self.behind || self.footprint.independent(footprint, self.named)
    }
}

impl Run {
    fn cost(&self, processor: usize) -> u32 {
        (!self.gives_way && self.running.is_some_and(|running| running != processor)).into()
    }

    /// The next processor to take: the running one first, then the others by their numbers.
    fn next(&self, bounds: Bounds) -> Option<usize> {
        let affordable = |processor: &usize| {
            bounds.preemptions.is_none_or(|bound| self.preemptions + self.cost(*processor) <= bound)
        };
        let asleep = |processor: &usize| self.sleep.iter().any(|sleeper| sleeper.processor == *processor);
        let open = self.runnable & !self.tried;
        self.running
            .into_iter()
            .chain(0..64)
            .filter(|processor| open >> processor & 1 == 1)
            .find(|processor| affordable(processor) && !asleep(processor))
    }

    /// The next processor after the running one, which must now give way.
    fn next_fair(&mut self, current: usize) -> Option<usize> {
        let asleep = self.sleep.iter().fold(0_u64, |asleep, sleeper| asleep | 1 << sleeper.processor);
        let others = self.runnable & !(1 << current) & !asleep;
        self.gives_way = true;
        self.tried = u64::MAX;
        (others != 0).then(|| after(others, current))
    }

    fn take(&mut self, processor: usize) {
        self.taken = processor;
        self.tried |= 1 << processor;
        self.own = Footprint::default();
        self.footprint = Footprint::default();
    }

    /// Adds the events between this decision and the next one. Returns whether a sleeping processor
    /// has run because it was the only one that could.
    fn add(&mut self, events: &[Event], timed: bool) -> bool {
        let taken = self.taken;
        let others = events.iter().position(|event| event.processor != taken).unwrap_or(events.len());
        self.own.add(events.get(..others).unwrap_or_default());
        self.footprint.add(events);
        if timed {
            self.everything();
        }
        let Some(other) = events.get(others) else { return false };
        self.sleep.iter().any(|sleeper| sleeper.processor == other.processor && sleeper.sleeps_on(&self.own))
    }

    fn everything(&mut self) {
        self.own.everything();
        self.footprint.everything();
    }

    /// Puts the taken processor to sleep. Schedules in which it ran first have been explored, so it
    /// need not run later [S1].
    fn put_to_sleep(&mut self, bounds: Bounds) {
        if bounds.prune && (bounds.preemptions.is_none() || self.running == Some(self.taken)) {
            let footprint = core::mem::take(&mut self.own);
            let behind = self.behind && footprint == Footprint::default();
            self.sleep.push(SleepSetEntry { processor: self.taken, footprint, named: self.named, behind });
        }
    }
}

impl Search {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, path: Vec::new(), position: 0, seen: 0, rest: None, streak: 0, gave_way: false }
    }

    /// Why the run went on without new decisions, if it did.
    pub(crate) fn rest(&self) -> Option<PruneReason> {
        self.rest
    }

    /// Whether the search is asked behind calls.
    pub(crate) fn asks_early(&self) -> bool {
        self.bounds.plain_memory
    }

    /// Whether a processor had to give way in this run.
    pub(crate) fn gave_way(&self) -> bool {
        self.gave_way
    }

    /// Counts a decision for the fairness bound.
    fn count(&mut self, running: Option<usize>, taken: usize) {
        self.streak = if running == Some(taken) { self.streak + 1 } else { 0 };
    }

    /// The processor that runs, and for how many points.
    pub(crate) fn run(&mut self, situation: &SchedulePoint<'_>) -> Result<Next, String> {
        self.observe(situation.events, situation.timed);
        let SchedulePoint { runnable, current, .. } = *situation;
        if self.rest.is_some() {
            return Ok(Next::in_turn(runnable, current));
        }
        let early = self.bounds.plain_memory;
        let to = |processor| Next { processor, points: 0, early };
        let running = (situation.running && runnable >> current & 1 == 1).then_some(current);
        let position = self.position;
        self.position += 1;
        if let Some(node) = self.path.get(position) {
            let taken = match node {
                Node::Run(run) if run.runnable == runnable && run.running == running => run.taken,
                _ => return Err(different(position)),
            };
            self.gave_way |= matches!(node, Node::Run(run) if run.gives_way);
            self.count(running, taken);
            return Ok(to(taken));
        }
        if position >= self.bounds.decisions {
            self.rest = Some(PruneReason::TooLong);
            return Ok(Next::in_turn(runnable, current));
        }
        let (preemptions, sleep) = self.inherited();
        let mut run = Run {
            runnable,
            running,
            behind: situation.kind.is_behind(),
            preemptions,
            named: situation.named,
            sleep,
            taken: 0,
            gives_way: false,
            tried: 0,
            own: Footprint::default(),
            footprint: Footprint::default(),
        };
        let waits = running.is_some() && self.streak >= self.bounds.fairness;
        let first = if waits { run.next_fair(current) } else { run.next(self.bounds) };
        let Some(first) = first else {
            self.rest = Some(PruneReason::Redundant);
            return Ok(Next::in_turn(runnable, current));
        };
        run.take(first);
        self.gave_way |= run.gives_way;
        self.path.push(Node::Run(run));
        self.count(running, first);
        Ok(to(first))
    }

    /// Which of `options` possibilities.
    pub(crate) fn choose(&mut self, options: u8) -> Result<u8, String> {
        if self.rest.is_some() {
            return Ok(0);
        }
        let position = self.position;
        self.position += 1;
        if let Some(node) = self.path.get(position) {
            return match node {
                Node::Choice { options: before, taken } if *before == options => Ok(*taken),
                _ => Err(different(position)),
            };
        }
        // The rest of the transition differs between the choices.
        if let Some(run) = self.last_run() {
            run.everything();
        }
        if position >= self.bounds.decisions {
            self.rest = Some(PruneReason::TooLong);
            return Ok(0);
        }
        self.path.push(Node::Choice { options, taken: 0 });
        Ok(0)
    }

    /// Ends the run, and checks that it has followed the whole path.
    pub(crate) fn finish(&mut self, events: &[Event]) -> Result<(), String> {
        self.observe(events, false);
        if self.position < self.path.len() { Err(different(self.position)) } else { Ok(()) }
    }

    /// Moves to the next path. `false` if there is none.
    pub(crate) fn advance(&mut self) -> bool {
        self.position = 0;
        self.seen = 0;
        self.streak = 0;
        self.gave_way = false;
        self.rest = None;
        while let Some(node) = self.path.pop() {
            match node {
                Node::Choice { options, taken } if taken + 1 < options => {
                    self.path.push(Node::Choice { options, taken: taken + 1 });
                    return true;
                }
                Node::Choice { .. } => {}
                Node::Run(mut run) => {
                    run.put_to_sleep(self.bounds);
                    if let Some(next) = run.next(self.bounds) {
                        run.take(next);
                        self.path.push(Node::Run(run));
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Adds the events since the last call to the footprint of their transition.
    fn observe(&mut self, events: &[Event], timed: bool) {
        let new = events.get(self.seen..).unwrap_or_default();
        self.seen = events.len();
        if self.rest.is_some() {
            return;
        }
        let at_end = self.position >= self.path.len();
        // While the path is repeated, the current transition is the last one before the position.
        let walked = self.path.get_mut(..self.position).unwrap_or_default();
        let last = walked.iter_mut().rev().find_map(|node| match node {
            Node::Run(run) => Some(run),
            Node::Choice { .. } => None,
        });
        if last.is_some_and(|run| run.add(new, timed)) && at_end {
            self.rest = Some(PruneReason::Redundant);
        }
    }

    fn last_run(&mut self) -> Option<&mut Run> {
        self.path.iter_mut().rev().find_map(|node| match node {
            Node::Run(run) => Some(run),
            Node::Choice { .. } => None,
        })
    }

    /// The state that a new decision inherits from the one before: its preemptions, and the
    /// processors that sleep on.
    fn inherited(&mut self) -> (u32, Vec<SleepSetEntry>) {
        let Some(run) = self.last_run() else { return (0, Vec::new()) };
        let on = |sleeper: &&SleepSetEntry| sleeper.sleeps_on(&run.footprint);
        (run.preemptions + run.cost(run.taken), run.sleep.iter().filter(on).cloned().collect())
    }
}

fn different(position: usize) -> String {
    alloc::format!(
        "decision {position} is not what it was in the run before: the program depends on something outside \
         of the simulation, such as a host clock, a hash map's order, or a static that keeps what the run \
         before has left in it (declare driver statics by `driver_static!`, or read them through `ntsim::own`)"
    )
}
