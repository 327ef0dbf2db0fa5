//! The simulated machine, and the machine of the calling thread.
//!
//! Two rules hold. The machine is only accessed through shared references. Each `RefCell` is
//! borrowed for a few lines at a time, never across a preemption point, a routine or a caller's
//! closure `[M1]`. `ACTIVE` points to a machine only while its `run` is on the stack, and `run`
//! outlives all coroutines' execution `[M2]`.

use core::{
    cell::{Cell, RefCell},
    ptr::{NonNull, null},
    sync::atomic::{AtomicU32, Ordering},
};
use std::thread_local;

use super::{
    control::Control, identity::Identities, run_state::Current, schedule::Schedule, scheduling::Scheduling,
};
use crate::{
    arena::Arena,
    config::Config,
    counters::{Counters, Counts},
    fault::{
        stack::{Bounds, limit},
        state::{ExitStack, HangWatch},
    },
    image_state::ImageState,
    kernel::{Kernel, clock::Clock, processor::Processor},
    limits::PROCESSORS,
    low_resources::allocation_faults::AllocationFaults,
    statics::copies::Copies,
    trace::recorder::Recorder,
    verifier::stop::Stop,
};

/// The simulated machine.
pub(crate) struct Machine {
    pub(crate) clock: Clock,
    /// The current processor.
    pub(crate) current: Cell<usize>,
    pub(crate) control: Control,
    /// A bit for each runnable processor.
    pub(crate) runnable: Cell<u64>,
    /// The number of threads that wait in KeFlushQueuedDpcs.
    pub(crate) flushers: Cell<usize>,
    /// A bit for each processor that runs a program.
    pub(crate) programs: Cell<u64>,
    pub(crate) counts: Counts,
    /// A hash of the kernel calls so far and of their steps.
    pub(crate) calls: Cell<u64>,
    pub(crate) identities: Identities,
    pub(crate) processors: [Processor; PROCESSORS],
    pub(crate) config: Cell<Config>,
    pub(crate) tracing: Cell<bool>,
    /// Whether the run is one of the free-running engine.
    pub(crate) is_free: Cell<bool>,
    /// A number that differs for every simulation and reset.
    pub(crate) epoch: Cell<u32>,
    pub(crate) arena: Arena,
    pub(crate) kernel: RefCell<Kernel>,
    pub(crate) scheduling: Scheduling,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) stop: RefCell<Option<Stop>>,
    /// The stop was found between two runs, and no call has answered it yet.
    pub(crate) unreported: Cell<bool>,
    pub(crate) image: ImageState,
    pub(crate) statics: Copies,
    pub(crate) allocation_faults: AllocationFaults,
    /// What the current coroutine executes.
    pub(crate) now: Current,
    /// The bounds of the current coroutine's stack.
    pub(crate) bounds: Cell<Bounds>,
    /// The stack on which a coroutine continues that is abandoned in the middle of its work.
    pub(crate) exit_stack: ExitStack,
    pub(crate) watch: HangWatch,
    /// Stands in for a processor with a number out of range, which never occurs.
    spare: Processor,
}

/// Counts simulations and resets of the process.
static EPOCHS: AtomicU32 = AtomicU32::new(1);

thread_local! {
    /// The machine of this thread's simulation, or null.
    static LOADED: Cell<*const Machine> = const { Cell::new(null()) };
    /// The machine that has a coroutine running on this thread, or null.
    static ACTIVE: Cell<*const Machine> = const { Cell::new(null()) };
}

/// The machine that the caller runs on.
#[inline(always)]
pub(crate) fn active<'a>() -> Option<&'a Machine> {
    let machine = ACTIVE.get();
    // SAFETY: the pointer is null, or valid for as long as the calling coroutine runs [M2].
    unsafe { machine.as_ref() }
}

/// The machine of this thread, running or not.
pub(crate) fn loaded<'a>() -> Option<&'a Machine> {
    let machine = LOADED.get();
    // SAFETY: the pointer is null or the simulation's. The simulation unloads its machine before it
    // frees it.
    unsafe { machine.as_ref() }
}

/// Sets or clears the machine of this thread's simulation.
pub(crate) fn load(machine: Option<NonNull<Machine>>) {
    LOADED.set(machine.map_or(null(), |machine| machine.as_ptr()));
}

/// Sets or clears the machine that runs its coroutines on this thread.
pub(crate) fn activate(machine: Option<NonNull<Machine>>) {
    ACTIVE.set(machine.map_or(null(), |machine| machine.as_ptr()));
}

impl Machine {
    pub(crate) fn new(config: Config, schedule: Schedule) -> Self {
        let machine = Self {
            clock: Clock::default(),
            current: Cell::new(0),
            control: Control::default(),
            runnable: Cell::new(0),
            flushers: Cell::new(0),
            programs: Cell::new(0),
            counts: Counts::default(),
            calls: Cell::new(0),
            identities: Identities::default(),
            processors: [const { Processor::new() }; PROCESSORS],
            config: Cell::new(config),
            tracing: Cell::new(config.trace),
            is_free: Cell::new(false),
            epoch: Cell::new(0),
            arena: Arena::new(config.pool_size),
            kernel: RefCell::default(),
            scheduling: Scheduling::default(),
            recorder: RefCell::default(),
            stop: RefCell::new(None),
            unreported: Cell::new(false),
            image: ImageState::default(),
            statics: Copies::new(),
            allocation_faults: AllocationFaults::default(),
            now: Current::default(),
            bounds: Cell::default(),
            exit_stack: ExitStack::default(),
            watch: HangWatch::default(),
            spare: Processor::new(),
        };
        machine.reset(config, schedule);
        machine
    }

    /// Makes the machine as new, and keeps its memory.
    pub(crate) fn reset(&self, config: Config, schedule: Schedule) {
        let touched = self.config.get().processors.max(config.processors);
        for processor in self.processors.iter().take(touched) {
            processor.reset();
        }
        self.config.set(config);
        self.tracing.set(config.trace);
        self.clock.reset(config.step_time, config.tick);
        self.current.set(0);
        self.control.reset();
        self.runnable.set(0);
        self.flushers.set(0);
        self.programs.set(0);
        self.counts.reset();
        self.calls.set(0);
        self.identities.reset();
        let mut kernel = self.kernel.borrow_mut();
        self.arena.reset(kernel.pool.top());
        kernel.reset(config.processors, self.arena.size());
        self.scheduling.reset(schedule);
        self.recorder.borrow_mut().reset();
        self.stop.replace(None);
        self.unreported.set(false);
        self.image.reset();
        self.statics.reset();
        self.allocation_faults.reset(config.low_resources);
        self.now.reset(Some(limit(config.stack)));
        self.watch.set(config.hang);
        self.epoch.set(EPOCHS.fetch_add(1, Ordering::Relaxed));
    }

    /// Gives a machine that has just been reset another arena.
    #[cold]
    pub(crate) fn replace_arena(&mut self, size: usize) {
        self.arena = Arena::new(size);
        self.arena.reset(0);
        self.kernel.get_mut().pool.reset(size);
    }

    /// The processor with this number.
    #[inline(always)]
    pub(crate) fn processor(&self, number: usize) -> &Processor {
        self.processors.get(number).unwrap_or(&self.spare)
    }

    /// The current processor.
    #[inline(always)]
    pub(crate) fn cpu(&self) -> &Processor {
        self.processor(self.current.get())
    }

    /// The current processor's IRQL.
    #[inline(always)]
    pub(crate) fn irql(&self) -> u8 {
        self.cpu().irql.get()
    }

    /// How many processors there are.
    pub(crate) fn count(&self) -> usize {
        self.config.get().processors
    }

    /// The counters.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            steps: self.clock.steps(),
            switches: self.counts.switches.get(),
            rmw: self.counts.rmw.get(),
            loads: self.counts.loads.get(),
            stores: self.counts.stores.get(),
            allocations: self.counts.allocations.get(),
            frees: self.counts.frees.get(),
            kernel_calls: self.counts.kernel_calls.get(),
            dpcs_run: self.counts.dpcs_run.get(),
            live_blocks: self.live_blocks(),
            stack: self.now.deepest() as u64,
        }
    }

    /// How many blocks of pool are allocated.
    pub(crate) fn live_blocks(&self) -> u64 {
        self.kernel.borrow().pool.live() as u64
    }
}
