//! The runs of a hunt, and its finding.

extern crate alloc;

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Found, Hunt, Hunted, determinism,
    evidence::objects_in,
    replay::{How, Place, Replay, VARIABLE},
    report::write_timeline,
    runner::{Case, Memory, OUTSIDE, Round, Runner, call},
    shrink::{alike, shrink},
};
use crate::{
    engine::{
        explore::{Limits, explore},
        recording::Recording,
        schedule::Schedule,
    },
    low_resources::starve,
    trace::{Name, Trace},
    verifier::stop::Stop,
};

/// A run that ended early, as it was found.
struct Finding {
    by: String,
    stop: Stop,
    case: Case,
    how: How,
    /// The events, if they were collected.
    trace: Option<Trace>,
}

/// The events of a finding's run, and the objects that its stop names.
#[derive(Default)]
struct Evidence {
    trace: Trace,
    objects: Vec<Name>,
}

impl Evidence {
    /// The evidence of the run that a runner has just made.
    fn of(runner: &Runner<'_>, stop: &Stop) -> Self {
        let objects = objects_in(&stop.to_string(), &runner.kernel);
        Self { trace: runner.kernel.trace().clone(), objects }
    }
}

/// A hunt in progress.
pub(super) struct Search<'a> {
    hunt: Hunt,
    round: Round<'a>,
    place: Place,
    hunted: Hunted,
}

impl<'a> Search<'a> {
    pub(super) fn new(hunt: Hunt, round: Round<'a>) -> Self {
        Self { hunt, round, place: Place::next(), hunted: Hunted::default() }
    }

    /// Makes the runs, or the one that the variable names.
    pub(super) fn run(mut self) -> Result<Hunted, Box<Found>> {
        match Replay::of(&self.place) {
            Some(replay) => self.replay(replay)?,
            None => {
                if let Some(finding) = self.search() {
                    return Err(self.report(finding));
                }
            }
        }
        Ok(self.hunted)
    }

    fn runner(&mut self) -> Runner<'_> {
        Runner::new(self.hunt.config, self.round)
    }

    /// Makes the one run of `NTSIM_REPLAY`.
    #[expect(clippy::panic, reason = "the variable is wrong, and a test has no other way to say so")]
    fn replay(&mut self, replay: Result<Replay, String>) -> Result<(), Box<Found>> {
        let replay = replay.unwrap_or_else(|error| panic!("ntsim: {VARIABLE}: {error}"));
        let mut runner = self.runner();
        let (case, how) = (replay.case, replay.how);
        let outcome = match &how {
            How::Recording(recording) => runner.run(case, true, Schedule::replay(recording.clone())),
            How::Twice(seed) => determinism::check(&mut runner, case, &Schedule::seed(*seed)),
        };
        let recording = runner.kernel.recording();
        let evidence = outcome.as_ref().err().map(|stop| Evidence::of(&runner, stop));
        drop(runner);
        self.hunted = Hunted { runs: 1, replayed: true, ..Hunted::default() };
        let Err(stop) = outcome else {
            std::eprintln!("ntsim: the run of {VARIABLE} has ended well");
            return Ok(());
        };
        let finding = Finding { by: VARIABLE.into(), stop, case, how, trace: None };
        Err(self.found(finding, recording, None, evidence.unwrap_or_default()))
    }

    /// Makes all runs up to the first finding.
    fn search(&mut self) -> Option<Finding> {
        let Hunt { repeat, seeds, pct, explore, starve, low_memory, .. } = self.hunt;
        let found = self.twice(repeat).or_else(|| self.random(seeds, Memory::AsConfigured));
        let found = found.or_else(|| self.pct(pct.0, pct.1)).or_else(|| self.random(low_memory, Memory::Low));
        let found = found.or_else(|| self.explore(explore?));
        found.or_else(|| (0..starve).find_map(|seed| self.starve(seed)))
    }

    /// Runs these seeds twice each.
    fn twice(&mut self, seeds: u64) -> Option<Finding> {
        self.hunted.runs += 2 * seeds;
        let mut runner = self.runner();
        (0..seeds).find_map(|seed| {
            let case = Case { number: seed, ..Case::default() };
            let stop = determinism::check(&mut runner, case, &Schedule::seed(seed)).err()?;
            let trace = Some(runner.kernel.trace().clone());
            let is_difference = matches!(stop, Stop::Failure { oracle: determinism::ORACLE, .. });
            let how =
                if is_difference { How::Twice(seed) } else { How::Recording(runner.kernel.recording()) };
            let twice = if is_difference { ", run twice" } else { "" };
            Some(Finding { by: alloc::format!("seed {seed}{twice}"), stop, case, how, trace })
        })
    }

    fn random(&mut self, seeds: u64, memory: Memory) -> Option<Finding> {
        self.runs(seeds, memory, "seed", Schedule::seed)
    }

    fn pct(&mut self, runs: u64, depth: u32) -> Option<Finding> {
        if runs == 0 {
            return None;
        }
        self.hunted.runs += 1;
        let (mut runner, case) = (self.runner(), Case::default());
        if let Err(stop) = runner.run(case, false, Schedule::round_robin()) {
            let how = How::Recording(runner.kernel.recording());
            return Some(Finding { by: "round robin".into(), stop, case, how, trace: None });
        }
        let points = runner.kernel.counters().steps;
        drop(runner);
        self.runs(runs, Memory::AsConfigured, &alloc::format!("PCT of depth {depth}, seed"), |seed| {
            Schedule::pct(seed, depth, points)
        })
    }

    /// Makes so many runs under schedules of one kind.
    fn runs(
        &mut self,
        runs: u64,
        memory: Memory,
        kind: &str,
        schedule: impl Fn(u64) -> Schedule,
    ) -> Option<Finding> {
        if runs == 0 {
            return None;
        }
        self.hunted.runs += runs;
        let mut runner = self.runner();
        (0..runs).find_map(|number| {
            let case = Case { number, memory };
            let stop = runner.run(case, false, schedule(number)).err()?;
            let low = if memory == Memory::Low { ", in low memory" } else { "" };
            let (by, how) =
                (alloc::format!("{kind} {number}{low}"), How::Recording(runner.kernel.recording()));
            Some(Finding { by, stop, case, how, trace: None })
        })
    }

    fn explore(&mut self, limits: Limits) -> Option<Finding> {
        let explored = explore(self.hunt.config, limits, |kernel| call(self.round, kernel, 0));
        self.hunted.runs += explored.runs;
        self.hunted.complete = explored.complete;
        let by = alloc::format!("exploration, run {}", explored.runs);
        let case = Case::default();
        let found = explored.finding?;
        let how = How::Recording(found.recording);
        Some(Finding { by, stop: found.stop, case, how, trace: Some(found.trace) })
    }

    fn starve(&mut self, seed: u64) -> Option<Finding> {
        let starved =
            starve(self.hunt.config, || Schedule::seed(seed), |kernel| call(self.round, kernel, seed));
        self.hunted.runs += starved.call_stacks as u64 + 1;
        self.hunted.call_stacks += starved.call_stacks;
        let found = starved.finding?;
        let (by, memory) = match found.allocation {
            Some(allocation) => (
                alloc::format!("seed {seed}, with allocation {allocation} failing, by {}", found.callers),
                Memory::Without(allocation),
            ),
            None => (alloc::format!("seed {seed}"), Memory::AsConfigured),
        };
        let (case, how) = (Case { number: seed, memory }, How::Recording(found.recording));
        Some(Finding { by, stop: found.stop, case, how, trace: Some(found.trace) })
    }

    /// Makes the finding's run shorter, and reports it.
    fn report(&mut self, mut finding: Finding) -> Box<Found> {
        let (case, trace) = (finding.case, finding.trace.take());
        let recording = match &finding.how {
            How::Recording(recording) => recording.clone(),
            How::Twice(_) => {
                let evidence = Evidence { trace: trace.unwrap_or_default(), objects: Vec::new() };
                return self.found(finding, Recording::default(), None, evidence);
            }
        };
        let mut runner = self.runner();
        let is_of_the_round = matches!(finding.stop, Stop::Failure { oracle: OUTSIDE | "replay", .. });
        let shrunk =
            if is_of_the_round { None } else { shrink(&mut runner, case, &recording, &finding.stop) };
        let preemptions = shrunk.as_ref().map(|shrunk| (shrunk.preemptions, shrunk.before));
        let candidates = shrunk.map(|shrunk| shrunk.recording).into_iter().chain([recording.clone()]);
        for candidate in candidates {
            let outcome = runner.run(case, true, Schedule::replay(candidate.clone()));
            let Err(stop) = outcome else { continue };
            if alike(&stop, &finding.stop) {
                let evidence = Evidence::of(&runner, &stop);
                drop(runner);
                let preemptions =
                    preemptions.map(
                        |(now, before)| {
                            if candidate == recording { (before, before) } else { (now, before) }
                        },
                    );
                let how = How::Recording(candidate.clone());
                return self.found(Finding { stop, how, ..finding }, candidate, preemptions, evidence);
            }
        }
        let evidence = match trace {
            Some(trace) => Evidence { trace, objects: Vec::new() },
            None => Evidence::of(&runner, &finding.stop),
        };
        drop(runner);
        finding.by.push_str(", which did not repeat when it was replayed (add `repeat` to see why)");
        self.found(finding, recording, None, evidence)
    }

    fn found(
        &self,
        finding: Finding,
        recording: Recording,
        preemptions: Option<(usize, usize)>,
        evidence: Evidence,
    ) -> Box<Found> {
        let Finding { by, stop, case, how, .. } = finding;
        let Evidence { trace, objects } = evidence;
        let title = stop.to_string();
        let timeline = write_timeline(&self.place, title.lines().next().unwrap_or_default(), &trace);
        let replay = Replay { place: Some(self.place.clone()), case, how }.to_string();
        Box::new(Found { stop, by, recording, preemptions, trace, objects, replay, timeline })
    }
}
