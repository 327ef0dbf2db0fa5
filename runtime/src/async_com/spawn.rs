//! Spawning operations. Every spawn returns an operation, and a failure is the operation's status
//! `[C11]`.
//!
//! Every function here may be called at ≤ DISPATCH_LEVEL. Unless the operation is placed elsewhere,
//! the executor polls and drops the body at DISPATCH_LEVEL, in a DPC. So the body must touch no
//! pageable memory. Below DISPATCH_LEVEL its first poll is over before the spawn returns, unless
//! the processor is to leave its DPCs. A body that cannot be started is dropped before the spawn
//! returns, at the caller's IRQL.

use core::{
    future::{Future, Pending},
    ptr::NonNull,
};

use ntcom_exec::{Allocator, CancelHandle, Infallible, NTSTATUS, Placement, TaskBuilder, no_unwind};

use super::{
    AsyncValueType,
    abi::AsyncOperationRaw,
    async_operation::AsyncOperation,
    operation::{AsyncOperationTask, OperationTask},
};
use crate::{ComRc, Init};

/// Spawns operations by a [`TaskBuilder`].
///
/// A builder gives the operation a placement, an allocator, or a body that is built in its block.
/// The body is an initialiser, as in a recipe ([`InitBox`](super::InitBox)), so write
/// `pin_init!(future)`. If the initialiser fails, or the placement refuses the operation, that
/// status is the operation's. The helpers, such as [`spawn_async_operation`], are for operations
/// without options.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use std::ptr::null_mut;
/// # use ntsim::{Config, Schedule, Simulation, ddi, types::FILE_DEVICE_UNKNOWN};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// # let (driver, mut device) = (ntsim::driver_object(), null_mut());
/// # // SAFETY: the arguments are valid.
/// # unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &mut device) };
/// use ntcom::{SpawnOperation as _, TaskBuilder, pin_init};
/// use ntcom_exec::{OnWorkItems, PoolAllocator};
///
/// // SAFETY: the driver's device, which is deleted below.
/// let placement = unsafe { OnWorkItems::of(device) };
/// let operation = TaskBuilder::new()
///     .on(placement)
///     .allocator(PoolAllocator::with_tag(*b"Smpl"))
///     .spawn_operation(pin_init!(async { u32::from(ntsim::irql()) }));
/// operation.wait(None).unwrap();
/// assert_eq!(operation.result(), Ok(0), "PASSIVE_LEVEL");
/// # // SAFETY: not deleted yet.
/// # unsafe { ddi::IoDeleteDevice(device) };
/// # }).unwrap();
/// # }
/// ```
pub trait SpawnOperation: Sized {
    /// Spawns an operation with a body that `init` builds in its block. IRQL: ≤ DISPATCH_LEVEL.
    fn spawn_operation<F>(self, init: impl Init<F, NTSTATUS>) -> AsyncOperation<F::Output>
    where
        F: Future<Output: AsyncValueType> + Send + 'static;

    /// Spawns an operation, with a handle that cancels it. Dropping the handle does not cancel it.
    /// IRQL: ≤ DISPATCH_LEVEL.
    fn spawn_operation_cancellable<F>(
        self,
        init: impl Init<F, NTSTATUS>,
    ) -> (AsyncOperation<F::Output>, CancelHandle)
    where
        F: Future<Output: AsyncValueType> + Send + 'static;

    /// Makes an operation that failed before it began, as [`spawn_async_operation_error`] does.
    fn fail_operation<T: AsyncValueType>(self, status: NTSTATUS) -> AsyncOperation<T>;
}

impl<P: Placement, A: Allocator + Send + 'static> SpawnOperation for TaskBuilder<P, A> {
    fn spawn_operation<F>(self, init: impl Init<F, NTSTATUS>) -> AsyncOperation<F::Output>
    where
        F: Future<Output: AsyncValueType> + Send + 'static,
    {
        let (placement, allocator) = self.into_parts();
        // SAFETY: `in_place` writes the body where it returns Ok.
        own(unsafe { OperationTask::<Infallible<F>, A, _>::spawn_raw(placement, allocator, in_place(init)) })
    }

    fn spawn_operation_cancellable<F>(
        self,
        init: impl Init<F, NTSTATUS>,
    ) -> (AsyncOperation<F::Output>, CancelHandle)
    where
        F: Future<Output: AsyncValueType> + Send + 'static,
    {
        let (placement, allocator) = self.into_parts();
        let init = in_place(init);
        // SAFETY: `in_place` writes the body where it returns Ok.
        let (raw, handle) = unsafe {
            OperationTask::<Infallible<F>, A, _>::spawn_raw_cancellable(placement, allocator, init)
        };
        (own(raw), handle)
    }

    fn fail_operation<T: AsyncValueType>(self, status: NTSTATUS) -> AsyncOperation<T> {
        let (_, allocator) = self.into_parts();
        own(AsyncOperationTask::<T, Pending<T>, A>::failed_raw(allocator, status))
    }
}

/// Returns the initialiser of a body that is transparent over the future that `init` builds.
fn in_place<F>(init: impl Init<F, NTSTATUS>) -> impl FnOnce(*mut Infallible<F>) -> Result<(), NTSTATUS> {
    move |place| {
        // SAFETY: the place for the body, in a new block, is not null.
        let place = unsafe { NonNull::new_unchecked(place) };
        // SAFETY: the place has room for the body, which stays there until the executor drops it.
        no_unwind(|| unsafe { init.init(place.cast()) })
    }
}

/// The initialiser of a body that exists already, which writes it without a detour through a
/// `Result`.
struct ByValue<F>(F);

// SAFETY: the body is written before Ok is returned.
unsafe impl<F> Init<F, NTSTATUS> for ByValue<F> {
    unsafe fn init(self, place: NonNull<F>) -> Result<(), NTSTATUS> {
        // SAFETY: the caller's place has room for the body.
        unsafe { place.write(self.0) };
        Ok(())
    }
}

/// Returns the client's pointer to a new operation.
///
/// # Panics
/// It never panics, because the tables of our operations are complete.
fn own<T: AsyncValueType>(raw: *mut AsyncOperationRaw<T>) -> AsyncOperation<T> {
    // SAFETY: `raw` is a new operation of ours, with one reference.
    match unsafe { ComRc::from_raw(raw) } {
        Ok(operation) => operation,
        Err(_) => ntcom_exec::fail_fast_corrupt_interface(),
    }
}

/// Spawns an operation with memory from [`GlobalAllocator`](ntcom_exec::GlobalAllocator).
///
/// An operation that cannot run is in state Error. Its status is `STATUS_INSUFFICIENT_RESOURCES` if
/// there is no memory, `STATUS_DELETE_PENDING` if the driver unloads, and `STATUS_NOT_SUPPORTED` if
/// the build has no executor. IRQL: ≤ DISPATCH_LEVEL.
///
/// The body passes over the caller's stack, and a thread has 24 KiB of stack in all.
/// [`SpawnOperation`] takes an initialiser, which builds a large body in its block.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let operation = ntcom::spawn_async_operation(async { 5_u8 });
/// assert_eq!(operation.result(), Ok(5));
/// # }).unwrap();
/// # }
/// ```
pub fn spawn_async_operation<T, F>(body: F) -> AsyncOperation<T>
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    TaskBuilder::new().spawn_operation(ByValue(body))
}

/// Spawns an operation, and returns the pointer for a client, which is never null.
///
/// The pointer owns a reference. Otherwise the function is as [`spawn_async_operation`].
pub fn spawn_async_operation_raw<T, F>(body: F) -> *mut AsyncOperationRaw<T>
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    spawn_async_operation(body).into_raw()
}

/// Spawns an operation, with a handle that cancels it. Dropping the handle does not cancel it.
///
/// Otherwise the function is as [`spawn_async_operation`].
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntcom::AsyncStatus;
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let (operation, handle) = ntcom::spawn_async_operation_cancellable(core::future::pending::<u8>());
/// handle.cancel();
/// assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
/// # }).unwrap();
/// # }
/// ```
pub fn spawn_async_operation_cancellable<T, F>(body: F) -> (AsyncOperation<T>, CancelHandle)
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    TaskBuilder::new().spawn_operation_cancellable(ByValue(body))
}

/// Spawns an operation, and returns the pointer for a client and a handle that cancels it.
///
/// The pointer is never null and owns a reference. Otherwise the function is as
/// [`spawn_async_operation_cancellable`].
pub fn spawn_async_operation_raw_cancellable<T, F>(body: F) -> (*mut AsyncOperationRaw<T>, CancelHandle)
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    let (operation, handle) = spawn_async_operation_cancellable(body);
    (operation.into_raw(), handle)
}

/// Makes an operation that failed before it began, with this status.
///
/// A success or informational code becomes `STATUS_UNSUCCESSFUL` `[C7]`. If there is no memory the
/// status is `STATUS_INSUFFICIENT_RESOURCES`. IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// use ntcom::NTSTATUS;
/// let operation = ntcom::spawn_async_operation_error::<u32>(NTSTATUS::INVALID_PARAMETER);
/// assert_eq!(operation.result(), Err(NTSTATUS::INVALID_PARAMETER));
/// # }).unwrap();
/// ```
pub fn spawn_async_operation_error<T: AsyncValueType>(status: NTSTATUS) -> AsyncOperation<T> {
    TaskBuilder::new().fail_operation(status)
}

/// Makes an operation that failed before it began, and returns the pointer for a client.
///
/// The pointer is never null and owns a reference. Otherwise the function is as
/// [`spawn_async_operation_error`].
pub fn spawn_async_operation_error_raw<T: AsyncValueType>(status: NTSTATUS) -> *mut AsyncOperationRaw<T> {
    spawn_async_operation_error(status).into_raw()
}
