//! The state word: every bit of it, and every step it can take.
//!
//! A step is a pure function from one [`Snapshot`] to the next and to what the caller now owes, applied by one successful
//! read-modify-write. No other file knows a bit. The rules that the steps keep are in the [module's protocol](super).

use core::ptr::NonNull;

use crate::fail::{FailFast, fail_fast};
use crate::sync::{AtomicUsize, Ordering};

/// The task stands in an executor's queue, or, with [`RUNNING`], has been woken during its poll.
const SCHEDULED: usize = 1 << 0;
/// A processor polls, drops or completes the body. Whoever set it owns the body.
const RUNNING: usize = 1 << 1;
/// Two bits, 0 while unfinished, else a [`Status`].
const STATUS_SHIFT: u32 = 2;
const STATUS: usize = 0b11 << STATUS_SHIFT;
/// A cancel request that nobody has taken.
const CANCEL: usize = 1 << 4;
/// A `try_finally` has acted on a cancel request: the body may only clean up.
const UNWINDING: usize = 1 << 5;
/// The last reference went while the body was unfinished: one poll with a cancel request follows.
const ABANDONED: usize = 1 << 6;
/// The last reference went a second time: the body is to be dropped without a poll.
const DOOMED: usize = 1 << 7;
/// Somebody owns the right to write the completion handler.
const HANDLER_CLAIMED: usize = 1 << 8;
/// The completion handler is written.
const HANDLER_READY: usize = 1 << 9;
/// Somebody waits, or has waited, until the task ends.
const WAITERS: usize = 1 << 10;

/// The references are counted above the flags: 48 bits of them on 64-bit, 20 on 32-bit.
const COUNT_SHIFT: u32 = if usize::BITS >= 64 { 16 } else { 12 };
const ONE: usize = 1 << COUNT_SHIFT;
/// A count above half its range is an error that has not wrapped yet `[C3]`.
const COUNT_LIMIT: usize = (usize::MAX >> COUNT_SHIFT) / 2;

/// How far a task is. The numbers are those of the state word, and AsyncStatus's.
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

/// What [`State::start`] found.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    /// Poll the body; `cancel`: with a cancel request set.
    Poll {
        /// A request was set when the poll began.
        cancel: bool,
    },
    /// Abandoned twice: drop the body, then [`State::complete`].
    Drop,
}

/// What a wake, or a cancel request, obliges the caller to.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// Put the task into its executor's queue; the queue owns a reference now.
    Schedule,
    /// Nothing: it is scheduled, running (and will be polled again), or has ended.
    Nothing,
    /// The reference given up was the last one of a finished task: free the block.
    Free,
}

/// What giving up a reference obliges the caller to.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Release {
    /// Nothing. This many references are left.
    Alive(usize),
    /// It was the last one of a finished task: free the block.
    Free,
    /// It was the last one of an unfinished task, which has been given a cancel request `[C9]`: put it into its executor's
    /// queue, which owns the one reference.
    Schedule,
}

/// What the poller knows about a poll that returned Pending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// A request was set when the poll began and has not been taken in it.
    pub(crate) untaken: bool,
    /// A cleanup is under way.
    pub(crate) cleaning: bool,
    /// A main that has to unwind could not, because a cleanup was under way when it returned Pending.
    pub(crate) held_back: bool,
}

/// What the end of a poll that returned Pending obliges the poller to.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EndPoll {
    /// Touch nothing of the block any more.
    Idle,
    /// Poll again; `cancel` as in [`Start::Poll`].
    Again {
        /// A request was set when the next poll begins.
        cancel: bool,
    },
    /// The budget is spent: let the executor go on later. It owns the reference.
    Defer,
    /// Drop the body, then [`State::complete`].
    DropBody,
}

/// What the end of a task obliges the poller to.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Complete {
    /// Touch nothing of the block any more.
    Done,
    /// Free the block: nobody else has a reference.
    Free,
    /// Tell those who want to hear of the end, then give up the reference that the poller has kept.
    Tell {
        /// The threads that wait.
        waiters: bool,
        /// The completion handler: run it.
        handler: bool,
    },
}

/// What [`State::announce_waiter`] found.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Announced {
    /// The end of the task will be told.
    Wait,
    /// The task has ended: there is nothing to wait for.
    Ended,
}

/// What [`State::publish_handler`] obliges the setter to.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Publish {
    /// The task will run it.
    Later,
    /// The task has ended: run it now, then give up the reference that has been taken for this.
    RunNow,
}

/// What a word says of its task, for a person.
#[allow(dead_code, reason = "as for `State::doing`")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Doing {
    pub(crate) scheduled: bool,
    pub(crate) running: bool,
    pub(crate) cancel_requested: bool,
    pub(crate) unwinding: bool,
    pub(crate) references: usize,
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
        // From zero: somebody revives a task whose block is being freed.
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

    /// The queue's reference becomes the poller's.
    fn start(self) -> (Self, Start) {
        if !self.has(SCHEDULED) || self.has(RUNNING) || self.is_terminal() {
            fail_fast(FailFast::Protocol);
        }
        let next = self.without(SCHEDULED).with(RUNNING);
        let duty = if self.has(DOOMED) { Start::Drop } else { Start::Poll { cancel: self.has(CANCEL) } };
        (next, duty)
    }

    /// A wake by somebody who keeps the reference.
    fn wake_by_ref(self) -> (Self, Wake) {
        if self.is_terminal() || self.has(SCHEDULED) {
            (self, Wake::Nothing)
        } else if self.has(RUNNING) {
            (self.with(SCHEDULED), Wake::Nothing)
        } else {
            (self.with(SCHEDULED).add_one(), Wake::Schedule)
        }
    }

    /// A wake that gives up the reference: to the queue where it can.
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

    /// A cancel request; a no-op while one is pending and after the end `[C10]`.
    fn request_cancel(self) -> (Self, Wake) {
        if self.is_terminal() || self.has(CANCEL) {
            (self, Wake::Nothing)
        } else {
            self.with(CANCEL).wake_by_ref()
        }
    }

    /// The body takes the request: it goes on as if not cancelled.
    fn take_cancel(self) -> (Self, bool) {
        (self.without(CANCEL), self.has(CANCEL))
    }

    /// A `try_finally` acts on the request.
    fn begin_unwind(self) -> (Self, ()) {
        (self.without(CANCEL).with(UNWINDING), ())
    }

    /// A reference is given up.
    fn release(self) -> (Self, Release) {
        let next = self.minus_one();
        if next.count() > 0 {
            (next, Release::Alive(next.count()))
        } else if self.is_terminal() {
            (next, Release::Free)
        } else {
            let doomed = if self.has(ABANDONED) { DOOMED } else { 0 };
            // The reference lives on as the queue's: the count stays one.
            (self.with(ABANDONED | CANCEL | SCHEDULED | doomed), Release::Schedule)
        }
    }

    /// The poll returned Pending.
    fn end_poll(self, poll: Pending, budget_left: bool) -> (Self, EndPoll) {
        let canceled = self.has(UNWINDING) || (poll.untaken && self.has(CANCEL));
        let unwinds = canceled && !poll.cleaning;
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
            // Nobody is left who could wake it [C9].
            self.with(ABANDONED | CANCEL | SCHEDULED)
        };
        if budget_left {
            (next.without(SCHEDULED), EndPoll::Again { cancel: next.has(CANCEL) })
        } else {
            (next.without(RUNNING), EndPoll::Defer)
        }
    }

    /// The body is gone, and value and status are written.
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

    /// The right to write the handler, once.
    fn claim_handler(self) -> (Self, bool) {
        (self.with(HANDLER_CLAIMED), !self.has(HANDLER_CLAIMED))
    }

    /// The handler is written.
    fn publish_handler(self) -> (Self, Publish) {
        let next = self.with(HANDLER_READY);
        if self.is_terminal() { (next.add_one(), Publish::RunNow) } else { (next, Publish::Later) }
    }

    /// Somebody who stands in the list of waiters wants to be told of the end `[T9]`.
    fn announce_waiter(self) -> (Self, Announced) {
        if self.is_terminal() { (self, Announced::Ended) } else { (self.with(WAITERS), Announced::Wait) }
    }
}

/// The word itself.
#[repr(transparent)]
pub(crate) struct State(AtomicUsize);

impl State {
    /// A task about to be queued: `references` of its makers, and the queue's.
    pub(crate) fn scheduled(references: u32) -> Self {
        Self(AtomicUsize::new(SCHEDULED | ((references as usize + 1) << COUNT_SHIFT)))
    }

    /// A task that never ran.
    pub(crate) fn ended(status: Status, references: u32) -> Self {
        Self(AtomicUsize::new(((status as usize) << STATUS_SHIFT) | ((references as usize) << COUNT_SHIFT)))
    }

    /// One step: one successful read-modify-write, also when it changes nothing, so that what the caller did before is seen
    /// by whoever takes a later step `[T6]`.
    ///
    /// # Safety
    /// The word must stay allocated until the step has been taken: the caller has a reference that no earlier step gave up,
    /// or holds what keeps the task from ending. The step may give that reference up, so nothing is touched after it.
    unsafe fn step<D>(this: NonNull<Self>, transition: impl Fn(Snapshot) -> (Snapshot, D)) -> D {
        let word = this.cast::<AtomicUsize>().as_ptr();
        // SAFETY: allocated, by this function's contract; `State` is nothing but the atomic (see `Self`).
        let mut current = unsafe { &*word }.load(Ordering::Relaxed);
        loop {
            let (next, duty) = transition(Snapshot(current));
            // SAFETY: as above; no earlier exchange of this loop succeeded.
            let word = unsafe { &*word };
            match word.compare_exchange_weak(current, next.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return duty,
                Err(seen) => current = seen,
            }
        }
    }

    /// How far the task is: one load. Seeing an end makes value and stored status visible `[C6]`.
    pub(crate) fn status(&self) -> Status {
        Snapshot(self.0.load(Ordering::Acquire)).status()
    }

    /// Is a request pending that nobody has taken?
    pub(crate) fn cancel_requested(&self) -> bool {
        Snapshot(self.0.load(Ordering::Acquire)).has(CANCEL)
    }

    /// Has a `try_finally` acted on a request?
    pub(crate) fn is_unwinding(&self) -> bool {
        Snapshot(self.0.load(Ordering::Acquire)).has(UNWINDING)
    }

    /// Everything that a person may want to know: one load. Others may change it at any time.
    #[allow(dead_code, reason = "without a kernel there is no tracker that asks")]
    pub(crate) fn doing(&self) -> Doing {
        let word = Snapshot(self.0.load(Ordering::Relaxed));
        Doing {
            scheduled: word.has(SCHEDULED),
            running: word.has(RUNNING),
            cancel_requested: word.has(CANCEL),
            unwinding: word.has(UNWINDING),
            references: word.count(),
        }
    }

    /// Has it been woken since its poll began? Others may wake it at any time.
    pub(crate) fn is_scheduled(&self) -> bool {
        Snapshot(self.0.load(Ordering::Relaxed)).has(SCHEDULED)
    }

    /// One more reference, made from an existing one. Returns the new count.
    pub(crate) fn add_reference(&self) -> usize {
        // Relaxed: the reference that it is made from has the visibility already.
        Snapshot(self.0.fetch_add(ONE, Ordering::Relaxed)).add_one().count()
    }

    /// Begins a run. The caller owns the queue's reference and gets the body.
    pub(crate) fn start(&self) -> Start {
        // SAFETY: `self` is borrowed for the whole call, and this step gives up no reference.
        unsafe { Self::step(NonNull::from(self), Snapshot::start) }
    }

    /// See [`Wake`].
    pub(crate) fn wake_by_ref(&self) -> Wake {
        // SAFETY: as in `start`.
        unsafe { Self::step(NonNull::from(self), Snapshot::wake_by_ref) }
    }

    /// See [`Wake`].
    pub(crate) fn request_cancel(&self) -> Wake {
        // SAFETY: as in `start`.
        unsafe { Self::step(NonNull::from(self), Snapshot::request_cancel) }
    }

    /// Takes the pending request. Only the body does this.
    pub(crate) fn take_cancel(&self) -> bool {
        // SAFETY: as in `start`.
        unsafe { Self::step(NonNull::from(self), Snapshot::take_cancel) }
    }

    /// Turns the pending request into unwinding. Only the body does this.
    pub(crate) fn begin_unwind(&self) {
        // SAFETY: as in `start`.
        unsafe { Self::step(NonNull::from(self), Snapshot::begin_unwind) }
    }

    /// True for one caller, ever: it may write the handler.
    #[must_use]
    pub(crate) fn claim_handler(&self) -> bool {
        // SAFETY: as in `start`.
        unsafe { Self::step(NonNull::from(self), Snapshot::claim_handler) }
    }

    /// The claimant has written the handler.
    pub(crate) fn publish_handler(&self) -> Publish {
        // SAFETY: as in `start`; the step adds a reference at most.
        unsafe { Self::step(NonNull::from(self), Snapshot::publish_handler) }
    }

    /// The caller stands in the list of waiters.
    pub(crate) fn announce_waiter(&self) -> Announced {
        // SAFETY: as in `start`.
        unsafe { Self::step(NonNull::from(self), Snapshot::announce_waiter) }
    }

    /// A wake that gives up the caller's reference.
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
        // SAFETY: as in `wake_by_value`.
        unsafe { Self::step(this, Snapshot::release) }
    }

    /// Ends a poll that returned Pending.
    ///
    /// # Safety
    /// The caller is the poller. On [`EndPoll::Idle`] and [`EndPoll::Defer`] it is no longer.
    pub(crate) unsafe fn end_poll(this: NonNull<Self>, poll: Pending, budget_left: bool) -> EndPoll {
        // SAFETY: the poller has the queue's reference until the step.
        unsafe { Self::step(this, |s| s.end_poll(poll, budget_left)) }
    }

    /// Ends the task: value and stored status become visible.
    ///
    /// # Safety
    /// The caller is the poller, has dropped the body and written value and status; it is the poller no longer.
    pub(crate) unsafe fn complete(this: NonNull<Self>, status: Status) -> Complete {
        // SAFETY: as in `end_poll`.
        unsafe { Self::step(this, |s| s.complete(status)) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
