//! Requests that tasks serve. Such a task completes its request, and is cancelled with it. The
//! requests are IRPs (`irp.rs`), and the requests of a framework over them, such as KMDF's.
//!
//! Between the dispatch routine and the completion the driver has the request, and up to three
//! references to it exist. The task owns one to give its outcome, the dispatch routine one until it
//! has set the cancel routine, and the cancel routine one while it is set. A word in the request's
//! own storage counts them, and the drop of the last one completes the request.
//!
//! - **I1** The code that takes the cancel routine out of the request, by an exchange that tells it
//!   so, owns the reference of that routine. It is the I/O manager, which calls the routine, or the
//!   task at its end. Or it is the dispatch routine, when it finds that the request was cancelled
//!   before or that the task has ended before.
//! - **I2** The task marks itself ended before it looks for a cancel routine. The dispatch routine
//!   sets the cancel routine before it checks whether the task has ended. Each does this by a
//!   read-modify-write of the word, so the second of the two sees what the first did before.
//! - **I3** The owner of a reference uses the request only until it gives the reference up.

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
/// One reference, counted above the flag.
const REFERENCE: usize = 2;

/// The outcome of a request, which becomes the IoStatus of an IRP.
///
/// ```
/// use ntcom_exec::{IrpOutcome, NTSTATUS};
/// let read = IrpOutcome { status: NTSTATUS::SUCCESS, information: 512 };
/// assert_eq!(IrpOutcome::from(NTSTATUS::CANCELLED), IrpOutcome { status: NTSTATUS::CANCELLED, information: 0 });
/// # drop(read);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IrpOutcome {
    /// The final status. `STATUS_PENDING` is not final, and is completed as
    /// `STATUS_DRIVER_INTERNAL_ERROR`.
    pub status: NTSTATUS,
    /// The information that belongs to the status, mostly the number of bytes transferred.
    pub information: usize,
}

impl From<NTSTATUS> for IrpOutcome {
    fn from(status: NTSTATUS) -> Self {
        Self { status, information: 0 }
    }
}

/// Storage in a request for the data of its task. It is four pointers, which are not initialised.
#[repr(transparent)]
#[derive(Debug)]
pub struct RequestStorage(MaybeUninit<[usize; WORDS]>);

/// Four words; loom's atomics are larger.
const WORDS: usize = size_of::<AtomicUsize>().div_ceil(size_of::<usize>()) + 3;

/// The contents of a request's storage.
#[repr(C)]
struct Shared {
    references: AtomicUsize,
    /// Written by the dispatch routine before the cancel routine can read it, and taken by the last
    /// reference.
    handle: KernelCell<CancelHandle>,
    /// Written by the task, or by the dispatch routine after the task has gone, and read by the
    /// last reference.
    outcome: KernelCell<IrpOutcome>,
}

const _: () = assert!(size_of::<Shared>() <= size_of::<RequestStorage>());
const _: () = assert!(align_of::<Shared>() <= align_of::<RequestStorage>());

/// A request that a task can serve.
///
/// [`spawn_irp_task`](crate::spawn_irp_task) serves IRPs with it, and `WdfRequest` (feature `kmdf`)
/// is the implementation for KMDF's requests. The methods have these implementations there:
///
/// | method | for a WDFREQUEST |
/// |---|---|
/// | `storage` | in a context that the driver configures for its requests |
/// | `begin` | nothing |
/// | `set_cancel_routine` | `WdfRequestMarkCancelableEx` with a routine that calls [`request_cancelled`]; false where it answers STATUS_CANCELLED |
/// | `clear_cancel_routine` | `WdfRequestUnmarkCancelable`; false where it answers STATUS_CANCELLED, or nothing was set |
/// | `complete` | `WdfRequestCompleteWithInformation` |
///
/// # Safety
/// 1. `storage` returns the same memory in each call. The memory belongs to this request only, is
///    resident, and stays until `complete`.
/// 2. After a `set_cancel_routine` that returned true, exactly one of two things happens before the
///    request is completed. Either the routine that it set is called, once, and calls
///    `request_cancelled`, or one `clear_cancel_routine` returns true. Before such a
///    `set_cancel_routine`, and after either of the two, `clear_cancel_routine` returns false.
/// 3. A write before `set_cancel_routine` is seen by the routine, and by a `clear_cancel_routine`
///    that returns true.
/// 4. All methods may be called at ≤ DISPATCH_LEVEL, on any processor.
pub unsafe trait Request: Copy + Send + 'static {
    /// Returns the storage for the task's data.
    fn storage(self) -> *mut RequestStorage;

    /// Promises that the dispatch routine will not complete the request.
    ///
    /// # Safety
    /// The driver has the request, in its dispatch routine.
    unsafe fn begin(self);

    /// Sets the cancel routine. Returns true if cancelling the request will call the routine. False
    /// means that the request was cancelled before and that the routine will not be called.
    ///
    /// # Safety
    /// The driver has the request, and it is not cancellable.
    unsafe fn set_cancel_routine(self) -> bool;

    /// Takes the cancel routine out. Returns true if the routine will not be called any more. False
    /// means that it has been called, or will be, or was not set.
    ///
    /// # Safety
    /// The driver has the request.
    unsafe fn clear_cancel_routine(self) -> bool;

    /// Completes the request, which the driver has no longer afterwards.
    ///
    /// # Safety
    /// The driver has the request, it is not cancellable, and no code uses it any more.
    unsafe fn complete(self, outcome: IrpOutcome);
}

/// A counted reference to a request that the driver has. Its drop gives it up.
struct RequestRef<R: Request>(R);

impl<R: Request> RequestRef<R> {
    fn shared(&self) -> &Shared {
        // SAFETY: `spawn_request_task` wrote it before there was any reference, and this one keeps
        // the request [I3].
        unsafe { &*self.0.storage().cast::<Shared>() }
    }

    /// Adds one reference.
    fn another(&self) -> Self {
        self.shared().references.fetch_add(REFERENCE, Ordering::Relaxed);
        Self(self.0)
    }

    fn set_outcome(&self, outcome: IrpOutcome) {
        let status = match outcome.status {
            NTSTATUS::PENDING => NTSTATUS::DRIVER_INTERNAL_ERROR,
            status => status,
        };
        // SAFETY: only the task writes it, or the dispatch routine after the task has gone; the
        // last reference reads it.
        unsafe { self.shared().outcome.get().write(IrpOutcome { status, ..outcome }) };
    }

    /// Marks the task as ended `[I2]`.
    fn end(&self) {
        self.shared().references.fetch_or(ENDED, Ordering::AcqRel);
        self.clear_cancel_routine();
    }

    /// Tells whether the task has ended, so that it no longer writes the outcome.
    fn has_ended(&self) -> bool {
        // Not a load, which might see the state before the task has looked for the cancel routine
        // [I2].
        self.shared().references.fetch_or(0, Ordering::AcqRel) & ENDED != 0
    }

    /// Takes the cancel routine out and gives its reference up. Returns whether there was one
    /// `[I1]`.
    fn clear_cancel_routine(&self) -> bool {
        // SAFETY: this reference keeps the request the driver's.
        let taken = unsafe { self.0.clear_cancel_routine() };
        if taken {
            drop(Self(self.0));
        }
        taken
    }
}

impl<R: Request> Drop for RequestRef<R> {
    fn drop(&mut self) {
        let shared = self.shared();
        // Release publishes what this owner did to the request, and Acquire shows it to the last
        // reference.
        if shared.references.fetch_sub(REFERENCE, Ordering::AcqRel) & !ENDED != REFERENCE {
            return;
        }
        // SAFETY: this is the last reference, so no other code has the storage.
        let handle = unsafe { shared.handle.get().replace(CancelHandle::inert()) };
        // SAFETY: this is the last reference, so no other code has the storage.
        let outcome = unsafe { shared.outcome.get().read() };
        // SAFETY: this is the last reference, so the cancel routine's reference is gone and the
        // routine is not set [I1].
        unsafe { self.0.complete(outcome) };
        drop(handle);
    }
}

/// Cancels the task of a request, from the cancel routine of a [`Request`].
///
/// The routine calls it without a lock, at ≤ DISPATCH_LEVEL. The request may be completed before
/// this returns.
///
/// # Safety
/// The caller is the routine that `set_cancel_routine` set for a request of a task. It calls this
/// once.
///
/// ```
/// # use ntcom_exec::Request;
/// /// The EvtRequestCancel callback of KMDF, for a request type of the driver.
/// fn evt_request_cancel<R: Request>(request: R) {
///     // SAFETY: this is the cancel routine of a request that a task serves.
///     unsafe { ntcom_exec::request_cancelled(request) }
/// }
/// ```
pub unsafe fn request_cancelled<R: Request>(request: R) {
    // The caller has taken the routine out, so this is the routine's reference [I1].
    let reference = RequestRef(request);
    // SAFETY: the handle was written before the routine was set; the last reference takes it out,
    // and this reference is still there.
    let handle = unsafe { &*reference.shared().handle.get() };
    handle.cancel();
}

pin_project! {
    /// The future of a task that serves a request (see [`spawn_irp_task`](crate::spawn_irp_task)).
    ///
    /// When it has ended or is dropped, the request is completed as soon as no cancel routine can
    /// use it any more.
    ///
    /// ```
    /// use ntcom_exec::{CancelHandle, IrpOutcome, NTSTATUS, Request, RequestTask, TaskBuilder};
    ///
    /// /// Spawns the task of a request, as this driver wants it.
    /// fn spawn<R, F>(task: RequestTask<R, F>) -> Result<CancelHandle, NTSTATUS>
    /// where
    ///     R: Request,
    ///     F: Future<Output = IrpOutcome> + Send + 'static,
    /// {
    ///     TaskBuilder::new().spawn(task)
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
    reference: RequestRef<R>,
    outcome: IrpOutcome,
}

impl<R: Request> Drop for Serving<R> {
    fn drop(&mut self) {
        self.reference.set_outcome(self.outcome);
        self.reference.end();
    }
}

impl<R: Request, F: Future<Output = IrpOutcome>> Future for RequestTask<R, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.body.poll(context).map(|outcome| this.serving.outcome = outcome)
    }
}

/// Serves a request of a framework by a task, as [`spawn_irp_task`](crate::spawn_irp_task) does for
/// an IRP.
///
/// In every case the request is completed, now or later. IRQL: that of `spawn`, mostly
/// ≤ DISPATCH_LEVEL.
///
/// # Safety
/// The driver has been given the request, and has not passed it on, made it cancellable or
/// completed it. It leaves the request to this function.
///
/// ```
/// use ntcom_exec::{IrpOutcome, NTSTATUS, Request, TaskBuilder, spawn_request_task};
///
/// /// The EvtIoRead callback of KMDF, for a request type of the driver.
/// fn evt_io_read<R: Request>(request: R) {
///     let body = async { IrpOutcome::from(NTSTATUS::SUCCESS) };
///     // SAFETY: the request is new, and this is its last use.
///     unsafe { spawn_request_task(request, body, |task| TaskBuilder::new().spawn(task)) }
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
        references: AtomicUsize::new(REFERENCE),
        handle: KernelCell::new(CancelHandle::inert()),
        outcome: KernelCell::new(NTSTATUS::CANCELLED.into()),
    };
    // SAFETY: no other code uses the storage, which is large enough and aligned.
    unsafe { request.storage().cast::<Shared>().write(fresh) };
    let reference = RequestRef(request);
    let serving = Serving { reference: reference.another(), outcome: NTSTATUS::CANCELLED.into() };
    match spawn(RequestTask { body, serving }) {
        Ok(handle) => {
            // SAFETY: the cancel routine is not set yet, and this reference keeps the last
            // reference from taking the handle.
            unsafe { *reference.shared().handle.get() = handle.clone() };
            let of_routine = ManuallyDrop::new(reference.another());
            // SAFETY: this reference keeps the request the driver's, and it is not cancellable yet.
            if unsafe { request.set_cancel_routine() } {
                if reference.has_ended() {
                    reference.clear_cancel_routine();
                }
            } else {
                drop(ManuallyDrop::into_inner(of_routine));
                handle.cancel();
            }
        }
        // `spawn` has dropped the future, which stored the outcome CANCELLED, so the reason
        // replaces it. If `spawn` kept the future all the same, the future gives the outcome.
        Err(reason) if reference.has_ended() => reference.set_outcome(reason.into()),
        Err(_) => {}
    }
}
