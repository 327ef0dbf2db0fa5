//! A request as a task, which completes the request and is cancelled with it. It serves IRPs
//! (`irp.rs`), and the requests of a framework over them, such as KMDF's.
//!
//! Between the dispatch routine and the completion the driver has the request, and up to three
//! parties use it. The task uses it to give its outcome, the dispatch routine until it has set the
//! cancel routine, and the cancel routine while it is set. A word in the request's own storage
//! counts them, and the last one completes the request.
//!
//! - **I1** The party that takes the cancel routine out of the request, by an exchange that tells
//!   it so, owns the party of that routine. It is the I/O manager, which calls the routine, or the
//!   task at its end. Or it is the dispatch routine, when it finds that the request was cancelled
//!   before or that the task has ended before.
//! - **I2** The task marks itself ended before it looks for a cancel routine. The dispatch routine
//!   sets the cancel routine before it checks whether the task has ended. Each does this by a
//!   read-modify-write of the word, so the second of the two sees what the first did before.
//! - **I3** A party uses the request only until it gives itself up.

#[cfg(all(test, loom))]
mod loom_tests;

use core::{
    future::Future,
    mem::{ManuallyDrop, MaybeUninit},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    status::NTSTATUS,
    sync::{AtomicUsize, KernelCell, Ordering},
    task::CancelHandle,
};

/// The task has ended.
const ENDED: usize = 1;
/// One party, counted above the flag.
const PARTY: usize = 2;

/// The outcome of a request, as the IoStatus of an IRP gives it.
///
/// ```
/// use ntcom_exec::{IrpOutcome, NTSTATUS};
/// let read = IrpOutcome { status: NTSTATUS::SUCCESS, information: 512 };
/// assert_eq!(IrpOutcome::from(NTSTATUS::CANCELLED), IrpOutcome { status: NTSTATUS::CANCELLED, information: 0 });
/// # drop(read);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IrpOutcome {
    /// The status. STATUS_PENDING is not a final status, and is completed as
    /// `STATUS_DRIVER_INTERNAL_ERROR`.
    pub status: NTSTATUS,
    /// Further information, mostly the number of bytes transferred.
    pub information: usize,
}

impl From<NTSTATUS> for IrpOutcome {
    fn from(status: NTSTATUS) -> Self {
        Self { status, information: 0 }
    }
}

/// Storage in a request for the data of its task. It is four pointers, not initialised.
///
/// ```
/// assert_eq!(size_of::<ntcom_exec::RequestRoom>(), 4 * size_of::<usize>());
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct RequestRoom(MaybeUninit<[usize; WORDS]>);

/// Four words; loom's atomics are larger.
const WORDS: usize = size_of::<AtomicUsize>().div_ceil(size_of::<usize>()) + 3;

/// The contents of a request's storage.
#[repr(C)]
struct Shared {
    parties: AtomicUsize,
    /// Written by the dispatch routine before the cancel routine can read it, and taken by the last
    /// party.
    handle: KernelCell<CancelHandle>,
    /// Written by the task, or by the dispatch routine after the task has gone, and read by the
    /// last party.
    outcome: KernelCell<IrpOutcome>,
}

const _: () = assert!(size_of::<Shared>() <= size_of::<RequestRoom>());
const _: () = assert!(align_of::<Shared>() <= align_of::<RequestRoom>());

/// A request that a task can serve. [`spawn_irp_task`](crate::spawn_irp_task) serves IRPs with it,
/// and `WdfRequest` (feature `kmdf`) is the implementation for KMDF's requests. The methods have
/// these implementations there:
///
/// | method | for a WDFREQUEST |
/// |---|---|
/// | `room` | in a context that the driver configures for its requests |
/// | `begin` | nothing |
/// | `set_cancelable` | `WdfRequestMarkCancelableEx` with a routine that calls [`request_canceled`]; false where it answers STATUS_CANCELLED |
/// | `take_cancelable` | `WdfRequestUnmarkCancelable`; false where it answers STATUS_CANCELLED, or nothing was set |
/// | `complete` | `WdfRequestCompleteWithInformation` |
///
/// # Safety
/// 1. `room` returns the same memory in each call. The memory belongs to this request only, is
///    resident, and stays until `complete`.
/// 2. After a `set_cancelable` that returned true, exactly one of two things happens before the
///    request is completed. Either the routine that it set is called, once, and calls
///    `request_canceled`, or one `take_cancelable` returns true. Before such a `set_cancelable`,
///    and after either of the two, `take_cancelable` returns false.
/// 3. A write before `set_cancelable` is seen by the routine, and by a `take_cancelable` that
///    returns true.
/// 4. All methods may be called at ≤ DISPATCH_LEVEL, on any processor.
///
/// ```
/// # use ntcom_exec::{IrpOutcome, Request, RequestRoom};
/// fn serves<R: Request>(request: R) -> *mut RequestRoom {
///     request.room()
/// }
/// ```
pub unsafe trait Request: Copy + Send + 'static {
    /// Returns the storage for the task's data.
    fn room(self) -> *mut RequestRoom;

    /// Promises that the dispatch routine will not complete the request.
    ///
    /// # Safety
    /// The driver has the request, in its dispatch routine.
    unsafe fn begin(self);

    /// Sets the cancel routine. Returns true if cancelling the request will call the routine. False
    /// means that the request was cancelled before and that the routine will not be called.
    ///
    /// # Safety
    /// The driver has the request, and it is not cancelable.
    unsafe fn set_cancelable(self) -> bool;

    /// Takes the cancel routine out. Returns true if the routine will not be called any more. False
    /// means that it has been called, or will be, or was not set.
    ///
    /// # Safety
    /// The driver has the request.
    unsafe fn take_cancelable(self) -> bool;

    /// Completes the request, which the driver has no longer afterwards.
    ///
    /// # Safety
    /// The driver has the request, it is not cancelable, and no code uses it any more.
    unsafe fn complete(self, outcome: IrpOutcome);
}

/// A counted reference to a request that the driver has. Its drop gives it up.
struct Party<R: Request>(R);

impl<R: Request> Party<R> {
    fn shared(&self) -> &Shared {
        // SAFETY: `spawn_request_task` wrote it before there was any party, and this party keeps
        // the request [I3].
        unsafe { &*self.0.room().cast::<Shared>() }
    }

    /// Adds one party.
    fn another(&self) -> Self {
        self.shared().parties.fetch_add(PARTY, Ordering::Relaxed);
        Self(self.0)
    }

    fn set_outcome(&self, outcome: IrpOutcome) {
        let status = match outcome.status {
            NTSTATUS::PENDING => NTSTATUS::DRIVER_INTERNAL_ERROR,
            status => status,
        };
        // SAFETY: only the task writes it, or the dispatch routine after the task has gone; the
        // last party reads it.
        unsafe { self.shared().outcome.get().write(IrpOutcome { status, ..outcome }) };
    }

    /// Marks the task as ended `[I2]`.
    fn end(&self) {
        self.shared().parties.fetch_or(ENDED, Ordering::AcqRel);
        self.take_cancelable();
    }

    /// Tells whether the task has ended, so that it no longer writes the outcome.
    fn has_ended(&self) -> bool {
        // Not a load, which might see the state before the task has looked for the cancel routine
        // [I2].
        self.shared().parties.fetch_or(0, Ordering::AcqRel) & ENDED != 0
    }

    /// Takes the cancel routine out and gives its party up. Returns whether there was one `[I1]`.
    fn take_cancelable(&self) -> bool {
        // SAFETY: this party keeps the request the driver's.
        let taken = unsafe { self.0.take_cancelable() };
        if taken {
            drop(Self(self.0));
        }
        taken
    }
}

impl<R: Request> Drop for Party<R> {
    fn drop(&mut self) {
        let shared = self.shared();
        // Release publishes what this party did to the request, and Acquire shows it to the last
        // party.
        if shared.parties.fetch_sub(PARTY, Ordering::AcqRel) & !ENDED != PARTY {
            return;
        }
        // SAFETY: this is the last party, so no other code has the storage.
        let handle = unsafe { shared.handle.get().replace(CancelHandle::inert()) };
        // SAFETY: this is the last party, so no other code has the storage.
        let outcome = unsafe { shared.outcome.get().read() };
        // SAFETY: this is the last party, so the cancel routine's party is gone and the routine is
        // not set [I1].
        unsafe { self.0.complete(outcome) };
        drop(handle);
    }
}

/// Cancels the task of a request, from the cancel routine of a [`Request`]. The routine calls it
/// without a lock, at ≤ DISPATCH_LEVEL. The request may be completed before this returns.
///
/// # Safety
/// Called for a request of a task, in the routine that `set_cancelable` set, once.
///
/// ```
/// # use ntcom_exec::Request;
/// /// The EvtRequestCancel callback of KMDF, for a request type of the driver.
/// fn evt_request_cancel<R: Request>(request: R) {
///     // SAFETY: this is the cancel routine of a request that a task serves.
///     unsafe { ntcom_exec::request_canceled(request) }
/// }
/// ```
pub unsafe fn request_canceled<R: Request>(request: R) {
    // The caller has taken the routine out, so this is the routine's party [I1].
    let party = Party(request);
    // SAFETY: the handle was written before the routine was set; the last party takes it out, and
    // this party is still there.
    let handle = unsafe { &*party.shared().handle.get() };
    handle.cancel();
}

pin_project! {
    /// The future of a task that serves a request: see [`spawn_irp_task`](crate::spawn_irp_task).
    ///
    /// When it has ended, or is dropped, the request is completed, as soon as no party is left that
    /// cancels it.
    ///
    /// ```
    /// use ntcom_exec::{CancelHandle, DpcOptions, IrpOutcome, NTSTATUS, Request, RequestTask};
    ///
    /// /// Spawns the task of a request, as this driver wants it.
    /// fn spawn<R, F>(task: RequestTask<R, F>) -> Result<CancelHandle, NTSTATUS>
    /// where
    ///     R: Request,
    ///     F: Future<Output = IrpOutcome> + Send + 'static,
    /// {
    ///     DpcOptions::new().spawn_cancellable(task)
    /// }
    /// # let _ = spawn::<ntcom_exec::Irp, core::future::Pending<IrpOutcome>>;
    /// ```
    pub struct RequestTask<R: Request, F> {
        // Dropped before the request is completed.
        #[pin]
        body: F,
        serving: Serving<R>,
    }
}

struct Serving<R: Request> {
    party: Party<R>,
    outcome: IrpOutcome,
}

impl<R: Request> Drop for Serving<R> {
    fn drop(&mut self) {
        self.party.set_outcome(self.outcome);
        self.party.end();
    }
}

impl<R: Request, F: Future<Output = IrpOutcome>> Future for RequestTask<R, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.body.poll(context).map(|outcome| this.serving.outcome = outcome)
    }
}

/// Serves a request by a task, as [`spawn_irp_task`](crate::spawn_irp_task) does for an IRP. It is
/// for the requests of a framework. In every case the request is completed, now or later.
///
/// # Safety
/// The driver has been given the request, and has not passed it on, made it cancelable or completed
/// it. It leaves the request to this function.
///
/// ```
/// use ntcom_exec::{DpcOptions, IrpOutcome, NTSTATUS, Request, spawn_request_task};
///
/// /// The EvtIoRead callback of KMDF, for a request type of the driver.
/// fn evt_io_read<R: Request>(request: R) {
///     let body = async { IrpOutcome::from(NTSTATUS::SUCCESS) };
///     // SAFETY: the request is new, and this is its last use.
///     unsafe { spawn_request_task(request, body, |task| DpcOptions::new().spawn_cancellable(task)) }
/// }
/// ```
pub unsafe fn spawn_request_task<R, F>(
    request: R,
    body: F,
    spawn: impl FnOnce(RequestTask<R, F>) -> Result<CancelHandle, NTSTATUS>,
) where
    R: Request,
    F: Future<Output = IrpOutcome> + Send + 'static,
{
    // SAFETY: the caller has the request, in its dispatch routine.
    unsafe { request.begin() };
    let fresh = Shared {
        parties: AtomicUsize::new(PARTY),
        handle: KernelCell::new(CancelHandle::inert()),
        outcome: KernelCell::new(NTSTATUS::CANCELLED.into()),
    };
    // SAFETY: no other code uses the storage, which is large enough and aligned.
    unsafe { request.room().cast::<Shared>().write(fresh) };
    let party = Party(request);
    let serving = Serving { party: party.another(), outcome: NTSTATUS::CANCELLED.into() };
    match spawn(RequestTask { body, serving }) {
        Ok(handle) => {
            // SAFETY: the cancel routine is not set yet, and this party keeps the last party from
            // taking the handle.
            unsafe { *party.shared().handle.get() = handle.clone() };
            let of_routine = ManuallyDrop::new(party.another());
            // SAFETY: this party keeps the request the driver's, and it is not cancelable yet.
            if unsafe { request.set_cancelable() } {
                if party.has_ended() {
                    party.take_cancelable();
                }
            } else {
                drop(ManuallyDrop::into_inner(of_routine));
                handle.cancel();
            }
        }
        // `spawn` has dropped the future, which stored the outcome CANCELLED, so the reason
        // replaces it. If `spawn` kept the future all the same, the future gives the outcome.
        Err(reason) if party.has_ended() => party.set_outcome(reason.into()),
        Err(_) => {}
    }
}
