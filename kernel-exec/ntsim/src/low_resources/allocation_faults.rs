//! A machine's record of allocations that have failed.

extern crate alloc;

use alloc::{collections::BTreeSet, string::String, vec::Vec};
use core::cell::{Cell, RefCell};

use crate::config::LowResources;

/// A machine's record of allocations that have failed.
#[derive(Debug, Default)]
pub(crate) struct AllocationFaults {
    /// Call stacks with an allocation that has failed, as return addresses, innermost first. Resets
    /// leave it.
    pub(super) failed: RefCell<BTreeSet<Vec<usize>>>,
    /// Whether the next allocation of a new call stack fails.
    pub(super) armed: Cell<bool>,
    /// The number of allocations since the reset.
    pub(super) asked: Cell<u32>,
    /// The allocation that failed, and its callers.
    pub(super) site: RefCell<Option<(u32, String)>>,
}

impl AllocationFaults {
    pub(crate) fn reset(&self, low_resources: LowResources) {
        self.armed.set(low_resources == LowResources::Systematic);
        self.asked.set(0);
        self.site.take();
    }
}
