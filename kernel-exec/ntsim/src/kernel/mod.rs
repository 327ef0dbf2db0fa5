//! The kernel as a plain state machine: no raw pointer is followed here, objects are known by their addresses.
#![deny(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod dpc;
pub(crate) mod lock;
pub(crate) mod pool;
pub(crate) mod processor;
pub(crate) mod timer;

/// Everything that needs a mutable borrow. What is asked for at every preemption point lives in cells instead: see
/// [`processor::Processor`] and [`clock::Clock`].
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) dpcs: dpc::Queues,
    pub(crate) timers: timer::Timers,
    pub(crate) locks: lock::Locks,
    pub(crate) pool: pool::Pool,
}

impl Kernel {
    /// As new, for `processors` processors; keeps its memory.
    pub(crate) fn reset(&mut self, processors: usize) {
        self.dpcs.reset(processors);
        self.timers.reset();
        self.locks.reset();
        self.pool.reset();
    }
}
