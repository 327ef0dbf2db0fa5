//! Options of a driver for a task on DPCs.

use core::{future::Future, time::Duration};

use super::{DpcPort, Settings};
use crate::{
    alloc::PoolAllocator,
    budget::{Budget, DEFAULT_POLL_BUDGET, DEFAULT_TIME_BUDGET},
    migrating::MigratingPort,
    nt,
    spawn::{Spawn, spawn},
    status::NTSTATUS,
    storage::{InPlace, TaskStorage},
    task::{CancelHandle, TaskPtr},
};

/// The position of a DPC in a processor's queue, and the urgency for that processor
/// (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kesetimportancedpc).
///
/// ```
/// assert_eq!(ntcom_exec::Importance::default(), ntcom_exec::Importance::Medium);
/// ```
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

/// The options of a task on DPCs, each of which may be left out: importance, processor, budget,
/// pool tag.
///
/// ```
/// use core::time::Duration;
/// use ntcom_exec::{DpcOptions, Importance};
/// # use ntsim::{Config, Schedule, Simulation};
/// # let config = Config { processors: 2, ..Config::default() };
/// # let mut kernel = Simulation::new(config, Schedule::round_robin());
/// # kernel.run_on(0, || {
///
/// DpcOptions::new()
///     .processor(0, 1)
///     .importance(Importance::High)
///     .time_budget(Duration::from_micros(50))
///     .tag(*b"Smpl")
///     .spawn(async { assert_eq!(ntsim::current_processor(), 1) })
///     .unwrap();
/// # }).unwrap();
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
    /// Returns the defaults: medium importance, the waker's processor, [`DEFAULT_POLL_BUDGET`],
    /// [`DEFAULT_TIME_BUDGET`], and the tag `Ntcm`.
    pub const fn new() -> Self {
        Self {
            importance: Importance::Medium,
            processor: None,
            polls: DEFAULT_POLL_BUDGET.get(),
            time: DEFAULT_TIME_BUDGET,
            allocator: PoolAllocator::DEFAULT,
        }
    }

    /// Sets the position of the task's DPC in the queue (`KeSetImportanceDpc`).
    pub const fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    /// Runs the task on this processor, number `number` of group `group`, whatever processor wakes
    /// it (`KeSetTargetProcessorDpcEx`).
    pub const fn processor(mut self, group: u16, number: u8) -> Self {
        self.processor = Some((group, number));
        self
    }

    /// Sets the number of polls in one run. A task with a spent budget continues by a timer, after
    /// other DPCs, or at PASSIVE_LEVEL behind other work items.
    pub const fn poll_budget(mut self, polls: u32) -> Self {
        self.polls = polls;
        self
    }

    /// Sets the time for which the task may be polled again and again in one run. A poll is not cut
    /// short. The time counts in whole units of 100 ns.
    pub const fn time_budget(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Sets the pool tag of the task's block, as a debugger prints it.
    pub const fn tag(mut self, tag: [u8; 4]) -> Self {
        self.allocator = PoolAllocator::with_tag(tag);
        self
    }

    /// Runs a future as [`spawn_dpc_task`](crate::spawn_dpc_task) does, with these options. On
    /// another processor, or with low importance, the first poll may come after this has returned.
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: the processor does not exist, the budget has no polls, the
    ///   time budget is below 100 ns or above 429 seconds, or the tag is four zeros.
    /// - `STATUS_INSUFFICIENT_RESOURCES`: no memory for the task.
    /// - `STATUS_DELETE_PENDING`: the tracker has been closed.
    ///
    /// In each case the future has been dropped, at the caller's IRQL.
    pub fn spawn<F>(self, future: F) -> Result<(), NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_cancellable(future).map(drop)
    }

    /// Runs a future as [`spawn`](Self::spawn) does, and returns a handle that cancels the task.
    ///
    /// # Errors
    /// The errors of [`spawn`](Self::spawn).
    pub fn spawn_cancellable<F>(self, future: F) -> Result<CancelHandle, NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let port = self.dpc_port()?;
        self.allocator.check()?;
        spawn(port, self.allocator, future).map(handle)
    }

    /// Runs a future as [`spawn_cancellable`](Self::spawn_cancellable) does, in memory of the
    /// driver's own. Nothing is allocated, and the tag has no effect.
    ///
    /// A future for which the storage is too small, or not aligned enough, does not compile;
    /// [`TaskStorage::needed`] returns the size that it needs. The storage is free again when the
    /// task has ended and every handle, waker and other reference to it is gone.
    ///
    /// The future passes over the caller's stack on its way to the storage: see
    /// [`spawn_dpc_task`](crate::spawn_dpc_task) on large ones.
    ///
    /// # Errors
    /// - `STATUS_INSUFFICIENT_RESOURCES`: another task has the storage.
    /// - The other errors are those of [`spawn`](Self::spawn).
    ///
    /// ```
    /// use ntcom_exec::{DpcOptions, NTSTATUS, TaskStorage};
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// static STORAGE: TaskStorage<1024> = TaskStorage::new();
    ///
    /// let handle = DpcOptions::new().spawn_in(&STORAGE, core::future::pending()).unwrap();
    /// let second = DpcOptions::new().spawn_in(&STORAGE, async {});
    /// assert_eq!(second.err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
    /// handle.cancel();
    /// drop(handle);
    /// assert!(STORAGE.is_free());
    /// # }).unwrap();
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
                "this future's task needs a larger alignment than the storage has"
            );
        }
        spawn(self.dpc_port()?, storage.allocator(), future).map(handle)
    }

    /// Runs a future as [`spawn_cancellable`](Self::spawn_cancellable) does, in a task that can
    /// migrate to PASSIVE_LEVEL for a while, in work items of this device: see
    /// [`passive`](crate::passive()). The device object is referenced until the task has ended.
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: `device` is null.
    /// - `STATUS_NOT_SUPPORTED`: this kernel's work items are larger than the 256 bytes that a task
    ///   has room for.
    /// - The other errors are those of [`spawn`](Self::spawn).
    ///
    /// # Safety
    /// `device` is null, or a device object of this driver that is referenced, or not yet deleted,
    /// during the call.
    pub unsafe fn spawn_migrating<F>(
        self,
        device: nt::PDEVICE_OBJECT,
        future: F,
    ) -> Result<CancelHandle, NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.allocator.check()?;
        // SAFETY: the caller keeps the device referenced during the call, which launches the task.
        let port = unsafe { MigratingPort::new_on(self.settings()?, device) };
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
        size_of::<Spawn<F, InPlace<SIZE>, DpcPort>>()
    }
}

fn handle(task: TaskPtr) -> CancelHandle {
    // SAFETY: this is the one reference of a new task.
    unsafe { CancelHandle::from_reference(task) }
}
