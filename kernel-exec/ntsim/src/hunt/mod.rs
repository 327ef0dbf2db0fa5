//! Runs a test under many schedules, and reports the first finding for people.
//!
//! - `runner` makes one run, and `search` all of them.
//! - `determinism` compares the traces of two runs.
//! - `shrink` takes preemptions out of a finding's recording.
//! - `replay` is the text of the variable `NTSIM_REPLAY`.
//! - `evidence` picks the events that explain a finding.
//! - `report` is the finding as text, and as a timeline.

extern crate alloc;

mod determinism;
mod evidence;
mod replay;
mod report;
mod runner;
mod search;
mod shrink;

use alloc::{boxed::Box, string::String, vec::Vec};
use std::path::PathBuf;

use self::search::Search;
use crate::{
    config::Config,
    engine::{explore::Limits, recording::Recording},
    simulation::Simulation,
    trace::{Name, Trace},
    verifier::stop::Stop,
};

/// Runs a test's round under many schedules, and reports the first finding for people.
///
/// Each call of a method asks for one kind of runs; nothing runs before [`Hunt::run`].
///
/// The round is the program. It creates all its state anew, runs it on the given simulation, which
/// has been reset, and returns the outcome. It may run several programs one after the other, load a
/// driver, and unload.
///
/// ```
/// use std::rc::Rc;
///
/// use ntsim::{Config, Limits, sync::{AtomicU32, Ordering::SeqCst}};
///
/// ntsim::hunt(Config { processors: 2, ..Config::default() })
///     .repeat(3)
///     .seeds(100)
///     .pct(50, 3)
///     .explore(Limits::default())
///     .starve(5)
///     .run(|kernel| {
///         let counter = Rc::new(AtomicU32::new(0));
///         let (one, other) = (Rc::clone(&counter), Rc::clone(&counter));
///         kernel
///             .programs()
///             .on(0, move || _ = one.fetch_add(1, SeqCst))
///             .on(1, move || _ = other.fetch_add(1, SeqCst))
///             .run()?;
///         kernel.run_on(0, move || assert_eq!(counter.load(SeqCst), 2))?;
///         kernel.unload()
///     });
/// ```
///
/// # The report
///
/// A finding is the [`Stop`] that ended a run early, or a panic of the round itself. `hunt` replays
/// it, takes out the preemptions without which the same kind of stop remains, and replays that. The
/// report has the stop, the kind of run that found it, the line that replays it, and the path of a
/// timeline. Then it has the places of the preemptions, the last uses of the objects that the stop
/// names, and the last events but those of libraries.
///
/// # Replay
///
/// The line sets the variable `NTSIM_REPLAY`. With it, `hunt` makes only the run that the variable
/// names, with a trace, in the test that the variable names; other tests run as without it. If the
/// run then ends well, `hunt` says so, and the test goes on.
#[must_use = "nothing runs before `run`"]
pub fn hunt(config: Config) -> Hunt {
    Hunt { config, ..Hunt::default() }
}

/// The runs that [`hunt`] is to make.
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "nothing runs before `run`"]
pub struct Hunt {
    config: Config,
    repeat: u64,
    seeds: u64,
    pct: (u64, u32),
    explore: Option<Limits>,
    starve: u64,
    low_memory: u64,
}

impl Hunt {
    /// Runs under so many random schedules ([`Schedule::seed`](crate::Schedule::seed)).
    pub fn seeds(self, runs: u64) -> Self {
        Self { seeds: runs, ..self }
    }

    /// Makes so many runs of probabilistic concurrency testing of this depth
    /// ([`Schedule::pct`](crate::Schedule::pct)). One more run, by round robin, counts the points.
    pub fn pct(self, runs: u64, depth: u32) -> Self {
        Self { pct: (runs, depth), ..self }
    }

    /// Makes all runs within these limits, as [`explore`](crate::explore) does.
    pub fn explore(self, limits: Limits) -> Self {
        Self { explore: Some(limits), ..self }
    }

    /// Makes one allocation of each call stack fail, as [`starve`](crate::starve) does, under so
    /// many random schedules.
    pub fn starve(self, schedules: u64) -> Self {
        Self { starve: schedules, ..self }
    }

    /// Runs under so many random schedules in which one in sixteen allocations fails
    /// ([`LowResources::Random`](crate::LowResources::Random)).
    pub fn low_memory(self, runs: u64) -> Self {
        Self { low_memory: runs, ..self }
    }

    /// Runs so many random schedules twice each, before all other runs, and compares the traces. A
    /// difference is a finding of oracle `determinism`, which names the first event that differs.
    ///
    /// The numbers of objects outside of pool are not compared, because the host may use memory
    /// again for another object.
    pub fn repeat(self, schedules: u64) -> Self {
        Self { repeat: schedules, ..self }
    }

    /// Makes the runs.
    ///
    /// # Panics
    /// Panics with the report of the first finding. Also panics as [`Simulation::new`] does, and if
    /// `NTSIM_REPLAY` is not a text that a report has printed.
    #[track_caller]
    #[expect(clippy::panic, reason = "the failure of a test")]
    pub fn run(self, mut round: impl FnMut(&mut Simulation) -> Result<(), Stop>) -> Hunted {
        match self.try_run_cases(|kernel, _| round(kernel)) {
            Ok(hunted) => hunted,
            Err(found) => panic!("{found}"),
        }
    }

    /// Makes the runs, as [`Hunt::run`] does, with a number for each, by which a round may vary.
    ///
    /// The number of a random run is its seed, and that of a PCT run, too. It is 0 in an
    /// exploration, because all its runs must be of one program. A replay has the number of the
    /// recorded run.
    ///
    /// # Panics
    /// Panics as [`Hunt::run`] does.
    #[track_caller]
    #[expect(clippy::panic, reason = "the failure of a test")]
    pub fn run_cases(self, round: impl FnMut(&mut Simulation, u64) -> Result<(), Stop>) -> Hunted {
        match self.try_run_cases(round) {
            Ok(hunted) => hunted,
            Err(found) => panic!("{found}"),
        }
    }

    /// Makes the runs, as [`Hunt::run`] does, and returns a finding instead of a panic.
    ///
    /// # Errors
    /// The first finding.
    ///
    /// # Panics
    /// Panics as [`Simulation::new`] does, and if `NTSIM_REPLAY` is not a text that a report has
    /// printed.
    pub fn try_run(
        self,
        mut round: impl FnMut(&mut Simulation) -> Result<(), Stop>,
    ) -> Result<Hunted, Box<Found>> {
        self.try_run_cases(|kernel, _| round(kernel))
    }

    fn try_run_cases(
        self,
        mut round: impl FnMut(&mut Simulation, u64) -> Result<(), Stop>,
    ) -> Result<Hunted, Box<Found>> {
        Search::new(self, &mut round).run()
    }
}

/// The runs that a hunt has made without a finding.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Hunted {
    /// The number of runs.
    pub runs: u64,
    /// Whether the exploration has left out nothing but schedules with more preemptions
    /// ([`Exploration::complete`](crate::Exploration::complete)). False without an exploration.
    pub complete: bool,
    /// The call stacks of which an allocation failed, summed over the schedules of
    /// [`Hunt::starve`].
    pub call_stacks: usize,
    /// Whether `NTSIM_REPLAY` named this hunt, so that it made only that run.
    pub replayed: bool,
}

/// The first finding of a hunt. `Display` and `Debug` print the report.
#[derive(Clone)]
#[non_exhaustive]
pub struct Found {
    /// The reason for which the run ended.
    pub stop: Stop,
    /// The kind of run that found it, such as `seed 3`.
    pub by: String,
    /// The decisions of the run, with the fewest preemptions that were found.
    pub recording: Recording,
    /// The preemptions in the recording, and in the run that was found first. `None` if that run
    /// did not repeat itself.
    pub preemptions: Option<(usize, usize)>,
    /// The events of that recording.
    pub trace: Trace,
    /// The objects that the stop names.
    pub objects: Vec<Name>,
    /// The value of `NTSIM_REPLAY` that makes the run again.
    pub replay: String,
    /// The file with the timeline. `None` if it could not be written.
    pub timeline: Option<PathBuf>,
}
