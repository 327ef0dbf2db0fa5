//! The state of a processor, such as its IRQL, its activity, and whether a DPC interrupt is
//! pending.

use core::cell::Cell;

use super::thread::NO_THREAD;
use crate::verifier::irql::Ddi;

/// The activity of a processor's thread of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Activity {
    /// No thread runs. The processor is runnable only for its DPC queue and for threads that are
    /// ready.
    #[default]
    Idle,
    /// The processor runs a thread, or DPCs from idleness.
    Live,
    /// The processor waits for the spin lock at this address.
    Waiting(usize),
}

/// The state of one processor.
#[derive(Debug)]
pub(crate) struct Processor {
    pub(crate) irql: Cell<u8>,
    pub(crate) activity: Cell<Activity>,
    /// The context that runs on it, or [`NO_THREAD`].
    pub(crate) context: Cell<usize>,
    /// How many threads are ready on it.
    pub(crate) ready: Cell<usize>,
    /// Whether a DPC interrupt has been requested. It is delivered as soon as IRQL is below
    /// DISPATCH_LEVEL.
    pub(crate) interrupt: Cell<bool>,
    /// The number of entries in its DPC queue.
    pub(crate) queued: Cell<usize>,
    /// The time at which the first of those entries was queued.
    pub(crate) late_since: Cell<u64>,
    /// Whether it is in a DPC routine.
    pub(crate) in_dpc: Cell<bool>,
    /// An address in the frame that called the DPC routine.
    pub(crate) dpc_frame: Cell<usize>,
    /// The number of the insertion that the DPC routine runs for.
    pub(crate) dpc_number: Cell<u64>,
    /// The times at which the current drain of the DPC queue and the current routine began.
    pub(crate) drain_start: Cell<u64>,
    pub(crate) dpc_start: Cell<u64>,
    /// The time at which its thread last raised the IRQL to DISPATCH_LEVEL or above.
    pub(crate) dispatch_start: Cell<u64>,
    /// Whether it is between the first and the last DPC of a drain.
    pub(crate) draining: Cell<bool>,
    /// The last kernel call that was made on it.
    pub(crate) last_call: Cell<Option<Ddi>>,
    /// The IRQL before a release that promised a wait next.
    pub(crate) joined: Cell<Option<u8>>,
}

impl Processor {
    pub(crate) const fn new() -> Self {
        Self {
            irql: Cell::new(0),
            activity: Cell::new(Activity::Idle),
            context: Cell::new(NO_THREAD),
            ready: Cell::new(0),
            interrupt: Cell::new(false),
            queued: Cell::new(0),
            late_since: Cell::new(0),
            in_dpc: Cell::new(false),
            dpc_frame: Cell::new(0),
            dpc_number: Cell::new(0),
            drain_start: Cell::new(0),
            dpc_start: Cell::new(0),
            dispatch_start: Cell::new(0),
            draining: Cell::new(false),
            last_call: Cell::new(None),
            joined: Cell::new(None),
        }
    }

    /// Resets the processor.
    pub(crate) fn reset(&self) {
        self.irql.set(0);
        self.activity.set(Activity::Idle);
        self.context.set(NO_THREAD);
        self.ready.set(0);
        self.interrupt.set(false);
        self.queued.set(0);
        self.late_since.set(0);
        self.in_dpc.set(false);
        self.drain_start.set(0);
        self.dpc_start.set(0);
        self.dispatch_start.set(0);
        self.draining.set(false);
        self.last_call.set(None);
        self.joined.set(None);
    }
}
