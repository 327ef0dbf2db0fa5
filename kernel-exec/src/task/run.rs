//! A run, in which an executor polls a task that it took out of its queue.

use core::{
    ptr::NonNull,
    task::{Context, Poll},
};

use super::{
    header::TaskPtr,
    share,
    state::{Complete, EndPoll, PendingPoll, Start, State, Status},
    wait, waker,
};
use crate::{
    ambient::{self, PollOutcome, RunSite},
    budget::{Budget, Spending},
    fail::NoUnwind,
    nt::TaskStep,
    status::NTSTATUS,
    sync::ThreadLink,
};

/// Polls a task until it ends, is idle, or has spent `budget`.
///
/// An executor calls this for each task that its [`Port`](super::Port) was given. The body is
/// polled and dropped here, at the caller's IRQL.
///
/// On a processor that has run DPCs for too long, nothing is polled, and the task is deferred.
///
/// # Safety
/// The caller's port was given the task to run. The caller has taken the task out of its queue and
/// hands over the queue's reference `[T3]`.
pub unsafe fn run(task: TaskPtr, budget: Budget) {
    // SAFETY: the caller hands over the queue's reference, as `run` requires; there is no link.
    unsafe { run_in_thread(task, None, budget) }
}

/// Runs a task that has been deferred, as [`run`] does, but polls it at least once.
///
/// Where other DPCs come first in every drain, and last too long, a task that was deferred again
/// would never be polled.
///
/// # Safety
/// As for [`run`].
#[cfg(kernel)]
pub(crate) unsafe fn run_deferred(task: TaskPtr, budget: Budget) {
    // SAFETY: the caller hands over the queue's reference, as `run` requires; there is no link.
    unsafe { run_at(task, None, budget, true) }
}

/// Runs a task as [`run`] does. Below DISPATCH_LEVEL the body finds its task through `link`.
///
/// # Safety
/// As for [`run`]. The link, if there is one, is in the block and belongs to this run alone.
pub(crate) unsafe fn run_in_thread(task: TaskPtr, link: Option<NonNull<ThreadLink>>, budget: Budget) {
    // SAFETY: the caller hands over the queue's reference, and a link that is this run's alone.
    unsafe { run_at(task, link, budget, false) }
}

/// # Safety
/// As for [`run_in_thread`].
unsafe fn run_at(task: TaskPtr, link: Option<NonNull<ThreadLink>>, budget: Budget, deferred: bool) {
    // User code below may not unwind out of here [C12].
    NoUnwind::run(|| {
        let site = RunSite::new(link);
        if site.should_yield() && !deferred {
            // SAFETY: the queue's reference keeps the block.
            let defer = unsafe { task.header() }.vtable.defer;
            // SAFETY: the task has been taken out of its queue, and is still scheduled [T3].
            return unsafe { defer(task) };
        }
        let spending = budget.begin();
        // SAFETY: the queue's reference keeps the block, and is the poller's from here on.
        match unsafe { task.header() }.state.start() {
            // SAFETY: this run is the poller [T2], and the body is in place.
            Start::Drop => unsafe { cancel_body(task, site) },
            // SAFETY: this run is the poller [T2], and the body is in place.
            Start::Poll { cancel } => unsafe { poll_until(task, site, cancel, spending) },
        }
    });
}

/// # Safety
/// The caller is the poller and the body is in place. It is the poller no longer afterwards.
unsafe fn poll_until(task: TaskPtr, site: RunSite, mut cancel_set: bool, mut spending: Spending) {
    loop {
        // SAFETY: this run is the poller [T2], and the body is in place.
        let (polled, outcome) = unsafe { poll(task, site, cancel_set) };
        if let Poll::Ready(result) = polled {
            // SAFETY: this run is the poller; `poll` has dropped the body and written the value, if
            // there is one.
            return unsafe { returned(task, result) };
        }
        // SAFETY: this run is the poller [T2].
        let cleaning = unsafe { task.is_cleaning() };
        let pending = PendingPoll { untaken: outcome.untaken, cleaning, held_back: outcome.held_back };
        // SAFETY: this run is the poller [T2].
        let migrates = unsafe { task.must_migrate(site.in_thread()) };
        // SAFETY: the poller's reference keeps the block.
        let woken = unsafe { task.header() }.state.is_scheduled();
        let budget_left = spending.poll_ended(woken) && !migrates && !(woken && site.should_yield());
        // SAFETY: this run is the poller [T2].
        match unsafe { State::end_poll(task.state(), pending, budget_left) } {
            EndPoll::Idle => return,
            EndPoll::Again { cancel } => cancel_set = cancel,
            EndPoll::Defer => {
                // SAFETY: the step made the poller's reference the queue's, which keeps the block.
                let defer = unsafe { task.header() }.vtable.defer;
                // SAFETY: the step obliged this run to defer the task.
                return unsafe { defer(task) };
            }
            // SAFETY: this run is still the poller, and the body is in place.
            EndPoll::DropBody => return unsafe { cancel_body(task, site) },
        }
    }
}

/// Polls the body once, and returns the result with the state of the task's cancellation.
///
/// # Safety
/// The caller is the poller and the body is in place.
unsafe fn poll(task: TaskPtr, site: RunSite, cancel_set: bool) -> (Poll<Result<(), NTSTATUS>>, PollOutcome) {
    if cancel_set {
        // SAFETY: the caller is the poller [T2].
        unsafe { task.note_cancel() };
    }
    // SAFETY: the poller lends its reference to the waker for the poll.
    let waker = unsafe { waker::borrowed(task) };
    let mut context = Context::from_waker(&waker);
    // SAFETY: the poller's reference keeps the block.
    let header = unsafe { task.header() };
    header.units.set(share::UNITS);
    let poll = header.vtable.poll;
    // SAFETY: the caller is the poller [T2], and the body is in place.
    let poll = || unsafe { poll(task, &mut context) };
    task.mark(TaskStep::PollStart, if cancel_set { "with a cancel request" } else { "" });
    // SAFETY: the poller's reference keeps the block; the site is this run's.
    let (polled, outcome) = unsafe { ambient::enter(task, site, cancel_set, poll) };
    task.mark(TaskStep::PollEnd, if polled.is_ready() { "ready" } else { "pending" });
    (polled, outcome)
}

/// Ends a task after its body has returned `[C10]`, `[C20]`.
///
/// # Safety
/// The caller is the poller, the body is gone, and its value is written if there is one. The caller
/// is the poller no longer afterwards.
unsafe fn returned(task: TaskPtr, result: Result<(), NTSTATUS>) {
    // SAFETY: the poller's reference keeps the block.
    let unwinding = unsafe { task.header() }.state.is_unwinding();
    let end_as = match result {
        Ok(()) if unwinding => Err(NTSTATUS::CANCELLED),
        other => other,
    };
    // SAFETY: the caller is the poller [T2].
    let cancelled = unwinding || unsafe { task.was_cancelled() };
    let status = match end_as {
        Ok(()) => Status::Completed,
        Err(NTSTATUS::CANCELLED) if cancelled => Status::Canceled,
        Err(_) => Status::Error,
    };
    // SAFETY: the caller is the poller [T2], and the body is gone.
    unsafe { end(task, status, end_as.err().map_or(NTSTATUS::SUCCESS, NTSTATUS::as_failure)) }
}

/// Drops the body of a cancelled task and ends it.
///
/// # Safety
/// The caller is the poller and the body is in place. It is the poller no longer afterwards.
unsafe fn cancel_body(task: TaskPtr, site: RunSite) {
    // SAFETY: the poller's reference keeps the block.
    let drop_body = unsafe { task.header() }.vtable.drop_body;
    // SAFETY: the caller is the poller [T2], and the body is in place.
    let drop_body = || unsafe { drop_body(task) };
    // SAFETY: the poller's reference keeps the block; the site is this run's.
    unsafe { ambient::enter(task, site, false, drop_body) };
    // SAFETY: the caller is the poller [T2], and the body is gone.
    unsafe { end(task, Status::Canceled, NTSTATUS::CANCELLED) }
}

/// Ends the task, as the last step of its last run.
///
/// # Safety
/// The caller is the poller, the body is gone, and its value is written if there is one. The caller
/// is the poller no longer afterwards.
unsafe fn end(task: TaskPtr, status: Status, stored: NTSTATUS) {
    // SAFETY: the poller's reference keeps the block.
    let header = unsafe { task.header() };
    if status != Status::Completed {
        // SAFETY: the stored status is the poller's until the end [T4].
        header.stored.with_mut(|place| unsafe { *place = stored });
    }
    let detail = match status {
        Status::Completed => "completed",
        Status::Canceled => "canceled",
        _ => "error",
    };
    task.mark(TaskStep::End, detail);
    // SAFETY: the caller is the poller, and a task ends once.
    unsafe { (header.vtable.ended)(task) };
    // SAFETY: the caller is the poller; the body is dropped, value and status are written.
    match unsafe { State::complete(task.state(), status) } {
        Complete::Done => {}
        // SAFETY: the step obliged this run to free the block.
        Complete::Free => unsafe { task.free() },
        Complete::Tell { waiters, handler } => {
            if waiters {
                // SAFETY: the step has left the poller its reference, which keeps the block.
                unsafe { wait::tell(task) };
            }
            if handler {
                // SAFETY: the step obliged this run to call the handler; the call gives up the
                // poller's reference.
                unsafe { task.run_completion() }
            } else {
                // SAFETY: the step has left the poller its reference, which is given up here.
                let _left = unsafe { task.release() };
            }
        }
    }
}
