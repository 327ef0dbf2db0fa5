//! Runs an input to its end, on a simulated kernel, and judges it.

use core::fmt;

use ntcom_fuzz_model::input::Input;
use ntsim::{Config, Counters, Schedule, Simulation, Stop};

/// The outcome of a run.
pub struct Report {
    /// The reason if the run is a finding.
    pub stop: Option<Stop>,
    /// Steps done.
    pub steps: u64,
    /// Steps that reached a live object.
    pub live: u64,
    /// The kernel's counters.
    pub counters: Counters,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stop {
            Some(stop) => write!(f, "FINDING {stop}"),
            None => write!(f, "clean: {} steps, {} of them on live objects", self.steps, self.live),
        }
    }
}

impl Report {
    /// The report of the run that this kernel has just ended, with the steps that were done and
    /// those of them that reached a live object.
    pub(crate) fn new(kernel: &Simulation, stop: Option<Stop>, (steps, live): (u64, u64)) -> Self {
        Self { stop, steps, live, counters: kernel.counters() }
    }
}

/// A target, which is a type of inputs with a run and its oracles.
pub trait Target: Input {
    /// Runs this input to its end, and judges the run. With `trace` the kernel records its events.
    /// A target with one processor ignores the schedule.
    fn run(&self, kernel: &mut Simulation, schedule: Schedule, trace: bool) -> Report;
}

/// A kernel that runs one input after the other.
pub struct Runner {
    kernel: Simulation,
    /// The order that the next run follows.
    order: Option<ntsim::Order>,
}

/// The number of preemption points within which a run under a fair schedule must end. It allows a
/// thousand for each of the longest input's operations.
pub const STEP_LIMIT: u64 = 100_000;

/// The configuration of the kernel on which an input is run.
pub(crate) fn config(processors: usize, step_time: u64, trace: bool) -> Config {
    Config { processors, trace, step_limit: STEP_LIMIT, step_time, ..Config::default() }
}

impl Default for Runner {
    fn default() -> Self {
        Self::new()
    }
}

impl Runner {
    /// Creates a kernel for this thread.
    #[must_use]
    pub fn new() -> Self {
        Self { kernel: Simulation::new(Config::default(), Schedule::round_robin()), order: None }
    }

    /// Makes the next run follow the order of another build's run, instead of its input's schedule.
    pub fn follow(&mut self, order: ntsim::Order) {
        self.order = Some(order);
    }

    /// Runs an input. With `trace` the kernel records its events.
    pub fn run<T: Target>(&mut self, input: &T, trace: bool) -> Report {
        let schedule = match self.order.take() {
            Some(order) => Schedule::follow(&order),
            None => Schedule::bytes(input.schedule().to_vec()),
        };
        input.run(&mut self.kernel, schedule, trace)
    }

    /// The result of following an order. It is the number of events that came in that order, and a
    /// schedule that makes the same run.
    #[must_use]
    pub fn followed(&self) -> Option<(usize, Vec<u8>)> {
        self.kernel.followed()
    }

    /// The order of the last run's events and decisions, if its trace was asked for.
    #[must_use]
    pub fn order(&self) -> ntsim::Order {
        self.kernel.order()
    }

    /// The last run's trace, if it was asked for.
    #[must_use]
    pub fn trace(&self) -> &ntsim::Trace {
        self.kernel.trace()
    }
}
