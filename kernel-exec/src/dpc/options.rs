//! What a driver may say about a task on DPCs.

use core::{future::Future, time::Duration};

use super::{DpcPort, Settings};
use crate::{
    DEFAULT_POLL_BUDGET, DEFAULT_TIME_BUDGET, NTSTATUS, PoolAllocator, TaskStorage,
    budget::Budget,
    moving::MovingPort,
    nt,
    spawn::{Spawn, spawn},
    storage::InPlace,
    task::{CancelHandle, TaskPtr},
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

/// How a task on DPCs is to be run: importance, processor, budget, pool tag. Each is optional.
///
/// ```
/// use core::time::Duration;
/// use ntcom_exec::{DpcOptions, Importance};
/// # use ntsim::{Config, Schedule, Simulation};
/// # let config = Config { processors: 2, ..Config::default() };
/// # let mut kernel = Simulation::new(config, Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
///
/// DpcOptions::new()
///     .processor(0, 1)
///     .importance(Importance::High)
///     .time_budget(Duration::from_micros(50))
///     .tag(*b"Smpl")
///     .spawn(async { assert_eq!(ntsim::current_processor(), 1) })
///     .unwrap();
/// # }))]).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is spawned yet"]
pub struct DpcOptions {
    importance: Importance,
    processor: Option<(u16, u8)>,
    polls: u32,
    time: Duration,
    allocator: PoolAllocator,
}

impl DpcOptions {
    /// The defaults: medium importance, the waker's processor, [`DEFAULT_POLL_BUDGET`], [`DEFAULT_TIME_BUDGET`], the tag `Ntcm`.
    pub const fn new() -> Self {
        Self {
            importance: Importance::Medium,
            processor: None,
            polls: DEFAULT_POLL_BUDGET.get(),
            time: DEFAULT_TIME_BUDGET,
            allocator: PoolAllocator::DEFAULT,
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

    /// The pool tag of its block, as a debugger prints it.
    pub const fn tag(mut self, tag: [u8; 4]) -> Self {
        self.allocator = PoolAllocator::with_tag(tag);
        self
    }

    /// As [`spawn_dpc_task`](crate::spawn_dpc_task); on another processor, or with low importance, the first poll may come after this has returned.
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: there is no such processor; a budget of no polls; a time budget below 100 ns or above 429 seconds; a
    ///   tag of four zeros.
    /// - `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the task.
    /// - `STATUS_DELETE_PENDING`: the tracker has been closed.
    ///
    /// In each case the future has been dropped, at the caller's IRQL.
    pub fn spawn<F>(self, future: F) -> Result<(), NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_cancellable(future).map(drop)
    }

    /// As [`spawn`](Self::spawn), with a handle that cancels it.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_cancellable<F>(self, future: F) -> Result<CancelHandle, NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let port = self.dpc_port()?;
        self.allocator.check()?;
        spawn(port, self.allocator, future).map(handle)
    }

    /// As [`spawn_cancellable`](Self::spawn_cancellable), in memory of the driver's own: nothing is allocated. The tag counts for nothing.
    ///
    /// A future for which the storage is too small, or not aligned enough, does not compile; [`TaskStorage::needed`] says how much it is.
    /// The storage is free again when the task has ended and every handle, waker and other reference to it is gone.
    ///
    /// The future passes over the caller's stack on its way to the storage: see
    /// [`spawn_dpc_task`](crate::spawn_dpc_task) on large ones.
    ///
    /// # Errors
    /// - `STATUS_INSUFFICIENT_RESOURCES`: the storage is another task's.
    /// - else as for [`spawn`](Self::spawn).
    ///
    /// ```
    /// use ntcom_exec::{DpcOptions, NTSTATUS, TaskStorage};
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run(vec![(0, Box::new(|| {
    /// static STORAGE: TaskStorage<1024> = TaskStorage::new();
    ///
    /// let handle = DpcOptions::new().spawn_in(&STORAGE, core::future::pending()).unwrap();
    /// let second = DpcOptions::new().spawn_in(&STORAGE, async {});
    /// assert_eq!(second.err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
    /// handle.cancel();
    /// drop(handle);
    /// assert!(STORAGE.is_free());
    /// # }))]).unwrap();
    /// # kernel.unload().unwrap();
    /// ```
    pub fn spawn_in<F, const SIZE: usize>(
        self,
        storage: &'static TaskStorage<SIZE>,
        future: F,
    ) -> Result<CancelHandle, NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        const {
            assert!(
                size_of::<Spawn<F, InPlace<SIZE>, DpcPort>>() <= SIZE,
                "the storage is too small for this future's task: TaskStorage::needed tells its size"
            );
            assert!(
                align_of::<Spawn<F, InPlace<SIZE>, DpcPort>>() <= align_of::<TaskStorage<SIZE>>(),
                "this future's task wants more alignment than the storage has"
            );
        }
        spawn(self.dpc_port()?, storage.allocator(), future).map(handle)
    }

    /// As [`spawn_cancellable`](Self::spawn_cancellable), for a task that can go on at PASSIVE_LEVEL for a while, in work items of this
    /// device: see [`passive`](crate::passive()). The device object is referenced until the task has ended.
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: `device` is null.
    /// - `STATUS_NOT_SUPPORTED`: this kernel's work items are larger than 256 bytes, which a task has room for.
    /// - else as for [`spawn`](Self::spawn).
    ///
    /// # Safety
    /// `device` is null, or a device object of this driver that is referenced, or not yet deleted, during the call.
    pub unsafe fn spawn_on_device<F>(
        self,
        device: nt::PDEVICE_OBJECT,
        future: F,
    ) -> Result<CancelHandle, NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.allocator.check()?;
        // SAFETY: by this function's contract.
        let port = unsafe { MovingPort::new_on(self.settings()?, device) };
        spawn(port, self.allocator, future).map(handle)
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
        size_of::<Spawn<F, InPlace<SIZE>, DpcPort>>()
    }
}

fn handle(task: TaskPtr) -> CancelHandle {
    // SAFETY: the one reference of a new task.
    unsafe { CancelHandle::from_reference(task) }
}
