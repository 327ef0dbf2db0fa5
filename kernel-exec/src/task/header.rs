//! The header that every task has, whatever its body, and the pointer to it.

use core::{
    ffi::c_void,
    ptr::NonNull,
    task::{Context, Poll},
};

use super::state::{Publish, Release, State, Status, Wake};
use crate::{
    nt::{self, TaskStep},
    status::NTSTATUS,
    sync::{Hint, UnsafeCell},
};

/// An executor's way to run a task, and its storage in the task's block (such as a KDPC).
///
/// # Safety
/// An implementer runs a task once, with `run`, for each `schedule` and each `defer` that it was
/// given, and for a `launch` that it accepted. It touches its queue entry only between one of these
/// calls and the run, and in `ended`. The rest of its storage is under a lock of its own, and is in
/// no list after both `ended` and the run.
pub unsafe trait Port: Sized + 'static {
    /// The IRQL at which its tasks run.
    const LEVEL: Level = Level::Dispatch;

    /// Makes the storage, as it is before [`launch`](Self::launch).
    fn new() -> Self;

    /// Accepts a new task, which is scheduled already, or refuses it.
    ///
    /// # Errors
    /// The reason of the refusal. The implementer then keeps nothing of the task.
    ///
    /// # Safety
    /// `port` is the storage in the block of `task`. The block is in its final place, and no other
    /// code has it yet.
    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS>;

    /// Queues the task. Called at ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `port` is the storage in the block of `task`, and a step obliged the caller to this `[T3]`.
    unsafe fn schedule(task: TaskPtr, port: NonNull<Self>);

    /// Queues a task with a spent poll budget again, so that it runs after others have had their
    /// turn. Called in the run.
    ///
    /// # Safety
    /// As for [`schedule`](Self::schedule).
    unsafe fn defer(task: TaskPtr, port: NonNull<Self>);

    /// Tells the executor that the body is gone and that the status is about to become terminal.
    /// Called in the run, once.
    ///
    /// # Safety
    /// `port` is the storage in the block of `task`; the caller is the poller.
    unsafe fn ended(task: TaskPtr, port: NonNull<Self>);
}

/// The IRQL at which a task runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// DISPATCH_LEVEL.
    Dispatch,
    /// PASSIVE_LEVEL.
    Passive,
    /// PASSIVE_LEVEL while its body wants that, otherwise DISPATCH_LEVEL.
    Migrating,
}

/// The functions that know a task's types.
pub(super) struct Vtable {
    /// Polls the body. At Ready it drops the body and writes the value, if there is one. Poller
    /// only.
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

/// A completion handler, which runs once when a task has ended. It is a function with its argument.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// Called with the context and the terminal [`Status`] as a number. IRQL: ≤ DISPATCH_LEVEL.
    pub function: unsafe extern "system" fn(context: *mut c_void, status: i32),
    /// The argument of the function.
    pub context: *mut c_void,
}

/// State that the poller keeps from one poll to the next.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Polling {
    /// Cleanups that have begun and not ended.
    pub(super) cleanups: u32,
    /// A poll has been shown a cancel request, or the body has taken one.
    pub(super) cancel_seen: bool,
    /// The number of body parts that want to be polled at PASSIVE_LEVEL. A caller that a step
    /// obliges to queue the task reads it too, before the run that follows `[T2]`.
    pub(super) passives: u32,
}

/// The part of a block that does not depend on its types. It is only ever used behind a
/// [`TaskPtr`].
pub struct Header {
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    /// The poller's state `[T2]`. Code that has to queue the task reads one count in it (see
    /// [`Polling`]).
    pub(super) polling: UnsafeCell<Polling>,
    /// The units left in its poll's [share](super::share). Any code with a waker may touch them.
    pub(super) units: Hint,
    /// The status that a Canceled or Error task answers. The poller writes it until the end; then
    /// it is read-only `[T4]`.
    pub(super) stored: UnsafeCell<NTSTATUS>,
    /// The completion handler `[T7]`.
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

/// A pointer to a task, without ownership, for code that holds a reference by hand, as COM does.
///
/// Every method needs a task that is still allocated, so the caller has a reference `[T1]`. All may
/// be called at ≤ DISPATCH_LEVEL. None runs user code except
/// [`set_completion`](Self::set_completion).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskPtr(pub(crate) NonNull<Header>);

impl TaskPtr {
    /// The address by which a trace names the task.
    fn address(self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    /// Marks a step of the task in the simulated kernel's trace, with further information that may
    /// be empty.
    pub(super) fn mark(self, step: TaskStep, detail: &'static str) {
        nt::mark_task(step, self.address(), detail);
    }

    /// # Safety
    /// The task is allocated for as long as the result is used.
    pub(super) const unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: the caller keeps the task allocated while it uses the result; every field that
        // changes is behind a cell.
        unsafe { self.0.as_ref() }
    }

    /// The state word, for steps that may give up the reference.
    pub(super) fn state(self) -> NonNull<State> {
        let header = self.0.as_ptr();
        // SAFETY: the caller's reference keeps the header; this takes an address and makes no
        // reference [T8].
        let state = unsafe { &raw mut (*header).state };
        // SAFETY: a field's address is not null.
        unsafe { NonNull::new_unchecked(state) }
    }

    /// # Safety
    /// A step obliged the caller to queue the task `[T3]`.
    pub(super) unsafe fn schedule(self) {
        // SAFETY: the queue's reference, which the caller hands over, keeps the block.
        let schedule = unsafe { self.header() }.vtable.schedule;
        // SAFETY: a step obliged the caller to queue the task, as this function requires.
        unsafe { schedule(self) }
    }

    /// # Safety
    /// A step obliged the caller to free the block.
    pub(super) unsafe fn free(self) {
        // SAFETY: the count is zero, so the caller alone has the block, and it is not freed yet.
        let free = unsafe { self.header() }.vtable.free;
        // SAFETY: a step obliged the caller to free the block, as this function requires.
        unsafe { free(self) }
    }

    /// # Safety
    /// `action` came from the caller's last step of this task.
    pub(super) unsafe fn perform(self, action: Wake) {
        match action {
            Wake::Nothing => {}
            // SAFETY: the step obliged the caller to queue the task.
            Wake::Schedule => unsafe { self.schedule() },
            // SAFETY: the step obliged the caller to free the block.
            Wake::Free => unsafe { self.free() },
        }
    }

    /// Adds one reference. Returns the new count, which is meaningful only as zero or not zero
    /// `[C3]`. Fails fast at half range.
    ///
    /// # Safety
    /// The caller has a reference.
    pub unsafe fn add_reference(self) -> usize {
        // SAFETY: the caller's reference keeps the block.
        unsafe { self.header() }.state.add_reference()
    }

    /// Gives up a reference, and returns the number of references left.
    ///
    /// That number is zero only if the task is gone. A release does not cancel. See `[C9]` for the
    /// effect of releasing the last reference of an unfinished task.
    ///
    /// # Safety
    /// The caller has a reference, which is gone afterwards.
    pub unsafe fn release(self) -> usize {
        // SAFETY: the caller's reference keeps the block until the step.
        match unsafe { State::release(self.state()) } {
            Release::Alive(count) => count,
            Release::Free => {
                // SAFETY: the step obliged the caller to free the block.
                unsafe { self.free() };
                0
            }
            Release::Schedule => {
                // SAFETY: the step obliged the caller to queue the task.
                unsafe { self.schedule() };
                1
            }
        }
    }

    /// Asks the task to stop `[C10]`. The call is harmless after the end, and a no-op while a
    /// request is pending.
    ///
    /// # Safety
    /// The caller has a reference, or a claim that keeps the task from ending.
    pub unsafe fn cancel(self) {
        nt::check_wake(self.address());
        self.mark(TaskStep::Cancel, "");
        // SAFETY: the caller's reference, or its claim, keeps the block.
        let action = unsafe { self.header() }.state.request_cancel();
        // SAFETY: `action` came from the step just taken.
        unsafe { self.perform(action) }
    }

    /// Returns the status of the task, with one load.
    ///
    /// # Safety
    /// The caller has a reference.
    #[must_use]
    pub unsafe fn status(self) -> Status {
        // SAFETY: the caller's reference keeps the block.
        unsafe { self.header() }.state.status()
    }

    /// Returns the stored status of a task that has ended, which is SUCCESS when it is Completed.
    ///
    /// # Safety
    /// The caller has a reference and has seen a terminal status.
    #[must_use]
    pub unsafe fn stored_status(self) -> NTSTATUS {
        // SAFETY: the caller's reference keeps the block.
        let header = unsafe { self.header() };
        // SAFETY: no code writes it after the end, which the caller has seen [T4].
        header.stored.with(|stored| unsafe { *stored })
    }

    /// Sets the completion handler, and runs it now if the task has already ended `[C14]`.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_STATE`: the task has a handler already.
    ///
    /// # Safety
    /// The caller has a reference. The completion's function may be called, once, with its context,
    /// on any processor.
    pub unsafe fn set_completion(self, completion: Completion) -> Result<(), NTSTATUS> {
        // SAFETY: the caller's reference keeps the block.
        let header = unsafe { self.header() };
        if !header.state.claim_handler() {
            return Err(NTSTATUS::INVALID_DEVICE_STATE);
        }
        // SAFETY: the claim is ours alone, and no code reads the handler before it is published
        // [T7].
        header.completion.with_mut(|slot| unsafe { *slot = Some(completion) });
        match header.state.publish_handler() {
            Publish::Later => {}
            // SAFETY: the task has ended, the handler is published, and the step took a reference
            // for this call.
            Publish::RunNow => unsafe { self.run_completion() },
        }
        Ok(())
    }

    /// Runs the completion handler, then gives up the reference that was kept for it.
    ///
    /// # Safety
    /// The caller took the second of the steps "ready" and "terminal" `[T7]`, and owns a reference.
    pub(super) unsafe fn run_completion(self) {
        // SAFETY: the caller's reference keeps the block.
        let header = unsafe { self.header() };
        // SAFETY: the handler was written before it was published, and is not written again [T7].
        let completion = header.completion.with(|slot| unsafe { *slot });
        let status = header.state.status() as i32;
        if let Some(Completion { function, context }) = completion {
            // SAFETY: the caller of `set_completion` promised that this call may be made once; T7
            // makes it once.
            unsafe { function(context, status) }
        }
        // SAFETY: the caller owns this reference, which was kept for the handler.
        unsafe { self.release() };
    }
}
