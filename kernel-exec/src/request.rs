//! A request as a task: the task completes it, and cancelling it cancels the task. For IRPs (`irp.rs`), and for the requests of a framework
//! over them, such as KMDF's.
//!
//! Between the dispatch routine and the completion the request is the driver's, and up to three parties use it: the task, which says what it
//! came to; the dispatch routine, until it has set the cancel routine; and that, while it is set. They are counted in a word that lies
//! in the request's own room, and the last one completes the request.
//!
//! - **I1** Whoever takes the cancel routine out of the request, by an exchange that tells it so, has its party: the I/O manager, which calls it;
//!   the task at its end; or the dispatch routine, when it finds that the request was cancelled before, or that the task has ended before.
//! - **I2** The task says that it has ended before it looks for a cancel routine; the dispatch routine sets the cancel routine before it
//!   looks whether the task has ended: each by a read-modify-write of the word. So the second of the two sees what the first has done before.
//! - **I3** A party uses the request before it gives itself up, not afterwards.

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
    CancelHandle, NTSTATUS,
    sync::{AtomicUsize, KernelCell, Ordering},
};

/// The task has ended.
const ENDED: usize = 1;
/// One party, counted above the flag.
const PARTY: usize = 2;

/// What a request came to: what an IRP's IoStatus says.
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

/// Room in a request for what a task keeps there: four pointers, not initialised.
///
/// ```
/// assert_eq!(size_of::<ntcom_exec::RequestRoom>(), 4 * size_of::<usize>());
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct RequestRoom(MaybeUninit<[usize; WORDS]>);

/// Four; loom's atomics are larger.
const WORDS: usize = size_of::<AtomicUsize>().div_ceil(size_of::<usize>()) + 3;

/// What lies in a request's room.
#[repr(C)]
struct Shared {
    parties: AtomicUsize,
    /// Written by the dispatch routine, before the cancel routine can read it; taken by the last party.
    handle: KernelCell<CancelHandle>,
    /// Written by the task, or by the dispatch routine after the task has gone; read by the last party.
    outcome: KernelCell<IrpOutcome>,
}

const _: () = assert!(size_of::<Shared>() <= size_of::<RequestRoom>());
const _: () = assert!(align_of::<Shared>() <= align_of::<RequestRoom>());

/// A request that a task can serve. [`spawn_irp_task`](crate::spawn_irp_task) does it for IRPs, and `WdfRequest` (feature `kmdf`) for KMDF's
/// requests. What the methods are there:
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
/// 1. `room` is the same memory in each call, is nobody else's, resident, and stays until `complete`.
/// 2. After a `set_cancelable` that answered true, exactly one of these happens before the request is completed: the routine that it has set is called, once, and calls
///    `request_canceled`; or one `take_cancelable` answers true. Without one, or after the one, `take_cancelable` answers false.
/// 3. A write before `set_cancelable` is seen by the routine, and by a `take_cancelable` that answers true.
/// 4. All may be called at ≤ DISPATCH_LEVEL, on any processor.
///
/// ```
/// # use ntcom_exec::{IrpOutcome, Request, RequestRoom};
/// fn serves<R: Request>(request: R) -> *mut RequestRoom {
///     request.room()
/// }
/// ```
pub unsafe trait Request: Copy + Send + 'static {
    /// Where the task keeps what it needs.
    fn room(self) -> *mut RequestRoom;

    /// The dispatch routine will not complete the request.
    ///
    /// # Safety
    /// The driver has the request, in its dispatch routine.
    unsafe fn begin(self);

    /// Cancelling the request is to call the routine: true; or false: it has been cancelled before, and the routine will not be called.
    ///
    /// # Safety
    /// The driver has the request, and it is not cancelable.
    unsafe fn set_cancelable(self) -> bool;

    /// The routine is not to be called any more: true; or false: it has been called, or will be, or was not set.
    ///
    /// # Safety
    /// The driver has the request.
    unsafe fn take_cancelable(self) -> bool;

    /// Completes it: it is not the driver's any more.
    ///
    /// # Safety
    /// The driver has the request, which is not cancelable, and nobody uses it any more.
    unsafe fn complete(self, outcome: IrpOutcome);
}

/// A party of a request that the driver has. Given up when it is dropped.
struct Party<R: Request>(R);

impl<R: Request> Party<R> {
    fn shared(&self) -> &Shared {
        // SAFETY: written by `spawn_request_task` before there was any party; the party keeps it [I3].
        unsafe { &*self.0.room().cast::<Shared>() }
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
        // SAFETY: the task's only, or the dispatch routine's after the task has gone; read by the last party.
        unsafe { self.shared().outcome.get().write(IrpOutcome { status, ..outcome }) };
    }

    /// The task has ended `[I2]`.
    fn end(&self) {
        self.shared().parties.fetch_or(ENDED, Ordering::AcqRel);
        self.take_cancelable();
    }

    /// The task writes the outcome no more.
    fn has_ended(&self) -> bool {
        // No load: that might see what was before the task has looked for the cancel routine [I2].
        self.shared().parties.fetch_or(0, Ordering::AcqRel) & ENDED != 0
    }

    /// Takes the cancel routine out, and gives its party up: whether there was one `[I1]`.
    fn take_cancelable(&self) -> bool {
        // SAFETY: the driver's by this party.
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
        // Release: what the party did to the request is seen by the last; Acquire: which is this one.
        if shared.parties.fetch_sub(PARTY, Ordering::AcqRel) & !ENDED != PARTY {
            return;
        }
        // SAFETY: the last party: nobody else has it.
        let handle = unsafe { shared.handle.get().replace(CancelHandle::inert()) };
        // SAFETY: as above.
        let outcome = unsafe { shared.outcome.get().read() };
        // SAFETY: the last party, and the cancel routine's has gone too: it is not set [I1].
        unsafe { self.0.complete(outcome) };
        drop(handle);
    }
}

/// What the cancel routine of a [`Request`] calls, under no lock, at ≤ DISPATCH_LEVEL. The request may be completed before this returns.
///
/// # Safety
/// Called for a request of a task, in the routine that `set_cancelable` set, once.
///
/// ```
/// # use ntcom_exec::Request;
/// /// KMDF's EvtRequestCancel, for a request type of the driver's.
/// fn evt_request_cancel<R: Request>(request: R) {
///     // SAFETY: in the cancel routine of a request that a task serves.
///     unsafe { ntcom_exec::request_canceled(request) }
/// }
/// ```
pub unsafe fn request_canceled<R: Request>(request: R) {
    // Whoever called has taken the routine out: this is its party [I1].
    let party = Party(request);
    // SAFETY: written before the routine was set; taken out by the last party, which this one is not yet.
    let handle = unsafe { &*party.shared().handle.get() };
    handle.cancel();
}

pin_project! {
    /// The future of a task that serves a request: see [`spawn_irp_task`](crate::spawn_irp_task).
    ///
    /// When it has ended, or is dropped, the request is completed, once nobody cancels it any more.
    ///
    /// ```
    /// use ntcom_exec::{CancelHandle, IrpOutcome, NTSTATUS, Request, RequestTask, TaskBuilder};
    ///
    /// /// How this driver spawns what serves its requests.
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

/// Serves a request by a task, as [`spawn_irp_task`](crate::spawn_irp_task) does an IRP: for the requests of a framework. The request is completed, now or
/// later, whatever happens.
///
/// # Safety
/// The driver has been given the request, has not passed it on, made it cancelable or completed it, and leaves it to this.
///
/// ```
/// use ntcom_exec::{IrpOutcome, NTSTATUS, Request, TaskBuilder, spawn_request_task};
///
/// /// KMDF's EvtIoRead, for a request type of the driver's.
/// fn evt_io_read<R: Request>(request: R) {
///     let body = async { IrpOutcome::from(NTSTATUS::SUCCESS) };
///     // SAFETY: a new request, of which this is the last use.
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
    // SAFETY: in its dispatch routine, by this function's contract.
    unsafe { request.begin() };
    let fresh = Shared {
        parties: AtomicUsize::new(PARTY),
        handle: KernelCell::new(CancelHandle::inert()),
        outcome: KernelCell::new(NTSTATUS::CANCELLED.into()),
    };
    // SAFETY: nobody else uses the room; it is large enough, and aligned.
    unsafe { request.room().cast::<Shared>().write(fresh) };
    let party = Party(request);
    let serving = Serving { party: party.another(), outcome: NTSTATUS::CANCELLED.into() };
    match spawn(RequestTask { body, serving }) {
        Ok(handle) => {
            // SAFETY: before the cancel routine is set, and this party keeps others from taking it.
            unsafe { *party.shared().handle.get() = handle.clone() };
            let of_routine = ManuallyDrop::new(party.another());
            // SAFETY: the driver's by this party, and not cancelable yet.
            if unsafe { request.set_cancelable() } {
                if party.has_ended() {
                    party.take_cancelable();
                }
            } else {
                drop(ManuallyDrop::into_inner(of_routine));
                handle.cancel();
            }
        }
        // The future has been dropped, and has said that it was cancelled. Where `spawn` has kept it all the same, it says what it comes to.
        Err(reason) if party.has_ended() => party.set_outcome(reason.into()),
        Err(_) => {}
    }
}
