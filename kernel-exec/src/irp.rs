//! An IRP as a task: the task completes it, and cancelling it cancels the task.
//!
//! Between the dispatch routine and the completion the IRP is the driver's, and up to three parties use it: the task, which says what it
//! came to; the dispatch routine, until it has set the cancel routine; and that, while it is set. They are counted in a word that lies
//! in the IRP's own context, and the last one completes the IRP.
//!
//! - **I1** Whoever takes the cancel routine out of the IRP, by an exchange that tells it so, has its party: the I/O manager, which calls it;
//!   the task at its end; or the dispatch routine, when it finds that the IRP was cancelled before, or that the task has ended before.
//! - **I2** The task says that it has ended before it looks for a cancel routine; the dispatch routine sets the cancel routine before it
//!   looks whether the task has ended. So one of them sees the other.
//! - **I3** A party uses the IRP before it gives itself up, not afterwards.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    CancelHandle, NTSTATUS,
    nt::{self, irp},
    sync::{AtomicUsize, KernelCell, Ordering},
};

/// The task has ended.
const ENDED: usize = 1;
/// One party, counted above the flag.
const PARTY: usize = 2;

/// What lies in the IRP's context.
#[repr(C)]
struct Shared {
    parties: AtomicUsize,
    /// Written by the dispatch routine, before the cancel routine can read it; taken by the last party.
    handle: KernelCell<Option<CancelHandle>>,
}

const _: () = assert!(size_of::<Shared>() <= size_of::<[nt::PVOID; 4]>());
const _: () = assert!(align_of::<Shared>() <= align_of::<nt::PVOID>());

/// What a request came to: what IoStatus says.
///
/// ```
/// use ntcom_exec::{IrpOutcome, NTSTATUS};
/// let read = IrpOutcome { status: NTSTATUS::SUCCESS, information: 512 };
/// assert_eq!(IrpOutcome::from(NTSTATUS::CANCELLED), IrpOutcome { status: NTSTATUS::CANCELLED, information: 0 });
/// # drop(read);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IrpOutcome {
    /// The status. STATUS_PENDING is none, and is completed as `STATUS_DRIVER_INTERNAL_ERROR`.
    pub status: NTSTATUS,
    /// What else: mostly how many bytes were transferred.
    pub information: usize,
}

impl From<NTSTATUS> for IrpOutcome {
    fn from(status: NTSTATUS) -> Self {
        Self { status, information: 0 }
    }
}

/// A party of an IRP that the driver has. Given up when it is dropped.
struct Party(nt::PIRP);

// SAFETY: an IRP may be used in any thread and on any processor, by those who have it.
unsafe impl Send for Party {}

impl Party {
    fn shared(&self) -> &Shared {
        // SAFETY: the party keeps the IRP the driver's [I3].
        let context = unsafe { irp::context(self.0) };
        // SAFETY: written by `spawn_irp_task` before there was any party.
        unsafe { &*context.cast::<Shared>() }
    }

    /// One more.
    fn another(&self) -> Self {
        self.shared().parties.fetch_add(PARTY, Ordering::Relaxed);
        Self(self.0)
    }

    fn set_outcome(&self, outcome: IrpOutcome) {
        let status = match outcome.status {
            NTSTATUS::PENDING => NTSTATUS::DRIVER_INTERNAL_ERROR,
            status => status,
        };
        // SAFETY: the driver's by this party; the task's only, or the dispatch routine's after the task has gone.
        unsafe { irp::set_outcome(self.0, status.0, outcome.information) }
    }

    /// The task has ended `[I2]`.
    fn end(&self) {
        self.shared().parties.fetch_or(ENDED, Ordering::SeqCst);
        self.take_cancel_routine();
    }

    /// Sets the cancel routine, which has the party `of_routine` from now on.
    fn set_cancel_routine(&self, of_routine: Self) {
        let _routines = core::mem::ManuallyDrop::new(of_routine);
        // SAFETY: the driver's by this party. None was set, so none is replaced.
        unsafe { irp::set_cancel_routine(self.0, Some(cancel_routine)) };
    }

    /// Takes the cancel routine out, and gives its party up: whether there was one `[I1]`.
    fn take_cancel_routine(&self) -> bool {
        // SAFETY: the driver's by this party.
        let taken = unsafe { irp::set_cancel_routine(self.0, None) };
        if taken {
            drop(Self(self.0));
        }
        taken
    }

    fn is_canceled(&self) -> bool {
        // SAFETY: the driver's by this party.
        unsafe { irp::is_canceled(self.0) }
    }

    fn has_ended(&self) -> bool {
        self.shared().parties.load(Ordering::SeqCst) & ENDED != 0
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let shared = self.shared();
        // Release: what the party did to the IRP is seen by the last; Acquire: which is this one.
        if shared.parties.fetch_sub(PARTY, Ordering::AcqRel) & !ENDED != PARTY {
            return;
        }
        // SAFETY: the last party: nobody else has it.
        let handle = unsafe { (*shared.handle.get()).take() };
        // SAFETY: the last party, and the cancel routine's has gone too: it is not set [I1].
        unsafe { irp::complete(self.0) };
        drop(handle);
    }
}

/// DISPATCH_LEVEL, with the cancel spin lock held.
unsafe extern "C" fn cancel_routine(_device: *mut nt::DEVICE_OBJECT, irp: *mut nt::IRP) {
    // SAFETY: called for an IRP of ours, with the lock held.
    unsafe { irp::release_cancel_lock(irp) };
    // The I/O manager has taken the routine out: this is its party [I1].
    let party = Party(irp);
    // SAFETY: written before the routine was set; taken out by the last party, which this one is not yet.
    if let Some(handle) = unsafe { &*party.shared().handle.get() } {
        handle.cancel();
    }
}

pin_project! {
    /// The future of a task that serves an IRP: see [`spawn_irp_task`].
    ///
    /// When it has ended, or is dropped, the request is completed, once nobody cancels it any more.
    pub struct IrpTask<F> {
        // Dropped before the IRP is completed.
        #[pin]
        body: F,
        irp: Serving,
    }
}

struct Serving {
    party: Party,
    outcome: IrpOutcome,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.party.set_outcome(self.outcome);
        self.party.end();
    }
}

impl<F: Future<Output = IrpOutcome>> Future for IrpTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.body.poll(context).map(|outcome| this.irp.outcome = outcome)
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
/// use ntcom_exec::{DpcOptions, IrpOutcome, NTSTATUS, sleep, spawn_irp_task};
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
///     unsafe { spawn_irp_task(irp, body, |task| DpcOptions::new().spawn_cancellable(task)) }.0
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
    // SAFETY: in its dispatch routine, by this function's contract.
    unsafe { irp::mark_pending(irp) };
    // SAFETY: the driver's, by this function's contract.
    let context = unsafe { irp::context(irp) };
    let fresh = Shared { parties: AtomicUsize::new(PARTY), handle: KernelCell::new(None) };
    // SAFETY: nobody else uses the context; it is large enough, and aligned.
    unsafe { context.cast::<Shared>().write(fresh) };
    let party = Party(irp);
    let serving = Serving { party: party.another(), outcome: NTSTATUS::CANCELLED.into() };
    match spawn(IrpTask { body, irp: serving }) {
        Ok(handle) => {
            // SAFETY: before the cancel routine is set, and this party keeps others from taking it.
            unsafe { *party.shared().handle.get() = Some(handle.clone()) };
            party.set_cancel_routine(party.another());
            if party.is_canceled() && party.take_cancel_routine() {
                handle.cancel();
            } else if party.has_ended() {
                party.take_cancel_routine();
            }
        }
        // The future has been dropped, and has said that it was cancelled.
        Err(reason) => party.set_outcome(reason.into()),
    }
    NTSTATUS::PENDING
}
