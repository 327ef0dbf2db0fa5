//! What a driver may say about a task on DPCs.

use core::{future::Future, time::Duration};

use super::{DpcPort, Settings};
use crate::{
    DEFAULT_POLL_BUDGET, DEFAULT_TIME_BUDGET, NTSTATUS, TaskStorage, budget::Budget, nt, spawn::Spawn,
};

/// Where in a processor's queue a DPC stands, and how soon that processor looks
/// (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kesetimportancedpc).
///
/// ```
/// assert_eq!(ntcom_exec::Importance::default(), ntcom_exec::Importance::Medium);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(i32)]
pub enum Importance {
    /// At the end; the processor may take its time.
    Low = 0,
    /// At the end.
    #[default]
    Medium = 1,
    /// At the front.
    High = 2,
    /// At the end; another processor is interrupted for it at once.
    MediumHigh = 3,
}

/// How a task on DPCs runs: importance, processor, budget. Each is optional.
///
/// It is a [`Placement`](crate::Placement): [`TaskBuilder::on`](crate::TaskBuilder::on) and
/// `ntcom::InitBox::on` take it.
///
/// ```
/// use ntcom_exec::{DpcOptions, TaskBuilder};
/// # use ntsim::{Config, Schedule, Simulation};
/// # let config = Config { processors: 2, ..Config::default() };
/// # let mut kernel = Simulation::new(config, Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let there = DpcOptions::new().processor(0, 1).poll_budget(8);
/// TaskBuilder::new()
///     .on(there)
///     .spawn(async { assert_eq!(ntsim::current_processor(), 1) })
///     .unwrap();
/// # }))]).unwrap();
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
    /// The defaults: medium importance, the waker's processor, [`DEFAULT_POLL_BUDGET`], [`DEFAULT_TIME_BUDGET`].
    pub const fn new() -> Self {
        Self {
            importance: Importance::Medium,
            processor: None,
            polls: DEFAULT_POLL_BUDGET.get(),
            time: DEFAULT_TIME_BUDGET,
        }
    }

    /// Where its DPC stands in the queue (`KeSetImportanceDpc`).
    pub const fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    /// It runs on this processor, whoever wakes it: processor `number` of group `group` (`KeSetTargetProcessorDpcEx`).
    pub const fn processor(mut self, group: u16, number: u8) -> Self {
        self.processor = Some((group, number));
        self
    }

    /// How often it may be polled in one run. A spent budget goes on by a timer, after other DPCs; at PASSIVE_LEVEL behind other work items.
    pub const fn poll_budget(mut self, polls: u32) -> Self {
        self.polls = polls;
        self
    }

    /// How long it may be polled again and again in one run; a poll is not cut short. Whole units of 100 ns count.
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
    /// How many bytes the task of this future needs.
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
