//! IRPs as requests that tasks serve (see [`request`](crate::request) for the protocol).

use core::future::Future;

use crate::{
    nt::{self, irp},
    request::{IrpOutcome, Request, RequestStorage, RequestTask, request_cancelled, spawn_request_task},
    status::NTSTATUS,
    task::CancelHandle,
};

/// An IRP that the driver has and that a task serves.
#[derive(Clone, Copy, Debug)]
pub struct Irp(nt::PIRP);

// SAFETY: the code that has an IRP may use it in any thread and on any processor.
unsafe impl Send for Irp {}

/// The future of a task that serves an IRP, which [`spawn_irp_task`] makes.
///
/// ```
/// use ntcom_exec::{CancelHandle, IrpOutcome, IrpTask, NTSTATUS, PoolAllocator, TaskBuilder};
///
/// /// Spawns the task of an IRP, as this driver wants it.
/// fn spawn<F>(task: IrpTask<F>) -> Result<CancelHandle, NTSTATUS>
/// where
///     F: Future<Output = IrpOutcome> + Send + 'static,
/// {
///     TaskBuilder::new().allocator(PoolAllocator::with_tag(*b"Smpl")).spawn(task)
/// }
/// # let _ = spawn::<core::future::Pending<IrpOutcome>>;
/// ```
pub type IrpTask<F> = RequestTask<Irp, F>;

/// Cancels the task of an IRP. IRQL: DISPATCH_LEVEL, with the cancel spin lock held.
unsafe extern "C" fn cancel_routine(_device: *mut nt::DEVICE_OBJECT, irp: *mut nt::IRP) {
    // SAFETY: the I/O manager calls this routine for an IRP of ours, with the lock held.
    unsafe { irp::release_cancel_lock(irp) };
    // SAFETY: the I/O manager has taken the routine out, and calls it once.
    unsafe { request_cancelled(Irp(irp)) };
}

const _: () = assert!(size_of::<RequestStorage>() <= size_of::<[nt::PVOID; 4]>());
const _: () = assert!(align_of::<RequestStorage>() <= align_of::<[nt::PVOID; 4]>());

// SAFETY: 1. the storage is the IRP's DriverContext, which is the driver's. 2. The cancel routine
// is taken out by an exchange, either by the I/O manager, which calls it, or by a caller that the
// exchange tells so. 3. That exchange orders the writes. 4. All calls are allowed at
// ≤ DISPATCH_LEVEL.
unsafe impl Request for Irp {
    fn storage(self) -> *mut RequestStorage {
        // SAFETY: the callers of the `Request` methods guarantee that the driver has the IRP.
        unsafe { irp::context(self.0) }.cast()
    }

    unsafe fn begin(self) {
        // SAFETY: the driver has the IRP, in its dispatch routine.
        unsafe { irp::mark_pending(self.0) }
    }

    unsafe fn set_cancel_routine(self) -> bool {
        // SAFETY: the driver has the IRP. No routine was set, so none is replaced.
        unsafe { irp::set_cancel_routine(self.0, Some(cancel_routine)) };
        // SAFETY: the driver has the IRP.
        let cancelled_before = unsafe { irp::is_cancelled(self.0) };
        // SAFETY: the driver has the IRP.
        !(cancelled_before && unsafe { self.clear_cancel_routine() })
    }

    unsafe fn clear_cancel_routine(self) -> bool {
        // SAFETY: the driver has the IRP.
        unsafe { irp::set_cancel_routine(self.0, None) }
    }

    unsafe fn complete(self, outcome: IrpOutcome) {
        // SAFETY: the driver has the IRP, and no other code writes its IoStatus any more.
        unsafe { irp::set_outcome(self.0, outcome.status.0, outcome.information) };
        // SAFETY: the driver has the IRP, without a cancel routine, and no other code uses it any
        // more.
        unsafe { irp::complete(self.0) }
    }
}

/// Serves an IRP by a task, as the last step of a dispatch routine.
///
/// It returns `STATUS_PENDING`, which the dispatch routine must return.
///
/// The IRP is marked pending. `spawn` is given the task's future. It spawns that future as it
/// likes, on DPCs or on work items, and returns the handle. The IRP is completed with the outcome
/// that `body` returns, after `body` has been dropped. Cancelling the IRP (`IoCancelIrp`) is a
/// cancel request to the task `[C10]`. A body that does not take the request is dropped, and the
/// IRP is completed with `STATUS_CANCELLED`. If the task cannot be spawned, the IRP is completed
/// with the status of the refusal.
///
/// IRQL: that of `spawn`, mostly ≤ DISPATCH_LEVEL. The IRP is completed at the body's IRQL, in the
/// canceller's context, or before this returns. The caller must not touch the IRP afterwards. The
/// body may touch it only through the pointers that it was given, until it returns or is dropped.
///
/// # Safety
/// 1. `irp` is an IRP that this driver has been given by its dispatch routine. The driver has not
///    queued it, passed it on, marked it pending, or set a cancel routine for it, and leaves it to
///    this function.
/// 2. No other code uses its `DriverContext`.
///
/// ```
/// use ntcom_exec::nt::{PDEVICE_OBJECT, PIRP};
/// use ntcom_exec::{IrpOutcome, NTSTATUS, TaskBuilder, sleep, spawn_irp_task};
///
/// /// Serves a read after 20 ms.
/// unsafe extern "C" fn dispatch_read(_device: PDEVICE_OBJECT, irp: PIRP) -> i32 {
///     let body = async {
///         match sleep(core::time::Duration::from_millis(20)).await {
///             Ok(()) => IrpOutcome { status: NTSTATUS::SUCCESS, information: 512 },
///             Err(status) => status.into(),
///         }
///     };
///     // SAFETY: the IRP is new, and this is its last use.
///     unsafe { spawn_irp_task(irp, body, |task| TaskBuilder::new().spawn(task)) }.0
/// }
/// # let _: unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> i32 = dispatch_read;
/// ```
pub unsafe fn spawn_irp_task<F>(
    irp: nt::PIRP,
    body: F,
    spawn: impl FnOnce(IrpTask<F>) -> Result<CancelHandle, NTSTATUS>,
) -> NTSTATUS
where
    F: Future<Output = IrpOutcome> + Send + 'static,
{
    // SAFETY: the caller leaves the IRP to this function, as it requires.
    unsafe { spawn_request_task(Irp(irp), body, spawn) };
    NTSTATUS::PENDING
}
