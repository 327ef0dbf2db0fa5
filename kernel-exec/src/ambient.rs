//! The ambient task, which is the task that is being polled around the caller.
//!
//! A poll puts a node on its stack and stores the node's address where code in the poll finds it.
//! At DISPATCH_LEVEL that is the processor's slot, because a processor is in one DPC at a time and
//! switches no threads. Below DISPATCH_LEVEL a poll may be preempted and continue on another
//! processor, so the address is in its thread's link. A DPC that interrupts such a poll reads the
//! processor's slot, and so finds its own task or none.
//!
//! # Why not by the waker
//!
//! A combinator may give its futures wakers of its own. A task that is found by processor or thread
//! still shows a cancel request to the futures that the combinator polls. A combinator that polls
//! only woken futures (FuturesUnordered) does not poll a `try_finally` for a request, so that its
//! cleanup does not run.

use core::{cell::Cell, ptr::NonNull};

use crate::{
    sync::{Here, ThreadLink, ambient, with_ambient},
    task::TaskPtr,
};

/// The place where a task is run.
#[derive(Clone, Copy)]
pub(crate) struct RunSite {
    here: Here,
    /// The link by which the body finds its task, if the run is below DISPATCH_LEVEL.
    link: Option<NonNull<ThreadLink>>,
}

impl RunSite {
    /// Makes the site of a run at the caller's IRQL and processor.
    pub(crate) fn new(link: Option<NonNull<ThreadLink>>) -> Self {
        Self { here: Here::new(), link }
    }

    /// Tells whether the run is below DISPATCH_LEVEL, in a thread.
    pub(crate) const fn in_thread(self) -> bool {
        self.link.is_some()
    }

    /// Counts a run, or a poll that the task has woken itself for. Returns true if it must be
    /// deferred, so that other code runs on the processor.
    pub(crate) fn should_yield(self) -> bool {
        self.here.should_yield()
    }
}

/// A poll in progress.
pub(crate) struct Node {
    /// The task that is polled.
    pub(crate) task: TaskPtr,
    /// The poll is below DISPATCH_LEVEL, in a thread.
    pub(crate) in_thread: bool,
    /// A cancel request was set when the poll began, and has not been taken since.
    pub(crate) untaken: Cell<bool>,
    /// A main future that had to unwind could not, because a cleanup was running elsewhere in the
    /// body. It needs another poll.
    pub(crate) held_back: Cell<bool>,
    /// The depth of cleanups at this point of the poll. Inside a cleanup no cancellation is seen.
    masked: Cell<u32>,
}

/// The outcome of a poll, or of another piece of user code, for the cancellation of its task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollOutcome {
    /// A request was set when the code began, and has not been taken in it.
    pub(crate) untaken: bool,
    /// A main future still has to unwind.
    pub(crate) held_back: bool,
}

impl Node {
    pub(crate) fn is_masked(&self) -> bool {
        self.masked.get() > 0
    }
}

/// Runs a piece of user code of this task. `cancel_set` tells whether a cancel request is set.
///
/// # Safety
/// The caller is on the processor or thread where `site` was made. Its link, if there is one, is
/// allocated until this returns, and no other code uses it.
pub(crate) unsafe fn enter<R>(
    task: TaskPtr,
    site: RunSite,
    cancel_set: bool,
    f: impl FnOnce() -> R,
) -> (R, PollOutcome) {
    let node = Node {
        task,
        in_thread: site.in_thread(),
        untaken: Cell::new(cancel_set),
        held_back: Cell::new(false),
        masked: Cell::new(0),
    };
    // SAFETY: the caller keeps the link allocated until this returns.
    let link = site.link.map(|link| unsafe { link.as_ref() });
    let result = with_ambient(site.here, (&raw const node).cast(), link, f);
    (result, PollOutcome { untaken: node.untaken.get(), held_back: node.held_back.get() })
}

/// Calls `f` with the node of the task that is being polled here, if there is one.
pub(crate) fn current<R>(f: impl FnOnce(Option<&Node>) -> R) -> R {
    let node = ambient().cast::<Node>();
    // SAFETY: only `enter` calls `with_ambient`, and the call that gave this node has not returned,
    // so the node is on this stack, further out.
    f(unsafe { node.as_ref() })
}

/// Runs a piece of a cleanup, in which no cancellation is seen.
pub(crate) fn masked<R>(f: impl FnOnce() -> R) -> R {
    current(|node| match node {
        Some(node) => {
            node.masked.set(node.masked.get() + 1);
            let result = f();
            node.masked.set(node.masked.get() - 1);
            result
        }
        None => f(),
    })
}

#[cfg(all(test, kernel = "sim"))]
mod tests {
    use core::ptr::NonNull;

    use super::{RunSite, current, enter, masked};
    use crate::task::TaskPtr;
    use ntsim::{Config, Schedule, Simulation};

    /// A task pointer that is only compared.
    fn task(number: usize) -> TaskPtr {
        TaskPtr(NonNull::<crate::task::Header>::dangling().map_addr(|address| address.saturating_add(number)))
    }

    fn here() -> Option<TaskPtr> {
        current(|node| node.map(|node| node.task))
    }

    fn at_dispatch_level(program: impl FnOnce() + 'static) {
        let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        let run = kernel.run_on(0, || {
            // SAFETY: called at PASSIVE_LEVEL; the IRQL is lowered below.
            let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
            program();
            // SAFETY: `irql` is the value that the raise returned.
            unsafe { ntsim::ddi::KeLowerIrql(irql) };
        });
        assert!(run.is_ok(), "{run:?}");
    }

    fn poll(task: TaskPtr, cancel_set: bool, f: impl FnOnce()) {
        // SAFETY: there is no link, and nothing of the task is touched.
        unsafe { enter(task, RunSite::new(None), cancel_set, f) };
    }

    #[test]
    fn a_poll_is_over_when_it_has_returned() {
        at_dispatch_level(|| {
            poll(task(1), false, || {
                assert_eq!(here(), Some(task(1)));
                poll(task(2), false, || assert_eq!(here(), Some(task(2))));
                assert_eq!(here(), Some(task(1)), "the outer poll continues");
            });
            assert_eq!(here(), None);
        });
    }

    #[test]
    fn a_cleanup_inside_of_a_cleanup_does_not_end_the_outer_one() {
        let is_masked = || current(|node| node.is_some_and(super::Node::is_masked));
        at_dispatch_level(move || {
            poll(task(1), true, || {
                masked(|| {
                    masked(|| assert!(is_masked()));
                    assert!(is_masked());
                });
                assert!(!is_masked());
            });
        });
    }
}
