//! The kernel as a plain state machine. It identifies objects by their addresses and follows no raw
//! pointer.
#![deny(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod device;
pub(crate) mod dpc;
pub(crate) mod etw;
pub(crate) mod format;
pub(crate) mod io;
pub(crate) mod irp;
pub(crate) mod lock;
pub(crate) mod lookaside;
pub(crate) mod mutex;
pub(crate) mod order;
pub(crate) mod pool;
pub(crate) mod processor;
pub(crate) mod tag;
pub(crate) mod thread;
pub(crate) mod timer;
pub(crate) mod wait;
pub(crate) mod work;

/// The state that needs a mutable borrow. State that is read at every preemption point is in cells
/// instead, in [`processor::Processor`] and [`clock::Clock`].
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) dpcs: dpc::Queues,
    pub(crate) timers: timer::Timers,
    pub(crate) locks: lock::Locks,
    pub(crate) threads: thread::Threads,
    pub(crate) waits: wait::Waits,
    pub(crate) mutexes: mutex::Mutexes,
    pub(crate) order: order::LockOrder,
    pub(crate) tags: tag::Tags,
    pub(crate) lookaside: lookaside::Lists,
    pub(crate) irps: irp::Irps,
    pub(crate) io: io::Io,
    pub(crate) work: work::Work,
    pub(crate) devices: device::Devices,
    pub(crate) etw: etw::Etw,
    pub(crate) pool: pool::Pool,
}

impl Kernel {
    /// Returns whether there may be objects in pool that must not be freed, besides DPCs, timers
    /// and spin locks.
    pub(crate) fn has_objects(&self) -> bool {
        !self.waits.all().is_empty()
            || !self.mutexes.held().is_empty()
            || !self.tags.is_empty()
            || !self.lookaside.is_empty()
            || !self.order.is_empty()
            || self.work.is_used()
    }

    /// Resets the kernel for `processors` processors. Keeps its memory.
    pub(crate) fn reset(&mut self, processors: usize, pool: usize) {
        self.dpcs.reset(processors);
        self.timers.reset();
        self.locks.reset();
        self.threads.reset();
        self.waits.reset();
        self.mutexes.reset();
        self.order.reset();
        self.tags.reset();
        self.lookaside.reset();
        self.irps.reset();
        self.io.reset();
        self.work.reset();
        self.devices.reset();
        self.etw.reset();
        self.pool.reset(pool);
    }
}
