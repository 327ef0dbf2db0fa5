//! Runs an input to its end, on a simulated kernel, and judges it.

use core::{cell::RefCell, fmt};
use std::rc::Rc;

use ntsim::{Config, Counters, Simulation, Stop};

use crate::{
    com, executor, foreign,
    input::{
        ComInput, ExecutorInput, FaultsInput, ForeignInput, Input, Malformed, SchedulesInput, VtableInput,
    },
    model::Model,
    schedules, vtable,
};

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

/// A kernel that runs one input after the other.
pub struct Runner {
    kernel: Simulation,
    /// The order that the next run follows.
    order: Option<ntsim::Order>,
    model: Rc<RefCell<Model>>,
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
        Self {
            kernel: Simulation::new(Config::default(), ntsim::Schedule::round_robin()),
            order: None,
            model: Rc::default(),
        }
    }

    /// Makes the next run follow the order of another build's run, instead of its input's schedule.
    pub fn follow(&mut self, order: ntsim::Order) {
        self.order = Some(order);
    }

    fn schedule(&mut self, input: &impl Input) -> ntsim::Schedule {
        match self.order.take() {
            Some(order) => ntsim::Schedule::follow(&order),
            None => ntsim::Schedule::bytes(input.schedule().to_vec()),
        }
    }

    /// Runs an input of `vtable`. With `trace` the kernel records its events.
    pub fn vtable(&mut self, input: &VtableInput, trace: bool) -> Report {
        self.kernel.reset(config(1, 0, trace), ntsim::Schedule::round_robin());
        self.model.borrow_mut().reset();
        let stop = vtable::run(&mut self.kernel, input, &self.model);
        if stop.is_some() {
            self.model = Rc::default();
        }
        self.report(stop)
    }

    /// Runs an input of `schedules`.
    pub fn schedules(&mut self, input: &SchedulesInput, trace: bool) -> Report {
        let schedule = self.schedule(input);
        self.kernel.reset(config(input.processors, 1, trace), schedule);
        let stop = schedules::run(&mut self.kernel, input);
        self.report(stop)
    }

    /// Runs an input of `executor`.
    pub fn executor(&mut self, input: &ExecutorInput, trace: bool) -> Report {
        let schedule = self.schedule(input);
        self.plan(&input.0, schedule, trace)
    }

    /// Runs an input of `faults`.
    pub fn faults(&mut self, input: &FaultsInput, trace: bool) -> Report {
        let schedule = self.schedule(input);
        self.plan(&input.0, schedule, trace)
    }

    fn plan(&mut self, plan: &executor::input::Plan, schedule: ntsim::Schedule, trace: bool) -> Report {
        self.kernel.reset(executor::judge::config(plan, trace), schedule);
        let stop = executor::judge::run(&mut self.kernel, plan).err();
        let (steps, live) = executor::world::with(|world| {
            let numbers = (world.steps.get(), world.live.get());
            if stop.is_some() {
                world.reset();
            }
            numbers
        });
        Report { stop, steps, live, counters: self.kernel.counters() }
    }

    /// Runs an input of `com`.
    pub fn com(&mut self, input: &ComInput, trace: bool) -> Report {
        let schedule = self.schedule(input);
        self.kernel.reset(config(input.processors, 1, trace), schedule);
        let stop = com::judge::run(&mut self.kernel, input);
        let (steps, live) = com::world::with(|world| (world.steps.get(), world.live.get()));
        let report = Report { stop, steps, live, counters: self.kernel.counters() };
        if report.stop.is_none() && !trace {
            // A machine that stops keeps its memory until it is reset. Reset it now, or libFuzzer
            // would suspect leaks.
            self.kernel.reset(config(1, 1, false), ntsim::Schedule::round_robin());
        }
        report
    }

    /// Runs an input of `foreign`.
    pub fn foreign(&mut self, input: &ForeignInput, trace: bool) -> Report {
        let schedule = self.schedule(input);
        self.kernel.reset(config(input.processors, 1, trace), schedule);
        let stop = foreign::judge::run(&mut self.kernel, input).err();
        let (steps, live) = foreign::world::with(|world| (world.steps.get(), world.live.get()));
        if stop.is_some() {
            foreign::world::forget();
        }
        Report { stop, steps, live, counters: self.kernel.counters() }
    }

    /// Decodes and runs an input of the named target. `None` if there is no such target.
    ///
    /// # Errors
    /// The bytes are not an input of the target.
    pub fn named(&mut self, target: &str, data: &[u8], trace: bool) -> Option<Result<Report, Malformed>> {
        match target {
            VtableInput::TARGET => Some(VtableInput::decode(data).map(|input| self.vtable(&input, trace))),
            SchedulesInput::TARGET => {
                Some(SchedulesInput::decode(data).map(|input| self.schedules(&input, trace)))
            }
            ExecutorInput::TARGET => {
                Some(ExecutorInput::decode(data).map(|input| self.executor(&input, trace)))
            }
            FaultsInput::TARGET => Some(FaultsInput::decode(data).map(|input| self.faults(&input, trace))),
            ComInput::TARGET => Some(ComInput::decode(data).map(|input| self.com(&input, trace))),
            ForeignInput::TARGET => Some(ForeignInput::decode(data).map(|input| self.foreign(&input, trace))),
            _ => None,
        }
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

    fn report(&self, stop: Option<Stop>) -> Report {
        let (steps, live) = crate::world::with(|world| {
            let numbers = (world.steps.get(), world.live.get());
            if stop.is_some() {
                // The remains of this run refer to a kernel that has stopped. Forget them here,
                // where they are certain to be this run's.
                world.reset();
            }
            numbers
        });
        Report { stop, steps, live, counters: self.kernel.counters() }
    }
}
