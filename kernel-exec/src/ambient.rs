//! The ambient task: which task's poll this processor is in.
//!
//! A poll puts a node on its stack and its address into the processor's slot. At DISPATCH_LEVEL a processor is in one DPC at
//! a time and switches no threads, so the slot is that poll's; below DISPATCH_LEVEL there is none.

use core::{cell::Cell, ptr};

use crate::{sync::with_processor_slot, task::TaskPtr};

/// A poll in progress.
pub(crate) struct Node {
    /// Whose.
    pub(crate) task: TaskPtr,
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
pub(crate) fn enter<R>(task: TaskPtr, cancel_set: bool, f: impl FnOnce() -> R) -> (R, Left) {
    let node =
        Node { task, untaken: Cell::new(cancel_set), held_back: Cell::new(false), masked: Cell::new(0) };
    let result = with_processor_slot(|slot| match slot {
        Some(slot) => {
            let outer = slot.replace((&raw const node).cast());
            let result = f();
            slot.set(outer);
            result
        }
        None => f(),
    });
    (result, Left { untaken: node.untaken.get(), held_back: node.held_back.get() })
}

/// Asks about the task that is being polled here, if one is.
pub(crate) fn current<R>(f: impl FnOnce(Option<&Node>) -> R) -> R {
    let node = with_processor_slot(|slot| slot.map_or(ptr::null(), Cell::get)).cast::<Node>();
    // SAFETY: `enter`, which alone writes slots, put it there and has not returned: the node is on this processor's stack, further out.
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

    use super::{current, enter, masked};
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

    #[test]
    fn a_poll_is_over_when_it_has_returned() {
        at_dispatch_level(|| {
            enter(task(1), false, || {
                assert_eq!(here(), Some(task(1)));
                enter(task(2), false, || assert_eq!(here(), Some(task(2))));
                assert_eq!(here(), Some(task(1)), "the outer one goes on");
            });
            assert_eq!(here(), None);
        });
    }

    /// There a thread may change processors, and be preempted by a poll.
    #[test]
    fn below_dispatch_level_there_is_no_slot() {
        let slot = || crate::sync::with_processor_slot(|slot| slot.is_some());
        let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        let run = kernel.run(vec![(0, Box::new(move || assert!(!slot())))]);
        assert!(run.is_ok(), "{run:?}");
        drop(kernel);
        at_dispatch_level(move || assert!(slot()));
    }

    #[test]
    fn a_cleanup_inside_of_a_cleanup_does_not_end_the_outer_one() {
        let is_masked = || current(|node| node.is_some_and(super::Node::is_masked));
        at_dispatch_level(move || {
            enter(task(1), true, || {
                masked(|| {
                    masked(|| assert!(is_masked()));
                    assert!(is_masked());
                });
                assert!(!is_masked());
            });
        });
    }
}
