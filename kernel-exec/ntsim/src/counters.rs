//! Counters of a simulation's events.

use core::cell::Cell;

/// The number of events of each kind since the simulation began. `live_blocks` is a level and
/// `stack` a high-water mark, not a count.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Preemption points.
    pub steps: u64,
    /// Switches of the running processor.
    pub switches: u64,
    /// Atomic read-modify-writes, failed compare-exchanges among them.
    pub rmw: u64,
    /// Atomic loads.
    pub loads: u64,
    /// Atomic stores.
    pub stores: u64,
    /// Pool allocations that succeeded.
    pub allocations: u64,
    /// Pool blocks freed.
    pub frees: u64,
    /// DDI calls.
    pub kernel_calls: u64,
    /// DPC routines called.
    pub dpcs_run: u64,
    /// Pool blocks allocated now.
    pub live_blocks: u64,
    /// The most bytes of a stack that the driver has used in one thread, or in one DPC, as seen at
    /// kernel calls and atomics. [`Config::stack`](crate::Config::stack) limits them. 0 if stacks
    /// have no limit, and in free runs.
    pub stack: u64,
}

/// The counters that each event increments.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) switches: Count,
    pub(crate) rmw: Count,
    pub(crate) loads: Count,
    pub(crate) stores: Count,
    pub(crate) allocations: Count,
    pub(crate) frees: Count,
    pub(crate) kernel_calls: Count,
    pub(crate) dpcs_run: Count,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Count(Cell<u64>);

impl Count {
    #[inline(always)]
    pub(crate) fn add(&self) {
        self.0.set(self.0.get().wrapping_add(1));
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }

    pub(crate) fn reset(&self) {
        self.0.set(0);
    }
}

impl Counts {
    pub(crate) fn reset(&self) {
        let all = [
            &self.switches,
            &self.rmw,
            &self.loads,
            &self.stores,
            &self.allocations,
            &self.frees,
            &self.kernel_calls,
            &self.dpcs_run,
        ];
        for count in all {
            count.reset();
        }
    }
}
