//! Spawning tasks, by the builder, and by two functions for tasks without options.

use core::future::Future;

use crate::{
    alloc::{Allocator, GlobalAllocator},
    join::{JoinHandle, spawn_join},
    placement::{OnDpcs, Placement},
    spawn::spawn,
    status::NTSTATUS,
    task::CancelHandle,
};

/// A builder that spawns tasks, with a placement and an allocator.
///
/// Without options a task runs on DPCs, in a block from [`GlobalAllocator`]. With `ntcom` the same
/// builder spawns operations (`ntcom::SpawnOperation`).
///
#[cfg_attr(kernel, doc = "```")]
#[cfg_attr(not(kernel), doc = "```ignore")]
/// use core::time::Duration;
/// use ntcom_exec::{DpcOptions, Importance, PoolAllocator, TaskBuilder};
/// # use ntsim::{Config, Schedule, Simulation};
/// # let config = Config { processors: 2, ..Config::default() };
/// # let mut kernel = Simulation::new(config, Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let options = DpcOptions::new()
///     .processor(0, 1)
///     .importance(Importance::High)
///     .time_budget(Duration::from_micros(50));
/// TaskBuilder::new()
///     .on(options)
///     .allocator(PoolAllocator::with_tag(*b"Smpl"))
///     .spawn(async { assert_eq!(ntsim::current_processor(), 1) })
///     .unwrap();
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
///
/// A task at PASSIVE_LEVEL, in work items of the driver's device:
///
#[cfg_attr(kernel, doc = "```")]
#[cfg_attr(not(kernel), doc = "```ignore")]
/// use ntcom_exec::{OnWorkItems, TaskBuilder};
/// # use std::ptr::null_mut;
/// # use ntsim::{Config, Schedule, Simulation, ddi, types::FILE_DEVICE_UNKNOWN};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// # let (driver, mut device) = (ntsim::driver_object(), null_mut());
/// # // SAFETY: the arguments are valid.
/// # unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &mut device) };
/// // SAFETY: the driver's device, which is deleted below.
/// let placement = unsafe { OnWorkItems::of(device) };
/// let handle = TaskBuilder::new().on(placement).spawn(core::future::pending()).unwrap();
/// handle.cancel(); // the body is polled with the request set, and dropped
/// # // SAFETY: not deleted yet; the task keeps a reference until it has ended.
/// # unsafe { ddi::IoDeleteDevice(device) };
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is spawned yet"]
pub struct TaskBuilder<P = OnDpcs, A = GlobalAllocator> {
    placement: P,
    allocator: A,
}

impl TaskBuilder {
    /// Makes a builder without options.
    pub const fn new() -> Self {
        Self { placement: OnDpcs, allocator: GlobalAllocator }
    }
}

impl Default for TaskBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl<P, A> TaskBuilder<P, A> {
    /// Sets where the task runs.
    ///
    /// `DpcOptions` has an importance, a processor and a budget. `OnWorkItems` is PASSIVE_LEVEL.
    /// `Migrating` is for a task that goes there with [`passive`](crate::passive()).
    pub fn on<Q: Placement>(self, placement: Q) -> TaskBuilder<Q, A> {
        TaskBuilder { placement, allocator: self.allocator }
    }

    /// Sets where the task's block comes from.
    ///
    /// `PoolAllocator` has a pool tag. A `&'static TaskStorage` is memory of the driver's own.
    pub fn allocator<B: Allocator + Send + 'static>(self, allocator: B) -> TaskBuilder<P, B> {
        TaskBuilder { placement: self.placement, allocator }
    }

    /// Returns the placement and the allocator.
    #[doc(hidden)]
    pub fn into_parts(self) -> (P, A) {
        (self.placement, self.allocator)
    }
}

impl<P: Placement, A: Allocator + Send + 'static> TaskBuilder<P, A> {
    /// Spawns a task that runs `future` to its end. Dropping the handle does not cancel it.
    ///
    /// On DPCs the first poll is over before this returns, as for [`spawn_dpc_task`]. On another
    /// processor, with low importance, or on work items it may come later.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL, also for wakes, for cancels, and for dropping wakers and handles.
    ///
    /// The future passes over the caller's stack (see [`spawn_dpc_task`] on large ones).
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: there is no such processor; a budget of no polls; a time
    ///   budget below 100 ns or above 429 seconds; a pool tag of four zeros; a device that is null.
    /// - `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the task; the storage is another
    ///   task's.
    /// - `STATUS_DELETE_PENDING`: the tracker has been closed.
    /// - `STATUS_NOT_SUPPORTED`: the build has no kernel; this kernel's work items are larger than
    ///   256 bytes, which a task has room for.
    ///
    /// In each case the future has been dropped, at the caller's IRQL.
    pub fn spawn<F>(self, future: F) -> Result<CancelHandle, NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let port = self.placement.port()?;
        self.allocator.__check()?;
        let task = spawn(port, self.allocator, future)?;
        // SAFETY: this is the one reference of a new task.
        Ok(unsafe { CancelHandle::from_reference(task) })
    }

    /// Spawns a task as [`spawn`](Self::spawn) does, and returns a handle that receives the value
    /// of its future.
    ///
    /// The value is kept in the task's block, so there is no second allocation. The block is larger
    /// by the value, two words and the place for a waker, than that of [`spawn`](Self::spawn).
    ///
    /// IRQL and stack are as for [`spawn`](Self::spawn). See [`JoinHandle`] for an example.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_join<F>(self, future: F) -> Result<JoinHandle<F::Output>, NTSTATUS>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let port = self.placement.port()?;
        self.allocator.__check()?;
        spawn_join(port, self.allocator, future)
    }
}

/// Spawns a task that runs a future to its end in DPCs, on the processor that wakes it.
///
/// The body is polled and dropped at DISPATCH_LEVEL, so it must not touch pageable memory nor wait
/// for anything. The task belongs to the image's default tracker.
///
/// IRQL of the caller: ≤ DISPATCH_LEVEL. Below it the first poll is over before this returns,
/// unless the kernel advises the processor to leave its DPCs (`KeShouldYieldProcessor`). Then a
/// timer runs the task.
///
/// # Large futures
/// The future passes over the caller's stack, once in an optimised build, and several times in
/// another. A thread has 24 KiB of stack in all. The same holds for every future that a spawning
/// call takes by value. Keep large data in pool and move a pointer to it into the future. Or build
/// the body of an operation in its block, because `ntcom::SpawnOperation` takes an initialiser.
///
/// # Errors
/// - `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the task.
/// - `STATUS_DELETE_PENDING`: the tracker has been closed.
/// - `STATUS_NOT_SUPPORTED`: the build has no kernel.
///
/// In each case the future has been dropped, at the caller's IRQL.
///
#[cfg_attr(kernel, doc = "```")]
#[cfg_attr(not(kernel), doc = "```ignore")]
/// use ntsim::{Config, Schedule, Simulation};
///
/// let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// kernel.run_on(0, || {
///     ntcom_exec::spawn_dpc_task(async { ntcom_exec::yield_now().await }).unwrap();
/// }).unwrap();
/// kernel.unload().unwrap();
/// ```
pub fn spawn_dpc_task<F>(future: F) -> Result<(), NTSTATUS>
where
    F: Future<Output = ()> + Send + 'static,
{
    TaskBuilder::new().spawn(future).map(drop)
}

/// Spawns a task as [`spawn_dpc_task`] does, and returns a handle that cancels it.
///
/// # Errors
/// As for [`spawn_dpc_task`].
///
#[cfg_attr(kernel, doc = "```")]
#[cfg_attr(not(kernel), doc = "```ignore")]
/// use ntsim::{Config, Schedule, Simulation};
///
/// let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// kernel.run_on(0, || {
///     let handle = ntcom_exec::spawn_dpc_task_cancellable(core::future::pending()).unwrap();
///     handle.cancel(); // the body is polled once more, and dropped
/// }).unwrap();
/// kernel.unload().unwrap();
/// ```
pub fn spawn_dpc_task_cancellable<F>(future: F) -> Result<CancelHandle, NTSTATUS>
where
    F: Future<Output = ()> + Send + 'static,
{
    TaskBuilder::new().spawn(future)
}
