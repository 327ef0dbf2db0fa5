//! The results of the steps of a task's state word. Most of them are actions that the caller of the
//! step owes.

#[cfg(doc)]
use super::State;

/// The result of [`State::start`].
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    /// Poll the body.
    Poll {
        /// A cancel request was set when the poll began.
        cancel: bool,
    },
    /// The task has been abandoned twice, so drop the body, then call [`State::complete`].
    Drop,
}

/// The action that the caller owes after a wake or a cancel request.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// Put the task into its executor's queue, which owns a reference now.
    Schedule,
    /// Do nothing, because the task is scheduled, or runs and will be polled again, or has ended.
    Nothing,
    /// Free the block, because the reference given up was the last one of a finished task.
    Free,
}

/// The action that the caller owes after giving up a reference.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Release {
    /// Do nothing. This many references are left.
    Alive(usize),
    /// Free the block, because the reference was the last one of a finished task.
    Free,
    /// Put the task into its executor's queue, which owns the one reference. The reference was the
    /// last one of an unfinished task, which has now been given a cancel request `[C9]`.
    Schedule,
}

/// The poller's knowledge about a poll that returned Pending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingPoll {
    /// A cancel request was set when the poll began and has not been taken in it.
    pub(crate) untaken: bool,
    /// A cleanup is under way.
    pub(crate) cleaning: bool,
    /// A main future that has to unwind could not, because a cleanup was under way when it returned
    /// Pending.
    pub(crate) held_back: bool,
}

/// The action that the poller owes after a poll that returned Pending.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EndPoll {
    /// Touch nothing of the block any more.
    Idle,
    /// Poll again.
    Again {
        /// A cancel request was set when the next poll began.
        cancel: bool,
    },
    /// The budget is spent, so let the executor poll the task later. The executor owns the
    /// reference.
    Defer,
    /// Drop the body, then call [`State::complete`].
    DropBody,
}

/// The action that the poller owes after the end of a task.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Complete {
    /// Touch nothing of the block any more.
    Done,
    /// Free the block, because no reference is left.
    Free,
    /// Tell the waiting threads and the completion handler of the end, then give up the reference
    /// that the poller has kept.
    Tell {
        /// Threads wait for the end, so tell them.
        waiters: bool,
        /// A completion handler is ready, so run it.
        handler: bool,
    },
}

/// The result of [`State::register_waiter`].
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RegisterWaiter {
    /// The poller that ends the task will tell the waiter.
    Wait,
    /// The task has ended, so there is nothing to wait for.
    Ended,
}

/// The action that the caller of [`State::publish_handler`] owes.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Publish {
    /// Do nothing, because the poller that ends the task will run the handler.
    Later,
    /// The task has ended, so run the handler now, then give up the reference that the step took
    /// for this.
    RunNow,
}

/// The state of a task as a person reads it, taken from one word.
#[allow(dead_code, reason = "as for `State::view`")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StateView {
    pub(crate) scheduled: bool,
    pub(crate) running: bool,
    pub(crate) cancel_requested: bool,
    pub(crate) unwinding: bool,
    pub(crate) references: usize,
}
