//! The simulated kernel: one processor, which is at DISPATCH_LEVEL but while the executor runs.

use core::{
    cell::{Cell, RefCell},
    ffi::c_void,
};

use ntcom_exec::{TaskTracker, default_tracker};
use ntcom_kit::table::{Program, Stop, TEXT};
use ntsim::{
    Config, Schedule, Simulation,
    ddi::{KeLowerIrql, KeRaiseIrqlToDpcLevel},
};

/// Ticks of the clock, in units of 100 ns: a body whose poll budget is spent goes on after one.
const TICK: u64 = 156_250;
/// So many ticks let each of the kit's bodies go on to its next wait.
const TICKS: usize = 16;

thread_local! {
    static KERNEL: RefCell<Option<Simulation>> = const { RefCell::new(None) };
    /// Pool blocks that are no operations: live ones, and how many there have been.
    static OTHERS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    static BEFORE: Cell<u8> = const { Cell::new(0) };
}

struct Context(*mut c_void);

pub(crate) unsafe extern "C" fn run(program: Program, context: *mut c_void, stop: *mut Stop) -> i32 {
    let config = Config { step_time: 0, step_limit: 1_000_000, ..Config::default() };
    OTHERS.set((0, 0));
    let context = Context(context);
    let whole = move || {
        let context = context;
        // What the image keeps for itself is made first.
        default_tracker(TaskTracker::unfinished);
        raise();
        // SAFETY: the header: the kit's program and its context.
        unsafe { program(context.0) };
        lower();
    };
    let ended = KERNEL.with_borrow_mut(|kernel| {
        // One for all runs: after a stop it begins anew.
        let kernel = kernel.get_or_insert_with(|| Simulation::new(config, Schedule::round_robin()));
        kernel.reset(config, Schedule::round_robin());
        kernel.run(vec![(0, Box::new(whole))]).and_then(|()| kernel.unload())
    });
    let Err(why) = ended else { return 0 };
    let text = why.to_string();
    let mut said = Stop::EMPTY;
    for (to, from) in said.text.iter_mut().zip(text.bytes().take(TEXT - 1)) {
        *to = from;
    }
    if let Some(check) = why.bug_check() {
        said.bug_check = check.code;
        said.parameter = check.parameters[0];
    }
    // SAFETY: the header: the kit's place for it.
    unsafe { stop.write(said) };
    1
}

/// To DISPATCH_LEVEL.
fn raise() {
    // SAFETY: from PASSIVE_LEVEL, where programs begin.
    BEFORE.set(unsafe { KeRaiseIrqlToDpcLevel() });
}

/// Back: what is queued runs.
fn lower() {
    // SAFETY: what the raise answered.
    unsafe { KeLowerIrql(BEFORE.get()) };
}

pub(crate) extern "C" fn advance() {
    lower();
    for _ in 0..TICKS {
        ntsim::advance_time(TICK);
    }
    raise();
}

pub(crate) extern "C" fn fail_next_allocation() {
    ntsim::fail_allocation(0);
}

/// Something else than an operation has been allocated.
pub(crate) fn other_allocated() {
    let (live, ever) = OTHERS.get();
    OTHERS.set((live + 1, ever + 1));
}

/// And is gone.
pub(crate) fn other_freed() {
    let (live, ever) = OTHERS.get();
    OTHERS.set((live - 1, ever));
}

pub(crate) extern "C" fn live_operations() -> u64 {
    ntsim::live_blocks() - OTHERS.get().0
}

pub(crate) extern "C" fn allocations() -> u64 {
    ntsim::counters().allocations
}

pub(crate) extern "C" fn irql() -> u32 {
    ntsim::irql().into()
}

pub(crate) extern "C" fn close() {
    default_tracker(TaskTracker::close);
}

pub(crate) extern "C" fn cancel_all() {
    default_tracker(TaskTracker::cancel_all);
}

pub(crate) unsafe extern "C" fn at_passive_level(what: Program, context: *mut c_void) {
    lower();
    // SAFETY: the header: the kit's function and its context.
    unsafe { what(context) };
    raise();
}

pub(crate) extern "C" fn drain() {
    lower();
    let drained = default_tracker(|tracker| tracker.drain(None));
    if let Err(why) = drained {
        ntsim::fail("C18", format!("drain: {why:?}"));
    }
    raise();
}
