//! An IRP as a task. The protocol is the [request's](crate::request).

use core::future::Future;

use crate::{
    CancelHandle, IrpOutcome, NTSTATUS,
    nt::{self, irp},
    request::{Request, RequestRoom, RequestTask, request_canceled, spawn_request_task},
};

/// An IRP that the driver has, and that a task serves.
///
/// ```
/// # let task: Option<ntcom_exec::IrpTask<core::future::Pending<ntcom_exec::IrpOutcome>>> = None;
/// # drop(task);
/// fn is_request<R: ntcom_exec::Request>() {}
/// is_request::<ntcom_exec::Irp>();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Irp(nt::PIRP);

// SAFETY: an IRP may be used in any thread and on any processor, by those who have it.
unsafe impl Send for Irp {}

/// The future of a task that serves an IRP: see [`spawn_irp_task`].
///
/// ```
/// use ntcom_exec::{CancelHandle, IrpOutcome, IrpTask, NTSTATUS, PoolAllocator, TaskBuilder};
///
/// /// How this driver spawns what serves its IRPs.
/// fn spawn<F>(task: IrpTask<F>) -> Result<CancelHandle, NTSTATUS>
/// where
///     F: Future<Output = IrpOutcome> + Send + 'static,
/// {
///     TaskBuilder::new().allocator(PoolAllocator::with_tag(*b"Smpl")).spawn(task)
/// }
/// # let _ = spawn::<core::future::Pending<IrpOutcome>>;
/// ```
pub type IrpTask<F> = RequestTask<Irp, F>;

/// DISPATCH_LEVEL, with the cancel spin lock held.
unsafe extern "C" fn cancel_routine(_device: *mut nt::DEVICE_OBJECT, irp: *mut nt::IRP) {
    // SAFETY: called for an IRP of ours, with the lock held.
    unsafe { irp::release_cancel_lock(irp) };
    // SAFETY: the I/O manager has taken the routine out.
    unsafe { request_canceled(Irp(irp)) };
}

const _: () = assert!(size_of::<RequestRoom>() <= size_of::<[nt::PVOID; 4]>());
const _: () = assert!(align_of::<RequestRoom>() <= align_of::<[nt::PVOID; 4]>());

// SAFETY: 1. the room is the IRP's DriverContext, which is the driver's; 2. the cancel routine is taken out by an exchange, by the I/O manager,
// which calls it, or by one who is told so; 3. by that exchange; 4. none of the calls is for less.
unsafe impl Request for Irp {
    fn room(self) -> *mut RequestRoom {
        // SAFETY: the driver has the IRP, by the contract of every call that leads here.
        unsafe { irp::context(self.0) }.cast()
    }

    unsafe fn begin(self) {
        // SAFETY: by this function's contract.
        unsafe { irp::mark_pending(self.0) }
    }

    unsafe fn set_cancelable(self) -> bool {
        // SAFETY: by this function's contract. None was set, so none is replaced.
        unsafe { irp::set_cancel_routine(self.0, Some(cancel_routine)) };
        // SAFETY: as above.
        let canceled_before = unsafe { irp::is_canceled(self.0) };
        // SAFETY: as above.
        !(canceled_before && unsafe { self.take_cancelable() })
    }

    unsafe fn take_cancelable(self) -> bool {
        // SAFETY: by this function's contract.
        unsafe { irp::set_cancel_routine(self.0, None) }
    }

    unsafe fn complete(self, outcome: IrpOutcome) {
        // SAFETY: by this function's contract.
        unsafe { irp::set_outcome(self.0, outcome.status.0, outcome.information) };
        // SAFETY: as above.
        unsafe { irp::complete(self.0) }
    }
}

/// Serves an IRP by a task: what a dispatch routine ends with. Returns `STATUS_PENDING`, which the dispatch routine returns.
///
/// The IRP is marked pending, and `spawn` is handed the task's future, to spawn it as it likes: on DPCs or on work items, with a handle. The
/// IRP is completed with what `body` returns, after `body` has been dropped. Cancelling the IRP (`IoCancelIrp`) is a cancel request to the
/// task `[C10]`: a body that does not take it is dropped, and the IRP completed with `STATUS_CANCELLED`. If the task cannot be
/// spawned, the IRP is completed with the status of the refusal.
///
/// IRQL: that of `spawn`, mostly ≤ DISPATCH_LEVEL. The IRP is completed at the body's IRQL, or in the canceller's context, or before this
/// returns. It must not be touched afterwards by whoever called this, nor by the body other than through what the body was given: it has it
/// until it returns or is dropped.
///
/// # Safety
/// 1. `irp` is an IRP that this driver has been given by its dispatch routine, has not queued, passed on, marked pending, or set a cancel routine of,
///    and leaves to this.
/// 2. Nobody uses its `DriverContext`.
///
/// ```
/// use ntcom_exec::{IrpOutcome, NTSTATUS, TaskBuilder, sleep, spawn_irp_task};
/// use ntsim::types::{NTSTATUS as Status, PDEVICE_OBJECT, PIRP};
///
/// /// A read that takes its time.
/// unsafe extern "C" fn dispatch_read(_device: PDEVICE_OBJECT, irp: PIRP) -> Status {
///     let body = async {
///         match sleep(core::time::Duration::from_millis(20)).await {
///             Ok(()) => IrpOutcome { status: NTSTATUS::SUCCESS, information: 512 },
///             Err(status) => status.into(),
///         }
///     };
///     // SAFETY: a new IRP, of which this is the last use.
///     unsafe { spawn_irp_task(irp, body, |task| TaskBuilder::new().spawn(task)) }.0
/// }
/// # let _: unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> Status = dispatch_read;
/// ```
pub unsafe fn spawn_irp_task<F>(
    irp: nt::PIRP,
    body: F,
    spawn: impl FnOnce(IrpTask<F>) -> Result<CancelHandle, NTSTATUS>,
) -> NTSTATUS
where
    F: Future<Output = IrpOutcome> + Send + 'static,
{
    // SAFETY: this function's contract.
    unsafe { spawn_request_task(Irp(irp), body, spawn) };
    NTSTATUS::PENDING
}
