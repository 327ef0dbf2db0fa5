//! What every task has, whatever its body: the header, and the pointer to it.

use core::{
    ffi::c_void,
    ptr::NonNull,
    task::{Context, Poll},
};

use super::state::{Publish, Release, State, Status, Wake};
use crate::{
    NTSTATUS, nt,
    sync::{Hint, UnsafeCell},
};

/// How a task gets a processor, and what it keeps in its block for that (such as a KDPC).
///
/// # Safety
/// An implementer runs a task once, with `run`, for each `schedule` and each `defer` that it was given, and for a `launch`
/// that it accepted. What it is queued with is touched at no other time than between one of these and the run, and in `ended`; what else is in
/// its storage is under a lock of its own, and in no list after `ended` and the run.
pub unsafe trait Port: Sized + 'static {
    /// Where the runs of its tasks are.
    const LEVEL: Level = Level::Dispatch;

    /// The storage, before [`launch`](Self::launch).
    fn new() -> Self;

    /// Takes a new task, scheduled, or refuses it.
    ///
    /// # Errors
    /// Why it is refused. Nothing of the task may be kept then.
    ///
    /// # Safety
    /// `port` is the storage in the block of `task`, which is in its final place and nobody else's yet.
    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS>;

    /// Queues the task. Called at ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `port` is the storage in the block of `task`, and a step obliged the caller to this `[T3]`.
    unsafe fn schedule(task: TaskPtr, port: NonNull<Self>);

    /// Lets a task whose poll budget is spent go on after others have had their turn. Called in the run.
    ///
    /// # Safety
    /// As for [`schedule`](Self::schedule).
    unsafe fn defer(task: TaskPtr, port: NonNull<Self>);

    /// The body is gone and the status is about to become terminal. Called in the run, once.
    ///
    /// # Safety
    /// `port` is the storage in the block of `task`; the caller is the poller.
    unsafe fn ended(task: TaskPtr, port: NonNull<Self>);
}

/// At which IRQL the runs of a task are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// DISPATCH_LEVEL.
    Dispatch,
    /// PASSIVE_LEVEL.
    Passive,
    /// PASSIVE_LEVEL while its body wants that, else DISPATCH_LEVEL.
    Moving,
}

/// The functions that know a task's types.
pub(super) struct Vtable {
    /// Polls the body; at Ready the body is dropped, and the value written if there is one. Poller only.
    pub(super) poll: unsafe fn(TaskPtr, &mut Context<'_>) -> Poll<Result<(), NTSTATUS>>,
    /// Drops the body. Poller only, once.
    pub(super) drop_body: unsafe fn(TaskPtr),
    /// Frees the block of a finished task. The count is zero.
    pub(super) free: unsafe fn(TaskPtr),
    /// [`Port::schedule`].
    pub(super) schedule: unsafe fn(TaskPtr),
    /// [`Port::defer`].
    pub(super) defer: unsafe fn(TaskPtr),
    /// [`Port::ended`].
    pub(super) ended: unsafe fn(TaskPtr),
    /// [`Port::LEVEL`].
    pub(super) level: Level,
}

/// What runs once when a task has ended: a function and what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// Called with the context and the terminal [`Status`] as a number. IRQL: ≤ DISPATCH_LEVEL.
    pub function: unsafe extern "system" fn(context: *mut c_void, status: i32),
    /// Handed to the function.
    pub context: *mut c_void,
}

/// What the poller keeps from one poll to the next.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Polling {
    /// Cleanups that have begun and not ended.
    pub(super) cleanups: u32,
    /// A poll has been shown a cancel request, or the body has taken one.
    pub(super) cancel_seen: bool,
    /// How many parts of the body want to be polled at PASSIVE_LEVEL. Read, besides, by whoever has to queue the task: after the step
    /// that obliged him to, and before the run.
    pub(super) passives: u32,
}

/// The part of a block that does not depend on its types. Only ever behind a [`TaskPtr`].
pub struct Header {
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    /// The poller's `[T2]`; one count in it is read by whoever has to queue the task: see [`Polling`].
    pub(super) polling: UnsafeCell<Polling>,
    /// What is left of its poll's [share](super::share). Any code with a waker may touch it.
    pub(super) units: Hint,
    /// What a Canceled or Error task answers. Poller until the end, then read-only `[T4]`.
    pub(super) stored: UnsafeCell<NTSTATUS>,
    /// `[T7]`
    pub(super) completion: UnsafeCell<Option<Completion>>,
}

impl Header {
    pub(super) fn new(state: State, vtable: &'static Vtable, stored: NTSTATUS) -> Self {
        Self {
            state,
            vtable,
            polling: UnsafeCell::new(Polling::default()),
            units: Hint::new(0),
            stored: UnsafeCell::new(stored),
            completion: UnsafeCell::new(None),
        }
    }
}

/// A pointer to a task, without ownership: it is for holding a reference by hand, as COM does.
///
/// Every method needs a task that is still allocated: the caller has a reference `[T1]`. All may be called at
/// ≤ DISPATCH_LEVEL, and none runs user code but [`set_completion`](Self::set_completion).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskPtr(pub(crate) NonNull<Header>);

impl TaskPtr {
    /// # Safety
    /// The task is allocated for as long as the result is used.
    pub(super) const unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: allocated, by this function's contract; everything that changes is behind a cell.
        unsafe { self.0.as_ref() }
    }

    /// The word, for steps that may give up the reference.
    pub(super) fn state(self) -> NonNull<State> {
        let header = self.0.as_ptr();
        // SAFETY: a field of an allocated header; no reference is made [T8].
        let state = unsafe { &raw mut (*header).state };
        // SAFETY: a field's address is not null.
        unsafe { NonNull::new_unchecked(state) }
    }

    /// # Safety
    /// A step obliged the caller to queue the task.
    pub(super) unsafe fn schedule(self) {
        // SAFETY: the queue's reference, which the caller hands over, keeps the block.
        let schedule = unsafe { self.header() }.vtable.schedule;
        // SAFETY: by this function's contract.
        unsafe { schedule(self) }
    }

    /// # Safety
    /// A step obliged the caller to free the block.
    pub(super) unsafe fn free(self) {
        // SAFETY: nobody else has it, and it is not freed yet.
        let free = unsafe { self.header() }.vtable.free;
        // SAFETY: by this function's contract.
        unsafe { free(self) }
    }

    /// # Safety
    /// `duty` came from a step of this task, just now.
    pub(super) unsafe fn settle(self, duty: Wake) {
        match duty {
            Wake::Nothing => {}
            // SAFETY: the step's duty.
            Wake::Schedule => unsafe { self.schedule() },
            // SAFETY: the step's duty.
            Wake::Free => unsafe { self.free() },
        }
    }

    /// One more reference. Returns the new count, of which only zero or not means anything `[C3]`. Fails fast at half range.
    ///
    /// # Safety
    /// The caller has a reference.
    pub unsafe fn add_reference(self) -> usize {
        // SAFETY: the caller's reference.
        unsafe { self.header() }.state.add_reference()
    }

    /// Gives up a reference. Returns what is left: zero only if the task is gone. Releasing is not cancelling: see `[C9]` for what
    /// the last reference of an unfinished task does.
    ///
    /// # Safety
    /// The caller has a reference, which is gone afterwards.
    pub unsafe fn release(self) -> usize {
        // SAFETY: the caller's reference.
        match unsafe { State::release(self.state()) } {
            Release::Alive(count) => count,
            Release::Free => {
                // SAFETY: the step's duty.
                unsafe { self.free() };
                0
            }
            Release::Schedule => {
                // SAFETY: the step's duty.
                unsafe { self.schedule() };
                1
            }
        }
    }

    /// Asks the task to stop `[C10]`: harmless after the end, a no-op while a request is pending.
    ///
    /// # Safety
    /// The caller has a reference, or holds what keeps the task from ending.
    pub unsafe fn cancel(self) {
        nt::check_wake(self.0.as_ptr().cast_const().cast());
        // SAFETY: the caller's reference.
        let duty = unsafe { self.header() }.state.request_cancel();
        // SAFETY: the step's duty.
        unsafe { self.settle(duty) }
    }

    /// How far the task is: one load.
    ///
    /// # Safety
    /// The caller has a reference.
    #[must_use]
    pub unsafe fn status(self) -> Status {
        // SAFETY: the caller's reference.
        unsafe { self.header() }.state.status()
    }

    /// The stored status of a task that has ended: SUCCESS when Completed.
    ///
    /// # Safety
    /// The caller has a reference and has seen a terminal status.
    #[must_use]
    pub unsafe fn stored_status(self) -> NTSTATUS {
        // SAFETY: the caller's reference.
        let header = unsafe { self.header() };
        // SAFETY: nobody writes it after the end, which the caller has seen [T4].
        header.stored.with(|stored| unsafe { *stored })
    }

    /// Sets what runs when the task has ended: now, if it already has `[C14]`.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_STATE`: there is one already.
    ///
    /// # Safety
    /// The caller has a reference. The completion's function may be called, once, with its context, on any processor.
    pub unsafe fn set_completion(self, completion: Completion) -> Result<(), NTSTATUS> {
        // SAFETY: the caller's reference.
        let header = unsafe { self.header() };
        if !header.state.claim_handler() {
            return Err(NTSTATUS::INVALID_DEVICE_STATE);
        }
        // SAFETY: the claim is ours alone, and nobody reads before it is published [T7].
        header.completion.with_mut(|slot| unsafe { *slot = Some(completion) });
        match header.state.publish_handler() {
            Publish::Later => {}
            // SAFETY: published, ended, and the step took a reference for this.
            Publish::RunNow => unsafe { self.run_completion() },
        }
        Ok(())
    }

    /// Runs the completion handler, then gives up the reference that was kept for it.
    ///
    /// # Safety
    /// The caller took the second of the steps "ready" and "terminal" `[T7]` and owns a reference.
    pub(super) unsafe fn run_completion(self) {
        // SAFETY: the caller's reference.
        let header = unsafe { self.header() };
        // SAFETY: written before it was published, never after.
        let completion = header.completion.with(|slot| unsafe { *slot });
        let status = header.state.status() as i32;
        if let Some(Completion { function, context }) = completion {
            // SAFETY: whoever set it promised that it may be called so, once; T7 makes it once.
            unsafe { function(context, status) }
        }
        // SAFETY: the reference kept for this.
        unsafe { self.release() };
    }
}
