//! The simulated machine, and how a DDI, which has no argument for it, finds the one it is in.
//!
//! Rules: the machine is only touched through shared references; what is in a `RefCell` is borrowed for a few lines at a time,
//! never across a preemption point, a routine or a closure of somebody else's `[M1]`. `ACTIVE` points to a machine only while
//! its `run` is on the stack, which outlives everything that its coroutines do `[M2]`.

use core::{
    cell::{Cell, RefCell},
    ptr::{NonNull, null},
    sync::atomic::{AtomicU32, Ordering},
};
use std::thread_local;

use corosensei::Yielder;

use super::{
    between::{advice, refuse},
    free,
    identity::Identities,
    recording::{Decision, Recording},
    run::Job,
    run_state::Current,
    schedule::{Schedule, mixed},
};
use crate::{
    arena::Arena,
    config::Config,
    counters::{Counters, Counts},
    fault::{
        host::{Aside, Watch},
        stack::{Bounds, limit},
    },
    image_state::ImageState,
    kernel::{Kernel, clock::Clock, processor::Processor},
    low_resources::Low,
    statics::Copies,
    trace::recorder::Recorder,
    verifier::{irql::Ddi, stop::Stop},
};

/// Most processors of a machine.
pub(crate) const PROCESSORS: usize = 64;
/// No processor: the loop outside all coroutines is to find one.
pub(crate) const NOBODY: usize = usize::MAX;

/// How a coroutine gives up control.
pub(crate) type Suspend = Yielder<(), ()>;

/// The simulated machine.
pub(crate) struct Machine {
    pub(crate) clock: Clock,
    /// The processor that runs.
    pub(crate) current: Cell<usize>,
    /// The processor that is to run next, set before a coroutine gives up control; or [`NOBODY`].
    pub(crate) next: Cell<usize>,
    /// A coroutine is running, not the loop outside.
    pub(crate) inside: Cell<bool>,
    /// A bit for each processor that can go on.
    pub(crate) runnable: Cell<u64>,
    /// What the coroutine that is resumed next begins with.
    pub(crate) job: Cell<Job>,
    /// The program that runs is a driver's Unload routine: what is pending when it returns stays so.
    pub(crate) unloading: Cell<bool>,
    /// The coroutine that was resumed has nothing more to do.
    pub(crate) served: Cell<bool>,
    /// The thread whose coroutine was resumed has ended, and leaves its stack as it is.
    pub(crate) ended: Cell<bool>,
    /// Threads in KeFlushQueuedDpcs that wait.
    pub(crate) flushers: Cell<usize>,
    /// Jumps of the clock to a timer so far.
    pub(crate) jumps: Cell<u64>,
    /// When the clock first jumped after all programs of the run had ended.
    pub(crate) quiet_since: Cell<Option<u64>>,
    /// A bit for each processor that has a program.
    pub(crate) programs: Cell<u64>,
    pub(crate) counts: Counts,
    /// A hash of the kernel calls so far and of their steps.
    pub(crate) calls: Cell<u64>,
    pub(crate) identities: Identities,
    pub(crate) processors: [Processor; PROCESSORS],
    /// How the coroutine that runs gives up control.
    pub(crate) yielder: Cell<*const Suspend>,
    pub(crate) config: Cell<Config>,
    pub(crate) tracing: Cell<bool>,
    /// The run is one of the free-running engine's.
    pub(crate) is_free: Cell<bool>,
    /// Different for every simulation and reset.
    pub(crate) epoch: Cell<u32>,
    pub(crate) arena: Arena,
    pub(crate) kernel: RefCell<Kernel>,
    pub(crate) schedule: RefCell<Schedule>,
    pub(crate) decisions: RefCell<Recording>,
    /// While tracing: each decision, and how many events there were before it.
    pub(crate) ordered: RefCell<Vec<(usize, Decision)>>,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) stop: RefCell<Option<Stop>>,
    /// The stop was found between two runs, and no call has answered it yet.
    pub(crate) unreported: Cell<bool>,
    pub(crate) image: ImageState,
    pub(crate) statics: Copies,
    pub(crate) low: Low,
    /// What runs on the current coroutine.
    pub(crate) now: Current,
    /// Where the current coroutine's stack is.
    pub(crate) bounds: Cell<Bounds>,
    /// Where a coroutine goes on that is left for ever in the middle of something.
    pub(crate) aside: Aside,
    pub(crate) watch: Watch,
    /// Stands in where a processor's number would be out of range, which it never is.
    spare: Processor,
}

/// Counts simulations and resets of the process.
static EPOCHS: AtomicU32 = AtomicU32::new(1);

thread_local! {
    /// The machine of this thread's simulation, or null.
    static LOADED: Cell<*const Machine> = const { Cell::new(null()) };
    /// The machine whose coroutine is running on this thread, or null.
    static ACTIVE: Cell<*const Machine> = const { Cell::new(null()) };
}

/// The machine that the caller's code is running on.
#[inline(always)]
pub(crate) fn active<'a>() -> Option<&'a Machine> {
    let machine = ACTIVE.get();
    // SAFETY: null, or valid for as long as the coroutine that is calling lives [M2].
    unsafe { machine.as_ref() }
}

/// The machine of this thread, running or not.
pub(crate) fn loaded<'a>() -> Option<&'a Machine> {
    let machine = LOADED.get();
    // SAFETY: null, or the simulation's, which unloads it before it frees it.
    unsafe { machine.as_ref() }
}

/// Makes a machine this thread's, or none.
pub(crate) fn load(machine: Option<NonNull<Machine>>) {
    LOADED.set(machine.map_or(null(), |machine| machine.as_ptr()));
}

/// Makes a machine the one that coroutines run on, or none.
pub(crate) fn activate(machine: Option<NonNull<Machine>>) {
    ACTIVE.set(machine.map_or(null(), |machine| machine.as_ptr()));
}

/// The machine, for as long as a DDI takes. Where the run is a free one, and the caller did not have the baton, it is given back at the end.
pub(crate) struct Entered<'a> {
    machine: &'a Machine,
    taken: bool,
    /// Whether the DDI is a kernel call: there is a point behind the call's effect.
    call: bool,
}

impl core::ops::Deref for Entered<'_> {
    type Target = Machine;

    #[inline(always)]
    fn deref(&self) -> &Machine {
        self.machine
    }
}

impl Drop for Entered<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.call {
            self.machine.now.set_call(None);
            self.machine.point_after();
        }
        if free::ENABLED && self.taken {
            free::return_baton(self.machine);
        }
    }
}

/// The machine that the caller's code is running on, for a while.
#[inline(always)]
pub(crate) fn here<'a>() -> Option<Entered<'a>> {
    match active() {
        Some(machine) => Some(Entered { machine, taken: false, call: false }),
        None => free::take_baton().map(|machine| Entered { machine, taken: true, call: false }),
    }
}

/// As [`here`], or the machine of this thread that is not running.
#[inline(always)]
pub(crate) fn loaded_here<'a>() -> Option<Entered<'a>> {
    here().or_else(|| loaded().map(|machine| Entered { machine, taken: false, call: false }))
}

/// The machine of the calling thread, running or not, without the baton: only what does not change
/// during a run, or is made for several threads, may be used.
#[inline(always)]
pub(crate) fn mine<'a>() -> Option<&'a Machine> {
    active().or_else(|| free::bystander().map(|(machine, _)| machine)).or_else(loaded)
}

/// The machine, at the start of a DDI: a preemption point, a count, and the check of the ceiling.
/// Where the DDI ends is a point, too.
#[inline]
pub(crate) fn enter<'a>(ddi: Ddi) -> Entered<'a> {
    let Some(machine) = here() else { outside(ddi.name()) };
    machine.begin_call(ddi)
}

/// As [`enter`], for a call that does nothing between two runs, and that is reported then.
#[inline]
pub(crate) fn enter_run<'a>(ddi: Ddi) -> Option<Entered<'a>> {
    match here() {
        Some(machine) => Some(machine.begin_call(ddi)),
        None => {
            refuse(ddi);
            None
        }
    }
}

impl Entered<'_> {
    #[inline(always)]
    pub(crate) fn begin_call(mut self, ddi: Ddi) -> Self {
        let machine = &mut self;
        machine.cpu().last_call.set(Some(ddi));
        machine.count_segment();
        machine.point();
        machine.now.set_call(Some(ddi));
        machine.call = true;
        machine.counts.kernel_calls.add();
        machine.calls.set(mixed(machine.calls.get(), machine.clock.steps() << 16 | ddi as u64));
        if let Err(violation) = ddi.check(machine.irql()) {
            machine.bug_check(violation);
        }
        self
    }
}

/// A call that needs a kernel, without one. Out of a DDI the panic is an abort: it cannot leave an `extern "C"` function.
#[cold]
#[expect(clippy::panic, reason = "there is no kernel that could stop, and nothing true to return")]
pub(crate) fn outside(name: &str) -> ! {
    panic!("ntsim: {name} called outside a simulation run, {}", advice())
}

impl Machine {
    pub(crate) fn new(config: Config, schedule: Schedule) -> Self {
        let machine = Self {
            clock: Clock::default(),
            current: Cell::new(0),
            next: Cell::new(NOBODY),
            inside: Cell::new(false),
            runnable: Cell::new(0),
            job: Cell::new(Job::Idle),
            unloading: Cell::new(false),
            served: Cell::new(false),
            ended: Cell::new(false),
            flushers: Cell::new(0),
            jumps: Cell::new(0),
            quiet_since: Cell::new(None),
            programs: Cell::new(0),
            counts: Counts::default(),
            calls: Cell::new(0),
            identities: Identities::default(),
            processors: [const { Processor::new() }; PROCESSORS],
            yielder: Cell::new(null()),
            config: Cell::new(config),
            tracing: Cell::new(config.trace),
            is_free: Cell::new(false),
            epoch: Cell::new(0),
            arena: Arena::new(config.pool_size),
            kernel: RefCell::default(),
            schedule: RefCell::new(Schedule::round_robin()),
            decisions: RefCell::default(),
            ordered: RefCell::default(),
            recorder: RefCell::default(),
            stop: RefCell::new(None),
            unreported: Cell::new(false),
            image: ImageState::default(),
            statics: Copies::new(),
            low: Low::default(),
            now: Current::default(),
            bounds: Cell::default(),
            aside: Aside::default(),
            watch: Watch::default(),
            spare: Processor::new(),
        };
        machine.reset(config, schedule);
        machine
    }

    /// As new; keeps its memory.
    pub(crate) fn reset(&self, config: Config, schedule: Schedule) {
        let touched = self.config.get().processors.max(config.processors);
        for processor in self.processors.iter().take(touched) {
            processor.reset();
        }
        self.config.set(config);
        self.tracing.set(config.trace);
        self.clock.reset(config.step_time, config.tick);
        self.current.set(0);
        self.next.set(NOBODY);
        self.inside.set(false);
        self.runnable.set(0);
        self.served.set(false);
        self.ended.set(false);
        self.flushers.set(0);
        self.jumps.set(0);
        self.quiet_since.set(None);
        self.programs.set(0);
        self.counts.reset();
        self.calls.set(0);
        self.identities.reset();
        let mut kernel = self.kernel.borrow_mut();
        self.arena.reset(kernel.pool.top());
        kernel.reset(config.processors, self.arena.size());
        self.schedule.replace(schedule);
        self.decisions.borrow_mut().clear();
        self.ordered.borrow_mut().clear();
        self.recorder.borrow_mut().reset();
        self.stop.replace(None);
        self.unreported.set(false);
        self.image.reset();
        self.statics.reset();
        self.low.reset(config.low_resources);
        self.now.reset(Some(limit(config.stack)));
        self.watch.set(config.hang);
        self.epoch.set(EPOCHS.fetch_add(1, Ordering::Relaxed));
    }

    /// Gives the machine, which has just been reset, another arena.
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
