//! Makes one run of a round.

extern crate alloc;

use alloc::string::{String, ToString};
use core::{any::Any, panic::AssertUnwindSafe};
use std::panic::catch_unwind;

use crate::{
    config::{Config, LowResources},
    engine::schedule::Schedule,
    program::fail_allocation,
    simulation::Simulation,
    verifier::stop::Stop,
};

/// A test's round, which gets the number of its case.
pub(super) type Round<'a> = &'a mut dyn FnMut(&mut Simulation, u64) -> Result<(), Stop>;

/// The conditions of a run besides its schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) number: u64,
    pub(super) memory: Memory,
}

/// The allocations that fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Memory {
    /// Those of the test's configuration.
    #[default]
    AsConfigured,
    /// One in sixteen.
    Low,
    /// The one with this number.
    Without(u32),
}

/// Calls the round on a simulation that has been reset. A panic of the round itself is a stop.
pub(super) fn call(round: Round<'_>, kernel: &mut Simulation, case: u64) -> Result<(), Stop> {
    let outcome = catch_unwind(AssertUnwindSafe(|| round(kernel, case)));
    let outcome = outcome.unwrap_or_else(|panic| Err(outside(&*panic)));
    // A call between two runs that no later run has reported yet.
    outcome.and(kernel.machine().take_report().map_or(Ok(()), Err))
}

/// The stop of a panic outside of a run. The panic hook has printed its place.
fn outside(panic: &dyn Any) -> Stop {
    let text = panic.downcast_ref::<&'static str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = text.unwrap_or_else(|| String::from("a value that is no text"));
    Stop::failure(OUTSIDE, message)
}

/// The oracle of a panic outside of a run.
pub(super) const OUTSIDE: &str = "a panic outside of a run";

/// A simulation, and the round that runs on it.
pub(super) struct Runner<'a> {
    pub(super) kernel: Simulation,
    config: Config,
    round: Round<'a>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(config: Config, round: Round<'a>) -> Self {
        Self { kernel: Simulation::new(config, Schedule::round_robin()), config, round }
    }

    /// Makes a run.
    pub(super) fn run(&mut self, case: Case, trace: bool, schedule: Schedule) -> Result<(), Stop> {
        let mut config = Config { trace, callers: trace, ..self.config };
        match case.memory {
            Memory::AsConfigured => {}
            Memory::Low => config.low_resources = LowResources::Random,
            Memory::Without(_) => config.low_resources = LowResources::Never,
        }
        self.kernel.reset(config, schedule);
        if let Memory::Without(allocation) = case.memory {
            fail_allocation(allocation);
        }
        call(self.round, &mut self.kernel, case.number)
    }
}
