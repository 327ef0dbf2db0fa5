//! The state word of a task, with all its bits and all the steps that it can take.
//!
//! A step is a pure function of one [`Snapshot`]. It returns the next snapshot and the action that
//! the caller now owes, and one successful read-modify-write applies it. No other file knows a bit.
//! The [module's protocol](super) lists the rules that the steps keep.

mod actions;

use core::ptr::NonNull;

pub(crate) use self::actions::{
    Complete, EndPoll, PendingPoll, Publish, RegisterWaiter, Release, Start, StateView, Wake,
};
use crate::fail::{FailFast, fail_fast};
use crate::sync::{AtomicUsize, Ordering};

/// The task stands in an executor's queue, or, with [`RUNNING`], has been woken during its poll.
const SCHEDULED: usize = 1 << 0;
/// A processor polls, drops or completes the body. The run that set this bit owns the body.
const RUNNING: usize = 1 << 1;
/// The status, in two bits, which are 0 while the task is unfinished and a [`Status`] afterwards.
const STATUS_SHIFT: u32 = 2;
const STATUS: usize = 0b11 << STATUS_SHIFT;
/// A cancel request is pending and has not been taken.
const CANCEL: usize = 1 << 4;
/// A `try_finally` has acted on a cancel request, so the body may only clean up.
const UNWINDING: usize = 1 << 5;
/// The last reference was released while the body was unfinished. One poll with a cancel request
/// follows.
const ABANDONED: usize = 1 << 6;
/// The last reference was released a second time, so the body is dropped without a poll.
const DOOMED: usize = 1 << 7;
/// A caller owns the right to write the completion handler.
const HANDLER_CLAIMED: usize = 1 << 8;
/// The completion handler is written.
const HANDLER_READY: usize = 1 << 9;
/// A thread waits, or has waited, for the end of the task.
const WAITERS: usize = 1 << 10;

/// The references are counted in the bits above the flags: 48 bits on 64-bit targets, 20 on 32-bit.
const COUNT_SHIFT: u32 = if usize::BITS >= 64 { 16 } else { 12 };
const ONE: usize = 1 << COUNT_SHIFT;
/// A count above half its range is an error that has not wrapped yet `[C3]`.
const COUNT_LIMIT: usize = (usize::MAX >> COUNT_SHIFT) / 2;

/// The progress of a task. The numbers are those of the state word and of AsyncStatus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Status {
    /// The body has not ended.
    Started = 0,
    /// The body returned a value.
    Completed = 1,
    /// The body was cancelled.
    Canceled = 2,
    /// The body failed, or never began.
    Error = 3,
}

/// One value of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Snapshot(usize);

impl Snapshot {
    const fn has(self, flag: usize) -> bool {
        self.0 & flag != 0
    }

    const fn with(self, flags: usize) -> Self {
        Self(self.0 | flags)
    }

    const fn without(self, flags: usize) -> Self {
        Self(self.0 & !flags)
    }

    const fn status(self) -> Status {
        match (self.0 & STATUS) >> STATUS_SHIFT {
            0 => Status::Started,
            1 => Status::Completed,
            2 => Status::Canceled,
            _ => Status::Error,
        }
    }

    const fn is_terminal(self) -> bool {
        self.0 & STATUS != 0
    }

    const fn count(self) -> usize {
        self.0 >> COUNT_SHIFT
    }

    fn add_one(self) -> Self {
        // The count is zero when code revives a task while its block is being freed.
        if self.count() == 0 || self.count() >= COUNT_LIMIT {
            fail_fast(FailFast::ReferenceCount);
        }
        Self(self.0 + ONE)
    }

    fn minus_one(self) -> Self {
        if self.count() == 0 {
            fail_fast(FailFast::ReferenceCount);
        }
        Self(self.0 - ONE)
    }

    /// Begins a run. The queue's reference becomes the poller's.
    fn start(self) -> (Self, Start) {
        if !self.has(SCHEDULED) || self.has(RUNNING) || self.is_terminal() {
            fail_fast(FailFast::Protocol);
        }
        let next = self.without(SCHEDULED).with(RUNNING);
        let action = if self.has(DOOMED) { Start::Drop } else { Start::Poll { cancel: self.has(CANCEL) } };
        (next, action)
    }

    /// Wakes the task. The caller keeps its reference.
    fn wake_by_ref(self) -> (Self, Wake) {
        if self.is_terminal() || self.has(SCHEDULED) {
            (self, Wake::Nothing)
        } else if self.has(RUNNING) {
            (self.with(SCHEDULED), Wake::Nothing)
        } else {
            (self.with(SCHEDULED).add_one(), Wake::Schedule)
        }
    }

    /// Wakes the task and gives up the caller's reference, to the queue where that is possible.
    fn wake_by_value(self) -> (Self, Wake) {
        if self.is_terminal() {
            let next = self.minus_one();
            (next, if next.count() == 0 { Wake::Free } else { Wake::Nothing })
        } else if self.has(SCHEDULED) || self.has(RUNNING) {
            // The executor has a reference of its own, so this one is not the last.
            (self.with(SCHEDULED).minus_one(), Wake::Nothing)
        } else {
            (self.with(SCHEDULED), Wake::Schedule)
        }
    }

    /// Requests cancellation. This is a no-op while a request is pending and after the end `[C10]`.
    fn request_cancel(self) -> (Self, Wake) {
        if self.is_terminal() || self.has(CANCEL) {
            (self, Wake::Nothing)
        } else {
            self.with(CANCEL).wake_by_ref()
        }
    }

    /// Takes the request for the body, which continues as if not cancelled.
    fn take_cancel(self) -> (Self, bool) {
        (self.without(CANCEL), self.has(CANCEL))
    }

    /// Records that a `try_finally` acts on the request.
    fn begin_unwind(self) -> (Self, ()) {
        (self.without(CANCEL).with(UNWINDING), ())
    }

    /// Gives up a reference.
    fn release(self) -> (Self, Release) {
        let next = self.minus_one();
        if next.count() > 0 {
            (next, Release::Alive(next.count()))
        } else if self.is_terminal() {
            (next, Release::Free)
        } else {
            let doomed = if self.has(ABANDONED) { DOOMED } else { 0 };
            // The reference lives on as the queue's, so the count stays one.
            (self.with(ABANDONED | CANCEL | SCHEDULED | doomed), Release::Schedule)
        }
    }

    /// Ends a poll that returned Pending.
    fn end_poll(self, poll: PendingPoll, budget_left: bool) -> (Self, EndPoll) {
        let cancelled = self.has(UNWINDING) || (poll.untaken && self.has(CANCEL));
        let unwinds = cancelled && !poll.cleaning;
        if unwinds && !poll.held_back {
            return (self, EndPoll::DropBody);
        }
        let next = if self.has(SCHEDULED) || unwinds {
            self.with(SCHEDULED)
        } else if self.count() > 1 {
            return (self.without(RUNNING).minus_one(), EndPoll::Idle);
        } else if self.has(ABANDONED) {
            return (self, EndPoll::DropBody);
        } else {
            // No reference is left that could wake the task [C9].
            self.with(ABANDONED | CANCEL | SCHEDULED)
        };
        if budget_left {
            (next.without(SCHEDULED), EndPoll::Again { cancel: next.has(CANCEL) })
        } else {
            (next.without(RUNNING), EndPoll::Defer)
        }
    }

    /// Ends the task, after its body is gone and value and status are written.
    fn complete(self, status: Status) -> (Self, Complete) {
        if !self.has(RUNNING) || self.is_terminal() || matches!(status, Status::Started) {
            fail_fast(FailFast::Protocol);
        }
        let next = self.without(RUNNING | SCHEDULED | CANCEL).with((status as usize) << STATUS_SHIFT);
        let (waiters, handler) = (next.has(WAITERS), next.has(HANDLER_READY));
        if waiters || handler {
            return (next, Complete::Tell { waiters, handler });
        }
        let next = next.minus_one();
        (next, if next.count() == 0 { Complete::Free } else { Complete::Done })
    }

    /// Claims the right to write the handler, which only one caller gets.
    fn claim_handler(self) -> (Self, bool) {
        (self.with(HANDLER_CLAIMED), !self.has(HANDLER_CLAIMED))
    }

    /// Publishes the handler, which has been written.
    fn publish_handler(self) -> (Self, Publish) {
        let next = self.with(HANDLER_READY);
        if self.is_terminal() { (next.add_one(), Publish::RunNow) } else { (next, Publish::Later) }
    }

    /// Registers a waiting thread, which stands in the list of waiters, so that the end is told to
    /// it `[T9]`.
    fn register_waiter(self) -> (Self, RegisterWaiter) {
        if self.is_terminal() {
            (self, RegisterWaiter::Ended)
        } else {
            (self.with(WAITERS), RegisterWaiter::Wait)
        }
    }
}

/// The atomic state word.
#[repr(transparent)]
pub(crate) struct State(AtomicUsize);

impl State {
    /// The word of a task about to be queued. It counts `references` for the makers and one for the
    /// queue.
    pub(crate) fn scheduled(references: u32) -> Self {
        Self(AtomicUsize::new(SCHEDULED | ((references as usize + 1) << COUNT_SHIFT)))
    }

    /// The word of a task that never ran.
    pub(crate) fn ended(status: Status, references: u32) -> Self {
        Self(AtomicUsize::new(((status as usize) << STATUS_SHIFT) | ((references as usize) << COUNT_SHIFT)))
    }

    /// Takes one step with one successful read-modify-write, even when the step changes nothing. So
    /// a caller that takes a later step sees everything that this caller did before `[T6]`.
    ///
    /// # Safety
    /// The word must stay allocated until the step has been taken. The caller guarantees that with
    /// a reference that no earlier step gave up, or with a claim that keeps the task from ending.
    /// The step may give that reference up, so the caller touches nothing after it.
    unsafe fn step<D>(this: NonNull<Self>, transition: impl Fn(Snapshot) -> (Snapshot, D)) -> D {
        let word = this.cast::<AtomicUsize>().as_ptr();
        // SAFETY: the caller keeps the word allocated until the step; `State` is a transparent
        // wrapper of the atomic.
        let mut current = unsafe { &*word }.load(Ordering::Relaxed);
        loop {
            let (next, action) = transition(Snapshot(current));
            // SAFETY: the caller keeps the word allocated until the step, and no exchange of this
            // loop has succeeded yet.
            let word = unsafe { &*word };
            match word.compare_exchange_weak(current, next.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return action,
                Err(seen) => current = seen,
            }
        }
    }

    /// Loads the task's status. A caller that sees a terminal status also sees the value and the
    /// stored status `[C6]`.
    pub(crate) fn status(&self) -> Status {
        Snapshot(self.0.load(Ordering::Acquire)).status()
    }

    /// Tells whether a cancel request is pending that has not been taken.
    pub(crate) fn cancel_requested(&self) -> bool {
        Snapshot(self.0.load(Ordering::Acquire)).has(CANCEL)
    }

    /// Tells whether a `try_finally` has acted on a cancel request.
    pub(crate) fn is_unwinding(&self) -> bool {
        Snapshot(self.0.load(Ordering::Acquire)).has(UNWINDING)
    }

    /// Reads the state for a person, with one load. Other processors may change it at any time.
    #[allow(dead_code, reason = "without a kernel there is no tracker that asks")]
    pub(crate) fn view(&self) -> StateView {
        let word = Snapshot(self.0.load(Ordering::Relaxed));
        StateView {
            scheduled: word.has(SCHEDULED),
            running: word.has(RUNNING),
            cancel_requested: word.has(CANCEL),
            unwinding: word.has(UNWINDING),
            references: word.count(),
        }
    }

    /// Tells whether the task has been woken since its poll began. Other processors may wake it at
    /// any time.
    pub(crate) fn is_scheduled(&self) -> bool {
        Snapshot(self.0.load(Ordering::Relaxed)).has(SCHEDULED)
    }

    /// Adds one reference, made from an existing one. Returns the new count.
    pub(crate) fn add_reference(&self) -> usize {
        // Relaxed is enough, because the caller's existing reference gives the visibility already.
        Snapshot(self.0.fetch_add(ONE, Ordering::Relaxed)).add_one().count()
    }

    /// Begins a run. The caller owns the queue's reference and becomes the owner of the body.
    pub(crate) fn start(&self) -> Start {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference.
        unsafe { Self::step(NonNull::from(self), Snapshot::start) }
    }

    /// Wakes the task. The result is the action that the caller owes.
    pub(crate) fn wake_by_ref(&self) -> Wake {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference.
        unsafe { Self::step(NonNull::from(self), Snapshot::wake_by_ref) }
    }

    /// Requests cancellation. The result is the action that the caller owes.
    pub(crate) fn request_cancel(&self) -> Wake {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference.
        unsafe { Self::step(NonNull::from(self), Snapshot::request_cancel) }
    }

    /// Takes the pending request. Only the body does this.
    pub(crate) fn take_cancel(&self) -> bool {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference.
        unsafe { Self::step(NonNull::from(self), Snapshot::take_cancel) }
    }

    /// Turns the pending request into unwinding. Only the body does this.
    pub(crate) fn begin_unwind(&self) {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference.
        unsafe { Self::step(NonNull::from(self), Snapshot::begin_unwind) }
    }

    /// Claims the right to write the handler. Returns true for exactly one caller of a task.
    #[must_use]
    pub(crate) fn claim_handler(&self) -> bool {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference.
        unsafe { Self::step(NonNull::from(self), Snapshot::claim_handler) }
    }

    /// Publishes the handler that the claimant has written.
    pub(crate) fn publish_handler(&self) -> Publish {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference (it
        // may add one).
        unsafe { Self::step(NonNull::from(self), Snapshot::publish_handler) }
    }

    /// Registers the caller, which stands in the list of waiters, so that the end is told to it.
    pub(crate) fn register_waiter(&self) -> RegisterWaiter {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference.
        unsafe { Self::step(NonNull::from(self), Snapshot::register_waiter) }
    }

    /// Wakes the task and gives up the caller's reference.
    ///
    /// # Safety
    /// The caller owns a reference, which is gone afterwards.
    pub(crate) unsafe fn wake_by_value(this: NonNull<Self>) -> Wake {
        // SAFETY: the caller's reference keeps the block until the step.
        unsafe { Self::step(this, Snapshot::wake_by_value) }
    }

    /// Gives up the caller's reference.
    ///
    /// # Safety
    /// The caller owns a reference, which is gone afterwards.
    pub(crate) unsafe fn release(this: NonNull<Self>) -> Release {
        // SAFETY: the caller's reference keeps the block until the step.
        unsafe { Self::step(this, Snapshot::release) }
    }

    /// Ends a poll that returned Pending.
    ///
    /// # Safety
    /// The caller is the poller. After [`EndPoll::Idle`] and [`EndPoll::Defer`] it is the poller no
    /// longer.
    pub(crate) unsafe fn end_poll(this: NonNull<Self>, poll: PendingPoll, budget_left: bool) -> EndPoll {
        // SAFETY: the poller has the queue's reference until the step.
        unsafe { Self::step(this, |s| s.end_poll(poll, budget_left)) }
    }

    /// Ends the task, which makes value and stored status visible.
    ///
    /// # Safety
    /// The caller is the poller, and has dropped the body and written value and status. It is the
    /// poller no longer afterwards.
    pub(crate) unsafe fn complete(this: NonNull<Self>, status: Status) -> Complete {
        // SAFETY: the poller has the queue's reference until the step.
        unsafe { Self::step(this, |s| s.complete(status)) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
