//! A pointer for each processor.

use core::{cell::Cell, ptr};

use super::image::{PROCESSORS, image_static};
use crate::fail::{FailFast, fail_fast};

/// Each is only touched at DISPATCH_LEVEL, by its processor.
struct Slots([Cell<*const ()>; PROCESSORS]);

// SAFETY: `with` and `get` are told the processor that the caller is on and cannot leave, so each slot is its processor's alone.
unsafe impl Sync for Slots {}

impl Slots {
    const fn new() -> Self {
        Self([const { Cell::new(ptr::null()) }; PROCESSORS])
    }

    /// A processor that has no slot stops the machine: a body polled without one would not see that it is cancelled, and its
    /// cleanup would be left out `[C10]`.
    fn of(&self, processor: usize) -> &Cell<*const ()> {
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
        let slot = slots.of(processor);
        let outer = slot.replace(pointer);
        let result = f();
        slot.set(outer);
        result
    })
}

/// The pointer of the innermost [`with`], or null. The caller runs on this processor at DISPATCH_LEVEL.
pub(super) fn get(processor: usize) -> *const () {
    with_slots(|slots| slots.of(processor).get())
}
