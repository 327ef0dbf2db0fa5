//! Options of a driver for a task on DPCs.

use core::{future::Future, time::Duration};

use super::{DpcPort, Settings};
use crate::{
    budget::{Budget, DEFAULT_POLL_BUDGET, DEFAULT_TIME_BUDGET},
    nt,
    spawn::Spawn,
    status::NTSTATUS,
    storage::TaskStorage,
};

/// The position of a DPC in a processor's queue, and its urgency. The default is
/// [`Medium`](Self::Medium).
///
/// See learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kesetimportancedpc.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(i32)]
pub enum Importance {
    /// At the end of the queue, and the processor may take its time.
    Low = 0,
    /// At the end of the queue.
    #[default]
    Medium = 1,
    /// At the front of the queue.
    High = 2,
    /// At the end of the queue, and another processor is interrupted for it at once.
    MediumHigh = 3,
}

/// The options of a task on DPCs, which are an importance, a processor and a budget.
///
/// Each is optional. The options are a [`Placement`](crate::Placement), which
/// [`TaskBuilder::on`](crate::TaskBuilder::on) and `ntcom::InitBox::on` take. A spawn with invalid
/// options fails with `STATUS_INVALID_PARAMETER`.
///
/// It is a [`Placement`](crate::Placement): [`TaskBuilder::on`](crate::TaskBuilder::on) and
/// `ntcom::InitBox::on` take it.
///
/// ```
/// use ntcom_exec::{DpcOptions, TaskBuilder};
/// # use ntsim::{Config, Schedule, Simulation};
/// # let config = Config { processors: 2, ..Config::default() };
/// # let mut kernel = Simulation::new(config, Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let there = DpcOptions::new().processor(0, 1).poll_budget(8);
/// TaskBuilder::new()
///     .on(there)
///     .spawn(async { assert_eq!(ntsim::current_processor(), 1) })
///     .unwrap();
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it places nothing yet"]
pub struct DpcOptions {
    importance: Importance,
    processor: Option<(u16, u8)>,
    polls: u32,
    time: Duration,
}

impl DpcOptions {
    /// Returns the default options.
    ///
    /// They are medium importance, the waker's processor, [`DEFAULT_POLL_BUDGET`], and
    /// [`DEFAULT_TIME_BUDGET`].
    pub const fn new() -> Self {
        Self {
            importance: Importance::Medium,
            processor: None,
            polls: DEFAULT_POLL_BUDGET.get(),
            time: DEFAULT_TIME_BUDGET,
        }
    }

    /// Sets the position of the task's DPC in the queue, and its urgency (`KeSetImportanceDpc`).
    pub const fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    /// Runs the task on processor `number` of group `group`, whichever processor wakes it
    /// (`KeSetTargetProcessorDpcEx`).
    ///
    /// There must be such a processor.
    pub const fn processor(mut self, group: u16, number: u8) -> Self {
        self.processor = Some((group, number));
        self
    }

    /// Sets the number of polls in one run, which must not be zero.
    ///
    /// A task with a spent budget continues by a timer, after other DPCs, or at PASSIVE_LEVEL
    /// behind other work items.
    pub const fn poll_budget(mut self, polls: u32) -> Self {
        self.polls = polls;
        self
    }

    /// Sets the time for which the task may be polled again and again in one run.
    ///
    /// A poll is not cut short. The time counts in whole units of 100 ns. It is at least one unit,
    /// and at most 429 seconds.
    pub const fn time_budget(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    pub(crate) fn dpc_port(self) -> Result<DpcPort, NTSTATUS> {
        self.settings().map(DpcPort::with)
    }

    pub(crate) fn settings(self) -> Result<Settings, NTSTATUS> {
        let processor = self.processor.map(|(group, number)| nt::PROCESSOR_NUMBER {
            Group: group,
            Number: number,
            Reserved: 0,
        });
        let budget = Budget::new(self.polls, self.time)?;
        Ok(Settings { importance: self.importance, processor, budget })
    }
}

impl Default for DpcOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl<const SIZE: usize> TaskStorage<SIZE> {
    /// Returns the number of bytes that the task of this future needs.
    ///
    /// ```
    /// use ntcom_exec::TaskStorage;
    /// assert!(TaskStorage::<0>::needed(&async {}) < 1024);
    /// ```
    #[must_use]
    pub const fn needed<F>(_future: &F) -> usize
    where
        F: Future<Output = ()> + Send + 'static,
    {
        size_of::<Spawn<F, &'static Self, DpcPort>>()
    }
}
