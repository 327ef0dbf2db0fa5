//! Low resources: allocations that fail, and a search that makes one allocation of each call stack
//! fail.

extern crate alloc;

pub(crate) mod allocation_faults;

use alloc::{string::String, vec::Vec};

use crate::{
    config::{Config, LowResources},
    engine::{machine::Machine, recording::Recording, schedule::Schedule},
    simulation::Simulation,
    trace::{Trace, event::What},
    verifier::{backtrace::is_library, stop::Stop},
};

/// With random low resources, one in this many allocations fails.
const ONE_IN: u8 = 16;
/// The most callers in the name of a call stack.
const CALLERS: usize = 4;

impl Machine {
    /// Whether the current allocation is to fail.
    pub(crate) fn should_fail_allocation(&self) -> bool {
        let ordered = self.kernel.borrow_mut().pool.fails();
        let low = match self.config.get().low_resources {
            LowResources::Never => false,
            LowResources::Random => self.choose(ONE_IN) == ONE_IN - 1,
            LowResources::Systematic => self.is_new_call_stack(),
        };
        ordered || low
    }

    /// Whether the current allocation must fail because none of its call stack has failed yet.
    fn is_new_call_stack(&self) -> bool {
        let number = self.allocation_faults.asked.get();
        self.allocation_faults.asked.set(number + 1);
        if !self.allocation_faults.armed.get()
            || !self.allocation_faults.failed.borrow_mut().insert(self.call_stack())
        {
            return false;
        }
        self.allocation_faults.armed.set(false);
        let callers = self.callers();
        if self.tracing.get() {
            self.record(What::Note(alloc::format!(
                "low resources: allocation {number}, by {callers}, fails"
            )));
        }
        self.allocation_faults.site.replace(Some((number, callers)));
        true
    }

    /// The return addresses from here to the beginning of the running routine or thread.
    fn call_stack(&self) -> Vec<usize> {
        let mut addresses = Vec::new();
        self.walk(|frame| {
            addresses.push(frame.ip().addr());
            true
        });
        addresses
    }

    /// The innermost functions of the driver with file and line, or those of a library if no
    /// function of the driver is running.
    fn callers(&self) -> String {
        let lines = self.backtrace();
        let (library, driver): (Vec<&String>, Vec<&String>) = lines.iter().partition(|line| is_library(line));
        let named = if driver.is_empty() { library } else { driver };
        let named: Vec<&str> = named.into_iter().take(CALLERS).map(String::as_str).collect();
        named.join(" < ")
    }
}

/// The result of [`starve`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Starvation {
    /// How many call stacks had one allocation that failed. Without a finding there were as many
    /// runs, and one more in which none failed.
    pub call_stacks: usize,
    /// The first run that ended early.
    pub finding: Option<Starved>,
}

/// A run that ended early because, or although, an allocation failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Starved {
    /// The number of the allocation that failed, from 0 since the reset. To make the same one fail
    /// again, call [`fail_allocation`](crate::fail_allocation) with it before the round. `None` if
    /// no allocation had failed.
    pub allocation: Option<u32>,
    /// The callers of the allocation. They are the innermost functions outside of the simulation,
    /// as far as they have names; else empty.
    pub callers: String,
    /// The reason for which the run ended.
    pub stop: Stop,
    /// Its decisions.
    pub recording: Recording,
    /// Its events.
    pub trace: Trace,
}

/// Runs a program again and again, each time with one allocation that fails, until one of each
/// distinct call stack has failed.
///
/// It stops at the first finding. Driver Verifier calls this systematic low resources; here each
/// run has the schedule that the caller asks for.
///
/// `round` is the program. It creates all its state anew, runs it on the given simulation, which
/// has been reset, and returns the outcome. It may run several programs one after the other, load a
/// driver, and unload. Traces are collected whatever `config` says. The allocations are those of
/// [`LowResources`]. A call stack ends at the beginning of the routine or thread that allocates;
/// the thread that a DPC has interrupted does not count.
///
/// ```
/// use ntsim::{Config, Schedule, ddi, starve, types::POOL_FLAG_NON_PAGED};
///
/// let starved = starve(Config::default(), || Schedule::seed(1), |kernel| {
///     kernel.run_on(0, || {
///         // SAFETY: as their pages say; a leaked block is a finding.
///         unsafe {
///             let first = ddi::ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, u32::from_le_bytes(*b"Once"));
///             if first.is_null() {
///                 return;
///             }
///             let second = ddi::ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, u32::from_le_bytes(*b"Once"));
///             if second.is_null() {
///                 return; // and `first`?
///             }
///             ddi::ExFreePool(second);
///             ddi::ExFreePool(first);
///         }
///     })?;
///     kernel.unload()
/// });
/// let finding = starved.finding.expect("a block leaks where the second allocation fails");
/// assert_eq!(finding.allocation, Some(1));
/// assert!(finding.stop.to_string().contains("Once"));
/// ```
///
/// # Panics
/// Panics as [`Simulation::new`] does. A panic in `round` passes through.
pub fn starve(
    config: Config,
    mut schedule: impl FnMut() -> Schedule,
    mut round: impl FnMut(&mut Simulation) -> Result<(), Stop>,
) -> Starvation {
    let config = Config { trace: true, low_resources: LowResources::Systematic, ..config };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let mut call_stacks = 0;
    loop {
        kernel.reset(config, schedule());
        let outcome = round(&mut kernel);
        let site = kernel.machine().allocation_faults.site.take();
        let failed = site.is_some();
        call_stacks += usize::from(failed);
        if let Err(stop) = outcome {
            let (allocation, callers) =
                site.map_or((None, String::new()), |(number, callers)| (Some(number), callers));
            let (recording, trace) = (kernel.recording(), kernel.trace().clone());
            let finding = Some(Starved { allocation, callers, stop, recording, trace });
            return Starvation { call_stacks, finding };
        }
        if !failed {
            return Starvation { call_stacks, finding: None };
        }
    }
}
