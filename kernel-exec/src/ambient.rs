//! The ambient task: which task's poll the caller is in.
//!
//! A poll puts a node on its stack, and its address where the poll is found again. At DISPATCH_LEVEL that is the processor's slot:
//! a processor is in one DPC at a time and switches no threads. Below, where a poll may be preempted and go on on another
//! processor, it is its thread's link. A DPC that interrupts such a poll has the processor's slot, and so its own task or none.

use core::{cell::Cell, ptr::NonNull};

use crate::{
    sync::{Here, ThreadLink, ambient, with_ambient},
    task::TaskPtr,
};

/// Where a run of a task is.
#[derive(Clone, Copy)]
pub(crate) struct RunSite {
    here: Here,
    /// How the body finds its task, where this is below DISPATCH_LEVEL.
    link: Option<NonNull<ThreadLink>>,
}

impl RunSite {
    /// Where the caller is.
    pub(crate) fn new(link: Option<NonNull<ThreadLink>>) -> Self {
        Self { here: Here::new(), link }
    }

    /// The run is below DISPATCH_LEVEL, in a thread.
    pub(crate) const fn in_thread(self) -> bool {
        self.link.is_some()
    }

    /// Counts a run, or a poll that the task has woken itself for: whether it is to be put off, so
    /// that others run.
    pub(crate) fn should_yield(self) -> bool {
        self.here.should_yield()
    }
}

/// A poll in progress.
pub(crate) struct Node {
    /// Whose.
    pub(crate) task: TaskPtr,
    /// It is below DISPATCH_LEVEL, in a thread.
    pub(crate) in_thread: bool,
    /// A cancel request was set when the poll began, and has not been taken since.
    pub(crate) untaken: Cell<bool>,
    /// A main that had to unwind could not, because a cleanup was running somewhere else in the body: it wants another poll.
    pub(crate) held_back: Cell<bool>,
    /// How many cleanups deep this point of the poll is: in a cleanup no cancellation is seen.
    masked: Cell<u32>,
}

/// How a piece of user code left the cancellation of its task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// A request was set when it began, and has not been taken in it.
    pub(crate) untaken: bool,
    /// A main still has to unwind.
    pub(crate) held_back: bool,
}

impl Node {
    pub(crate) fn is_masked(&self) -> bool {
        self.masked.get() > 0
    }
}

/// Runs a piece of user code of this task; `cancel_set`: with a cancel request set.
///
/// # Safety
/// The caller is where `site` was made. Its link, if there is one, is allocated until this returns,
/// and no other code uses it.
pub(crate) unsafe fn enter<R>(
    task: TaskPtr,
    site: RunSite,
    cancel_set: bool,
    f: impl FnOnce() -> R,
) -> (R, Left) {
    let node = Node {
        task,
        in_thread: site.in_thread(),
        untaken: Cell::new(cancel_set),
        held_back: Cell::new(false),
        masked: Cell::new(0),
    };
    // SAFETY: by this function's contract.
    let link = site.link.map(|link| unsafe { link.as_ref() });
    let result = with_ambient(site.here, (&raw const node).cast(), link, f);
    (result, Left { untaken: node.untaken.get(), held_back: node.held_back.get() })
}

/// Asks about the task that is being polled here, if one is.
pub(crate) fn current<R>(f: impl FnOnce(Option<&Node>) -> R) -> R {
    let node = ambient().cast::<Node>();
    // SAFETY: `enter`, which alone calls `with_ambient`, gave it and has not returned: the node is on this stack, further out.
    f(unsafe { node.as_ref() })
}

/// Runs a piece of a cleanup.
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

    /// A task that is only compared.
    fn task(number: usize) -> TaskPtr {
        TaskPtr(NonNull::<crate::task::Header>::dangling().map_addr(|address| address.saturating_add(number)))
    }

    fn here() -> Option<TaskPtr> {
        current(|node| node.map(|node| node.task))
    }

    fn at_dispatch_level(program: impl FnOnce() + 'static) {
        let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        let run = kernel.run(vec![(
            0,
            Box::new(|| {
                // SAFETY: at PASSIVE_LEVEL; lowered below.
                let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
                program();
                // SAFETY: what the raise answered.
                unsafe { ntsim::ddi::KeLowerIrql(irql) };
            }),
        )]);
        assert!(run.is_ok(), "{run:?}");
    }

    fn poll(task: TaskPtr, cancel_set: bool, f: impl FnOnce()) {
        // SAFETY: no link: nothing of the task is touched.
        unsafe { enter(task, RunSite::new(None), cancel_set, f) };
    }

    #[test]
    fn a_poll_is_over_when_it_has_returned() {
        at_dispatch_level(|| {
            poll(task(1), false, || {
                assert_eq!(here(), Some(task(1)));
                poll(task(2), false, || assert_eq!(here(), Some(task(2))));
                assert_eq!(here(), Some(task(1)), "the outer one goes on");
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
