//! What each processor has of ours: the task that it polls, and how soon it asks whether to let
//! others run.

use core::{cell::Cell, ptr};

use super::image::{PROCESSORS, image_static};
use crate::{
    fail::{FailFast, fail_fast},
    nt,
};

/// How many runs, and polls that tasks have woken themselves for, a processor makes before it asks
/// whether to let others run.
///
/// The executor does not see where a processor begins to run DPCs, nor where it ends: so it counts
/// through all of them. The kernel sees it, and is asked.
const RUNS: u32 = 16;

/// One processor's. Only touched at DISPATCH_LEVEL, by this processor.
struct Slot {
    pointer: Cell<*const ()>,
    /// Runs and polls that have been made since the kernel was asked; [`RUNS`]: it is to be asked.
    runs: Cell<u32>,
}

struct Slots([Slot; PROCESSORS]);

// SAFETY: each function below is told the processor that the caller is on and cannot leave, so each
// slot is its processor's alone.
unsafe impl Sync for Slots {}

impl Slots {
    const fn new() -> Self {
        // All zeros: in the image this is data that takes no room in its file.
        Self([const { Slot { pointer: Cell::new(ptr::null()), runs: Cell::new(0) } }; PROCESSORS])
    }

    /// A processor that has no slot stops the machine: a body polled without one would not see that it is cancelled, and its
    /// cleanup would be left out `[C10]`.
    fn of(&self, processor: usize) -> &Slot {
        match self.0.get(processor) {
            Some(slot) => slot,
            None => fail_fast(FailFast::Processor),
        }
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self::new()
    }
}

image_static! {
    /// The slots of this image.
    fn with_slots -> Slots
}

/// Calls `f` while this is what [`get`] answers. The caller runs on this processor at DISPATCH_LEVEL.
pub(super) fn with<R>(processor: usize, pointer: *const (), f: impl FnOnce() -> R) -> R {
    with_slots(|slots| {
        let slot = &slots.of(processor).pointer;
        let outer = slot.replace(pointer);
        let result = f();
        slot.set(outer);
        result
    })
}

/// The pointer of the innermost [`with`], or null. The caller runs on this processor at DISPATCH_LEVEL.
pub(super) fn get(processor: usize) -> *const () {
    with_slots(|slots| slots.of(processor).pointer.get())
}

/// Counts a run, or a poll that a task has woken itself for: whether it is to be put off. The
/// kernel is asked once in [`RUNS`] times, and once it has said yes, each time, until it says no.
/// The caller runs on this processor at DISPATCH_LEVEL.
pub(super) fn should_yield(processor: usize) -> bool {
    with_slots(|slots| {
        let runs = &slots.of(processor).runs;
        let made = runs.get();
        if made < RUNS {
            runs.set(made + 1);
            return false;
        }
        let yields = nt::should_yield();
        if !yields {
            runs.set(1);
        }
        yields
    })
}
