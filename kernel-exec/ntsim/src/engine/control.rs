//! Passes control between the loop outside all coroutines and the coroutines.

use core::{cell::Cell, ptr::null};

use corosensei::Yielder;

use super::job::Job;

/// No processor is chosen, so the loop outside all coroutines chooses one.
pub(crate) const NO_PROCESSOR: usize = usize::MAX;

/// How a coroutine gives up control.
pub(crate) type Suspend = Yielder<(), ()>;

/// What a coroutine and the loop tell each other when one of them gives up control.
pub(crate) struct Control {
    /// The processor that runs next, set before a coroutine gives up control; or [`NO_PROCESSOR`].
    pub(crate) next: Cell<usize>,
    /// Whether a coroutine is running, not the loop outside.
    pub(crate) inside: Cell<bool>,
    /// The job of the coroutine that is resumed next.
    pub(crate) job: Cell<Job>,
    /// Whether the program is a driver's Unload routine. Work that is pending when it returns stays
    /// pending.
    pub(crate) unloading: Cell<bool>,
    /// Whether the coroutine that was resumed has finished its job.
    pub(crate) served: Cell<bool>,
    /// Whether the thread that was resumed has ended. It leaves its stack as it is.
    pub(crate) ended: Cell<bool>,
    /// How the coroutine that runs gives up control.
    pub(crate) yielder: Cell<*const Suspend>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            next: Cell::new(NO_PROCESSOR),
            inside: Cell::new(false),
            job: Cell::new(Job::Idle),
            unloading: Cell::new(false),
            served: Cell::new(false),
            ended: Cell::new(false),
            yielder: Cell::new(null()),
        }
    }
}

impl Control {
    /// Prepares for the first run of a simulation.
    pub(crate) fn reset(&self) {
        self.next.set(NO_PROCESSOR);
        self.inside.set(false);
        self.served.set(false);
        self.ended.set(false);
    }
}
