//! The executor's state of each processor. It is the task that the processor polls, and the time of
//! the next question whether to let other code run.
//!
//! # Why runs are counted
//!
//! An executor does not see where a processor begins and ends to run DPCs, and tasks that wake each
//! other could keep it there. So each processor counts runs, and polls that tasks wake themselves
//! for. Once in 16 it asks `KeShouldYieldProcessor`, and its runs are put off by their timers while
//! the answer is yes.

use core::{cell::Cell, ptr};

use super::image::{PROCESSORS, image_static};
use crate::{
    fail::{FailFast, fail_fast},
    nt,
};

/// The number of runs, and of polls that tasks have woken themselves for, between two questions to
/// the kernel whether to yield.
///
/// The executor does not see where a processor begins and ends to run DPCs, so it counts across all
/// of them. The kernel does see it, so the executor asks the kernel.
const RUNS: u32 = 16;

/// The slot of one processor. Only touched at DISPATCH_LEVEL, by this processor.
struct ProcessorSlot {
    pointer: Cell<*const ()>,
    /// The runs and polls since the kernel was asked. At [`RUNS`] the kernel is asked again.
    runs: Cell<u32>,
}

struct ProcessorSlots([ProcessorSlot; PROCESSORS]);

// SAFETY: the caller of each function below names the processor that it is on and cannot leave, so
// each slot is touched by its own processor only.
unsafe impl Sync for ProcessorSlots {}

impl ProcessorSlots {
    const fn new() -> Self {
        // All bytes are zero, so this data takes no room in the image's file.
        Self([const { ProcessorSlot { pointer: Cell::new(ptr::null()), runs: Cell::new(0) } }; PROCESSORS])
    }

    /// Returns the slot of a processor.
    ///
    /// A processor without a slot stops the machine. A body polled without a slot would not see
    /// that it is cancelled, and its cleanup would be left out `[C10]`.
    fn of(&self, processor: usize) -> &ProcessorSlot {
        match self.0.get(processor) {
            Some(slot) => slot,
            None => fail_fast(FailFast::Processor),
        }
    }
}

impl Default for ProcessorSlots {
    fn default() -> Self {
        Self::new()
    }
}

image_static! {
    /// The slots of this image.
    fn with_slots -> ProcessorSlots
}

/// Calls `f`, and until it returns, [`get`] returns `pointer`. The caller runs on this processor at
/// DISPATCH_LEVEL.
pub(super) fn with<R>(processor: usize, pointer: *const (), f: impl FnOnce() -> R) -> R {
    with_slots(|slots| {
        let slot = &slots.of(processor).pointer;
        let outer = slot.replace(pointer);
        let result = f();
        slot.set(outer);
        result
    })
}

/// Returns the pointer of the innermost [`with`], or null. The caller runs on this processor at
/// DISPATCH_LEVEL.
pub(super) fn get(processor: usize) -> *const () {
    with_slots(|slots| slots.of(processor).pointer.get())
}

/// Counts a run, or a poll that a task has woken itself for, and returns whether to defer it.
///
/// Every [`RUNS`] times it asks the kernel, and after a yes each time, until the kernel says no.
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
