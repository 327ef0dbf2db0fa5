//! A run: what an executor does with a task that it took out of its queue.

use core::{
    ptr::NonNull,
    task::{Context, Poll},
};

use super::{
    header::TaskPtr,
    share,
    state::{Complete, EndPoll, Pending, Start, State, Status},
    wait, waker,
};
use crate::{
    NTSTATUS,
    ambient::{self, Left, RunSite},
    budget::{Budget, Spending},
    fail::NoUnwind,
    sync::ThreadLink,
};

/// Polls a task until it ends, is idle, or has spent `budget`: what an executor does with each task that its
/// [`Port`](super::Port) was given. The body is polled and dropped here, at the caller's IRQL.
///
/// Where the processor has run DPCs for so long that others are to run, nothing is polled: the task
/// is deferred.
///
/// # Safety
/// The caller's port was given the task to run, has taken it out of its queue, and hands over the queue's reference `[T3]`.
pub unsafe fn run(task: TaskPtr, budget: Budget) {
    // SAFETY: by this function's contract.
    unsafe { run_in_thread(task, None, budget) }
}

/// As [`run`], of a task that has been deferred: it is polled, once at least. Where other DPCs come first in every drain, and last too
/// long, a task that was deferred again would never go on.
///
/// # Safety
/// As for [`run`].
#[cfg(kernel)]
pub(crate) unsafe fn run_deferred(task: TaskPtr, budget: Budget) {
    // SAFETY: by this function's contract.
    unsafe { run_at(task, None, budget, true) }
}

/// As [`run`]; `link` is how the body finds its task when this is below DISPATCH_LEVEL.
///
/// # Safety
/// As for [`run`]; the link, if there is one, is in the block, and this run's alone.
pub(crate) unsafe fn run_in_thread(task: TaskPtr, link: Option<NonNull<ThreadLink>>, budget: Budget) {
    // SAFETY: by this function's contract.
    unsafe { run_at(task, link, budget, false) }
}

/// # Safety
/// As for [`run_in_thread`].
unsafe fn run_at(task: TaskPtr, link: Option<NonNull<ThreadLink>>, budget: Budget, deferred: bool) {
    // User code below may not unwind out of here [C12].
    NoUnwind::run(|| {
        let site = RunSite::new(link);
        if site.should_yield() && !deferred {
            // SAFETY: the queue's reference.
            let defer = unsafe { task.header() }.vtable.defer;
            // SAFETY: it has been taken out of its queue, and is scheduled still [T3].
            return unsafe { defer(task) };
        }
        let spending = budget.begin();
        // SAFETY: the queue's reference, which is the poller's from here on.
        match unsafe { task.header() }.state.start() {
            // SAFETY: the poller, with the body in place.
            Start::Drop => unsafe { cancel_body(task, site) },
            // SAFETY: as above.
            Start::Poll { cancel } => unsafe { poll_until(task, site, cancel, spending) },
        }
    });
}

/// # Safety
/// The caller is the poller and the body is in place; it is the poller no longer.
unsafe fn poll_until(task: TaskPtr, site: RunSite, mut cancel_set: bool, mut spending: Spending) {
    loop {
        // SAFETY: the poller.
        let (polled, left_over) = unsafe { poll(task, site, cancel_set) };
        if let Poll::Ready(result) = polled {
            // SAFETY: the poller; `poll` has dropped the body and written the value, if there is one.
            return unsafe { returned(task, result) };
        }
        // SAFETY: the poller.
        let cleaning = unsafe { task.is_cleaning() };
        let pending = Pending { untaken: left_over.untaken, cleaning, held_back: left_over.held_back };
        // SAFETY: the poller.
        let moves = unsafe { task.must_move(site.in_thread()) };
        // SAFETY: the poller's reference.
        let woken = unsafe { task.header() }.state.is_scheduled();
        let budget_left = spending.poll_ended(woken) && !moves && !(woken && site.should_yield());
        // SAFETY: the poller.
        match unsafe { State::end_poll(task.state(), pending, budget_left) } {
            EndPoll::Idle => return,
            EndPoll::Again { cancel } => cancel_set = cancel,
            EndPoll::Defer => {
                // SAFETY: the queue's reference, which the step made of ours.
                let defer = unsafe { task.header() }.vtable.defer;
                // SAFETY: the step's duty.
                return unsafe { defer(task) };
            }
            // SAFETY: still the poller, with the body in place.
            EndPoll::DropBody => return unsafe { cancel_body(task, site) },
        }
    }
}

/// One poll, and how it left the task's cancellation.
///
/// # Safety
/// The caller is the poller and the body is in place.
unsafe fn poll(task: TaskPtr, site: RunSite, cancel_set: bool) -> (Poll<Result<(), NTSTATUS>>, Left) {
    if cancel_set {
        // SAFETY: the poller.
        unsafe { task.note_cancel() };
    }
    // SAFETY: the poller's reference is the waker's for the poll.
    let waker = unsafe { waker::borrowed(task) };
    let mut context = Context::from_waker(&waker);
    // SAFETY: the poller's reference.
    let header = unsafe { task.header() };
    header.units.set(share::UNITS);
    let poll = header.vtable.poll;
    // SAFETY: the poller, with the body in place.
    let poll = || unsafe { poll(task, &mut context) };
    // SAFETY: the poller's reference keeps the block; the site is this run's.
    unsafe { ambient::enter(task, site, cancel_set, poll) }
}

/// The body has returned: the task ends `[C10]`, `[C20]`.
///
/// # Safety
/// The caller is the poller, the body is gone, and a value written if there is one; it is the poller no longer.
unsafe fn returned(task: TaskPtr, result: Result<(), NTSTATUS>) {
    // SAFETY: the poller's reference.
    let unwinding = unsafe { task.header() }.state.is_unwinding();
    let end_as = match result {
        Ok(()) if unwinding => Err(NTSTATUS::CANCELLED),
        other => other,
    };
    // SAFETY: the poller.
    let canceled = unwinding || unsafe { task.was_canceled() };
    let status = match end_as {
        Ok(()) => Status::Completed,
        Err(NTSTATUS::CANCELLED) if canceled => Status::Canceled,
        Err(_) => Status::Error,
    };
    // SAFETY: the poller, the body is gone.
    unsafe { end(task, status, end_as.err().map_or(NTSTATUS::SUCCESS, NTSTATUS::as_failure)) }
}

/// Drops the body of a cancelled task and ends it.
///
/// # Safety
/// The caller is the poller and the body is in place; it is the poller no longer.
unsafe fn cancel_body(task: TaskPtr, site: RunSite) {
    // SAFETY: the poller's reference.
    let drop_body = unsafe { task.header() }.vtable.drop_body;
    // SAFETY: the poller, with the body in place.
    let drop_body = || unsafe { drop_body(task) };
    // SAFETY: the poller's reference keeps the block; the site is this run's.
    unsafe { ambient::enter(task, site, false, drop_body) };
    // SAFETY: the poller, the body is gone.
    unsafe { end(task, Status::Canceled, NTSTATUS::CANCELLED) }
}

/// The last step of a run that ends its task.
///
/// # Safety
/// The caller is the poller; the body is gone, and a value written if there is one. It is the poller no longer.
unsafe fn end(task: TaskPtr, status: Status, stored: NTSTATUS) {
    // SAFETY: the poller's reference.
    let header = unsafe { task.header() };
    if status != Status::Completed {
        // SAFETY: the poller's until the end [T4].
        header.stored.with_mut(|place| unsafe { *place = stored });
    }
    // SAFETY: the poller, once.
    unsafe { (header.vtable.ended)(task) };
    // SAFETY: the poller; all is written.
    match unsafe { State::complete(task.state(), status) } {
        Complete::Done => {}
        // SAFETY: the step's duty.
        Complete::Free => unsafe { task.free() },
        Complete::Tell { waiters, handler } => {
            if waiters {
                // SAFETY: the poller's reference, which the step has left.
                unsafe { wait::tell(task) };
            }
            if handler {
                // SAFETY: the step's duty; it gives the reference up.
                unsafe { task.run_completion() }
            } else {
                // SAFETY: the poller's reference.
                let _left = unsafe { task.release() };
            }
        }
    }
}
