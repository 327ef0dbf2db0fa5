//! The simulated kernel. The thread that runs a program is at DISPATCH_LEVEL except while the
//! executor runs.

use core::{
    cell::{Cell, RefCell},
    ffi::c_void,
    ptr,
};

use ntcom_exec::{TaskTracker, default_tracker};
use ntcom_kit_table::{Program, Stop, TEXT};
use ntsim::{
    Config, Schedule, Simulation,
    ddi::{IoCreateDevice, IoDeleteDevice, KeDelayExecutionThread, KeLowerIrql, KeRaiseIrqlToDpcLevel},
    types::{_MODE::KernelMode, FILE_DEVICE_UNKNOWN, LARGE_INTEGER, PASSIVE_LEVEL, PDEVICE_OBJECT},
};

use crate::threads;

/// One tick of the clock, in units of 100 ns. A body with a spent poll budget goes on after one
/// tick.
const TICK: u64 = 156_250;
/// The number of ticks that let each of the kit's bodies go on to its next wait.
const TICKS: usize = 16;

thread_local! {
    static KERNEL: RefCell<Option<Simulation>> = const { RefCell::new(None) };
    /// Pool blocks other than operations, as the number of living ones and the number there have
    /// been.
    static OTHERS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    /// The device of the work items, and whether the run has had a body on one.
    static DEVICE: Cell<(PDEVICE_OBJECT, bool)> = const { Cell::new((ptr::null_mut(), false)) };
}

/// The configuration for this number of processors.
pub(crate) fn config(processors: usize) -> Config {
    Config { processors, step_time: 0, step_limit: 1_000_000, ..Config::default() }
}

pub(crate) unsafe extern "C" fn run(program: Program, context: *mut c_void, stop: *mut Stop) -> i32 {
    let whole = move || {
        begin();
        create_device();
        raise();
        // SAFETY: the kit passes its program with the program's context.
        unsafe { program(context) };
        lower();
        delete_device();
    };
    let ended = with_kernel(config(1), Schedule::round_robin(), |kernel| {
        kernel.run_on(0, whole).and_then(|()| kernel.unload())
    });
    // SAFETY: the kit passes a writable `stop`.
    unsafe { tell(ended, stop) }
}

/// Makes the objects that the image keeps for itself, before anything is counted.
pub(crate) fn begin() {
    default_tracker(TaskTracker::unfinished);
}

/// Runs on a freshly booted kernel. One kernel serves all runs, and a stopped one is booted anew.
pub(crate) fn with_kernel<R>(
    config: Config,
    schedule: Schedule,
    run: impl FnOnce(&mut Simulation) -> R,
) -> R {
    OTHERS.set((0, 0));
    KERNEL.with_borrow_mut(|kernel| {
        let kernel = kernel.get_or_insert_with(|| Simulation::new(config, Schedule::round_robin()));
        kernel.reset(config, schedule);
        run(kernel)
    })
}

/// Writes the end of a run as the header declares it.
///
/// # Safety
/// `stop` is writable.
pub(crate) unsafe fn tell(ended: Result<(), ntsim::Stop>, stop: *mut Stop) -> i32 {
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
    // SAFETY: the caller passes a writable `stop`.
    unsafe { stop.write(said) };
    1
}

/// Raises the IRQL from PASSIVE_LEVEL, where programs begin, to DISPATCH_LEVEL.
pub(crate) fn raise() {
    // SAFETY: programs begin at PASSIVE_LEVEL, which is below DISPATCH_LEVEL.
    unsafe { KeRaiseIrqlToDpcLevel() };
}

/// Lowers the IRQL to PASSIVE_LEVEL, so that queued DPCs run.
pub(crate) fn lower() {
    // SAFETY: `raise` raised the IRQL from PASSIVE_LEVEL.
    unsafe { KeLowerIrql(PASSIVE_LEVEL as u8) };
}

pub(crate) extern "C" fn advance() {
    lower();
    threads::join();
    for _ in 0..TICKS {
        pass_time();
    }
    threads::join();
    raise();
}

/// Lets a tick of the clock pass. Bodies on work items run in other threads, while this one is
/// delayed.
fn pass_time() {
    let (_, is_used) = DEVICE.get();
    if is_used {
        let mut tick = LARGE_INTEGER { QuadPart: -(TICK as i64) };
        // SAFETY: at PASSIVE_LEVEL; the interval is good.
        unsafe { KeDelayExecutionThread(KernelMode as i8, 0, &raw mut tick) };
    } else {
        ntsim::advance_time(TICK);
    }
}

/// Creates the device of the work items. IRQL: PASSIVE_LEVEL.
fn create_device() {
    let (driver, mut device) = (ntsim::driver_object(), ptr::null_mut());
    let before = ntsim::live_blocks();
    // SAFETY: the driver's object, and a place for the device.
    unsafe { IoCreateDevice(driver, 0, ptr::null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
    OTHERS.set((ntsim::live_blocks() - before, 0));
    DEVICE.set((device, false));
}

/// The device, for a new body on a work item.
pub(crate) fn device() -> PDEVICE_OBJECT {
    let (device, _) = DEVICE.get();
    DEVICE.set((device, true));
    device
}

/// Deletes the device, before the driver is unloaded.
fn delete_device() {
    let (device, _) = DEVICE.replace((ptr::null_mut(), false));
    if !device.is_null() {
        // SAFETY: the device of this run, once.
        unsafe { IoDeleteDevice(device) };
    }
}

pub(crate) extern "C" fn fail_next_allocation() {
    ntsim::fail_allocation(0);
}

/// Counts the allocation of a block other than an operation.
pub(crate) fn other_allocated() {
    let (live, ever) = OTHERS.get();
    OTHERS.set((live + 1, ever + 1));
}

/// Counts the end of a block other than an operation.
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
    // SAFETY: the kit passes its function with the function's context.
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

/// Drains in a body, at PASSIVE_LEVEL.
pub(crate) extern "C" fn drain_in_body() -> i32 {
    match default_tracker(|tracker| tracker.drain(None)) {
        Ok(()) => 0,
        Err(why) => why.status().0,
    }
}
