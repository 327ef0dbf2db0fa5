//! The state of every processor and thread, for runs that do not end.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::fmt::{self, Display, Formatter};

use crate::{
    engine::machine::Machine,
    kernel::{
        processor::Activity,
        thread::{IDLE, NO_THREAD, ThreadName},
    },
    simulation::Simulation,
    verifier::{irql::irql_name, stop::Wait},
};

/// The state of a processor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessorState {
    /// The processor's number.
    pub processor: usize,
    /// The processor's IRQL.
    pub irql: u8,
    /// The thread that it runs, or that its DPC has interrupted. `None` for an idle processor.
    pub thread: Option<ThreadName>,
    /// Whether it is in a DPC routine.
    pub in_dpc: bool,
    /// The number of DPCs in its queue.
    pub queued_dpcs: usize,
    /// The number of threads that could run on it.
    pub ready_threads: usize,
    /// Whether it waits for a spin lock.
    pub spins: bool,
}

/// The state of a simulation, copied by [`Simulation::diagnosis`]. The text has a line for each
/// object that is held, queued, or waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The virtual time.
    pub time: u64,
    /// The processors.
    pub processors: Vec<ProcessorState>,
    /// The waits of processors and threads.
    pub waits: Vec<Wait>,
    /// Held spin locks, with their processors.
    pub spin_locks: Vec<(String, usize)>,
    /// Held mutexes and fast mutexes, with their threads.
    pub mutexes: Vec<(String, ThreadName)>,
    /// When the next timer or time-out is due, if one is set.
    pub next_timer: Option<u64>,
}

impl Simulation {
    /// The state of every processor and thread, between runs or after one that has ended early. A
    /// reset clears it.
    ///
    /// ```
    /// use ntsim::{Config, Schedule, Simulation};
    ///
    /// let mut kernel = Simulation::new(Config { step_limit: 100, ..Config::default() }, Schedule::round_robin());
    /// let spins = || loop { ntsim::preemption_point() };
    /// kernel.run_on(0, spins).unwrap_err();
    /// assert!(kernel.diagnosis().to_string().contains("processor 0 at IRQL 0 (PASSIVE_LEVEL) runs program 0"));
    /// ```
    pub fn diagnosis(&self) -> Diagnosis {
        self.machine().diagnose()
    }
}

impl Machine {
    fn diagnose(&self) -> Diagnosis {
        let kernel = self.kernel.borrow();
        let spin_locks = kernel.locks.held().iter().map(|held| (self.text(held.address), held.processor));
        let mutexes =
            kernel.mutexes.held().iter().map(|held| (self.text(held.address), ThreadName::of(held.thread)));
        Diagnosis {
            time: self.clock.now(),
            processors: (0..self.count()).map(|number| self.processor_state(number)).collect(),
            waits: self.waits(),
            spin_locks: spin_locks.collect(),
            mutexes: mutexes.collect(),
            next_timer: kernel.timers.next(),
        }
    }

    fn text(&self, address: usize) -> String {
        alloc::format!("{}", self.name(address))
    }

    pub(crate) fn processor_state(&self, number: usize) -> ProcessorState {
        let cpu = self.processor(number);
        let context = cpu.context.get();
        let idle = context == NO_THREAD || (IDLE..2 * IDLE).contains(&context);
        ProcessorState {
            processor: number,
            irql: cpu.irql.get(),
            thread: (!idle).then(|| ThreadName::of(context)),
            in_dpc: cpu.in_dpc.get(),
            queued_dpcs: cpu.queued.get(),
            ready_threads: cpu.ready.get(),
            spins: matches!(cpu.activity.get(), Activity::Waiting(_)),
        }
    }
}

impl Display for ProcessorState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "processor {} at IRQL {} ({})", self.processor, self.irql, irql_name(self.irql))?;
        match (self.spins, self.thread) {
            (true, _) => f.write_str(" waits for a spin lock")?,
            (false, Some(thread)) => write!(f, " runs {thread}")?,
            (false, None) => f.write_str(" is idle")?,
        }
        if self.in_dpc {
            f.write_str(", in a DPC routine")?;
        }
        write!(f, "; {} DPCs queued, {} threads ready", self.queued_dpcs, self.ready_threads)
    }
}

impl Display for Diagnosis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "at {}", self.time)?;
        match self.next_timer {
            Some(time) => writeln!(f, ", the next timer is due at {time}")?,
            None => writeln!(f, ", no timer is set")?,
        }
        self.processors.iter().try_for_each(|processor| writeln!(f, "{processor}"))?;
        self.waits.iter().try_for_each(|wait| writeln!(f, "{wait}"))?;
        for (lock, processor) in &self.spin_locks {
            writeln!(f, "spin lock {lock} is held by processor {processor}")?;
        }
        self.mutexes.iter().try_for_each(|(mutex, thread)| writeln!(f, "mutex {mutex} is held by {thread}"))
    }
}
