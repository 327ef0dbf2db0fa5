//! Making operations. None of these functions can fail: what goes wrong is the operation's `[C11]`.
//!
//! All of them may be called at ≤ DISPATCH_LEVEL. Unless it is placed elsewhere, the body is polled and dropped at DISPATCH_LEVEL, in a DPC, and must touch no
//! pageable memory; below DISPATCH_LEVEL its first poll is over before the spawn returns. A body that cannot be started is
//! dropped before the spawn returns, at the caller's IRQL.

use core::{
    future::{Future, Pending},
    ptr::NonNull,
};

use ntcom_exec::{CancelHandle, GlobalAllocator, NTSTATUS, Placement};

use super::{AsyncValueType, abi::AsyncOperationRaw, operation::AsyncOperationTask};
use crate::{ComRc, Init};

/// A body that is there already. Its own initialiser, because it goes into its place without a detour through a `Result`.
struct ByValue<F>(F);

// SAFETY: the body is written.
unsafe impl<F> Init<F, NTSTATUS> for ByValue<F> {
    unsafe fn init(self, place: NonNull<F>) -> Result<(), NTSTATUS> {
        // SAFETY: this function's contract.
        unsafe { place.write(self.0) };
        Ok(())
    }
}

/// # Panics
/// Never: an operation of ours is complete.
fn own<T: AsyncValueType>(raw: *mut AsyncOperationRaw<T>) -> ComRc<AsyncOperationRaw<T>> {
    // SAFETY: an operation of ours with one reference.
    match unsafe { ComRc::from_raw(raw) } {
        Ok(operation) => operation,
        Err(_) => ntcom_exec::fail_fast_corrupt_interface(),
    }
}

/// Spawns an operation with memory from [`GlobalAllocator`].
///
/// If it cannot run it is in state Error: `STATUS_INSUFFICIENT_RESOURCES` (no memory), `STATUS_DELETE_PENDING` (the driver is going
/// away), `STATUS_NOT_SUPPORTED` (no executor in this build).
///
/// The body passes over the caller's stack, of which a thread has 24 KiB in all. A large body is
/// built in its block instead:
/// [`AsyncOperationTask::spawn_raw`](super::AsyncOperationTask::spawn_raw) takes an initialiser.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let operation = ntcom::spawn_async_operation(async { 5_u8 });
/// assert_eq!(operation.result(), Ok(5));
/// # }))]).unwrap();
/// # }
/// ```
pub fn spawn_async_operation<T, F>(body: F) -> ComRc<AsyncOperationRaw<T>>
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    own(spawn_async_operation_raw(body))
}

/// As [`spawn_async_operation`], for handing the pointer, with its reference, to a client. Never null.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let raw = ntcom::spawn_async_operation_raw(async { 5_u8 });
/// # // SAFETY: the pointer owns a reference.
/// let operation = unsafe { ntcom::ComRc::from_raw(raw) };
/// # }))]).unwrap();
/// # }
/// ```
pub fn spawn_async_operation_raw<T, F>(body: F) -> *mut AsyncOperationRaw<T>
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    AsyncOperationTask::spawn_raw(GlobalAllocator, ByValue(body))
}

/// As [`spawn_async_operation`], where `placement` says: `DpcOptions` of `ntcom-exec` for an importance, a processor, a budget; `OnWorkItems`
/// for a body at PASSIVE_LEVEL; `OnDevice` for one that goes there for a while. What the placement refuses is the operation's error.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use std::ptr::null_mut;
/// # use ntsim::{Config, Schedule, Simulation, ddi, types::FILE_DEVICE_UNKNOWN};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// # let (driver, mut device) = (ntsim::driver_object(), null_mut());
/// # // SAFETY: the arguments are valid.
/// # unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &mut device) };
/// use ntcom::spawn_async_operation_on;
/// use ntcom_exec::OnWorkItems;
///
/// // SAFETY: the driver's device, which is deleted below.
/// let placement = unsafe { OnWorkItems::of(device) };
/// let operation = spawn_async_operation_on(placement, async { u32::from(ntsim::irql()) });
/// operation.control().unwrap().wait(None).unwrap();
/// assert_eq!(operation.result(), Ok(0), "PASSIVE_LEVEL");
/// # // SAFETY: not deleted yet.
/// # unsafe { ddi::IoDeleteDevice(device) };
/// # }))]).unwrap();
/// # }
/// ```
pub fn spawn_async_operation_on<T, F>(placement: impl Placement, body: F) -> ComRc<AsyncOperationRaw<T>>
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    own(spawn_async_operation_raw_on(placement, body))
}

/// As [`spawn_async_operation_on`], for handing the pointer, with its reference, to a client. Never null.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let raw = ntcom::spawn_async_operation_raw_on(ntcom_exec::OnDpcs, async { 5_u8 });
/// # // SAFETY: the pointer owns a reference.
/// let operation = unsafe { ntcom::ComRc::from_raw(raw) };
/// # }))]).unwrap();
/// # }
/// ```
pub fn spawn_async_operation_raw_on<T, F>(placement: impl Placement, body: F) -> *mut AsyncOperationRaw<T>
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    AsyncOperationTask::spawn_raw_on(placement, GlobalAllocator, ByValue(body))
}

/// As [`spawn_async_operation`], with a handle that cancels. Dropping the handle does not.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntcom::AsyncStatus;
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let (operation, handle) = ntcom::spawn_async_operation_cancellable(core::future::pending::<u8>());
/// handle.cancel();
/// assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
/// # }))]).unwrap();
/// # }
/// ```
pub fn spawn_async_operation_cancellable<T, F>(body: F) -> (ComRc<AsyncOperationRaw<T>>, CancelHandle)
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    let (raw, handle) = spawn_async_operation_raw_cancellable(body);
    (own(raw), handle)
}

/// As [`spawn_async_operation_cancellable`], with the pointer as a client gets it. Never null.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let (raw, handle) = ntcom::spawn_async_operation_raw_cancellable(async { 1_u64 });
/// handle.cancel(); // harmless after the end
/// # // SAFETY: the pointer owns a reference.
/// let operation = unsafe { ntcom::ComRc::from_raw(raw) };
/// # }))]).unwrap();
/// # }
/// ```
pub fn spawn_async_operation_raw_cancellable<T, F>(body: F) -> (*mut AsyncOperationRaw<T>, CancelHandle)
where
    T: AsyncValueType,
    F: Future<Output = T> + Send + 'static,
{
    AsyncOperationTask::spawn_raw_cancellable(GlobalAllocator, ByValue(body))
}

/// An operation that failed before it began, with this status; a success or informational code becomes
/// `STATUS_UNSUCCESSFUL` `[C7]`. Without memory the status is `STATUS_INSUFFICIENT_RESOURCES`.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// use ntcom::NTSTATUS;
/// let operation = ntcom::spawn_async_operation_error::<u32>(NTSTATUS::INVALID_PARAMETER);
/// assert_eq!(operation.result(), Err(NTSTATUS::INVALID_PARAMETER));
/// # }))]).unwrap();
/// ```
pub fn spawn_async_operation_error<T: AsyncValueType>(status: NTSTATUS) -> ComRc<AsyncOperationRaw<T>> {
    own(spawn_async_operation_error_raw(status))
}

/// As [`spawn_async_operation_error`], with the pointer as a client gets it. Never null.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// # use ntcom::NTSTATUS;
/// let raw = ntcom::spawn_async_operation_error_raw::<u32>(NTSTATUS::NOT_SUPPORTED);
/// # // SAFETY: the pointer owns a reference.
/// let operation = unsafe { ntcom::ComRc::from_raw(raw) };
/// # }))]).unwrap();
/// ```
pub fn spawn_async_operation_error_raw<T: AsyncValueType>(status: NTSTATUS) -> *mut AsyncOperationRaw<T> {
    AsyncOperationTask::<T, Pending<T>>::failed_raw(GlobalAllocator, status)
}
