//! Hunts a race in a driver of twenty lines, in three ways, and draws it: `cargo run -p ntsim
//! --example planted_race -- race.html`
#![allow(
    unsafe_op_in_unsafe_fn,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    clippy::wildcard_imports,
    reason = "the driver is as drivers are written: every function is unsafe, and says nothing about it"
)]

use core::ptr::null_mut;

use ntsim::{
    Config, Finding, Limits, Schedule, Simulation, Stop, ddi::*, explore, sync::AtomicU32,
    sync::Ordering::SeqCst, types::*,
};

/// The driver's request. Its client and its DPC own it, and the last owner to release it frees it.
#[repr(C)]
struct Request {
    owners: AtomicU32,
    dpc: KDPC,
}

unsafe fn start() -> *mut Request {
    let request: *mut Request = ExAllocatePool2(POOL_FLAG_NON_PAGED, size_of::<Request>() as u64, TAG).cast();
    (*request).owners.store(2, SeqCst);
    let mut processor = PROCESSOR_NUMBER { Number: 1, ..PROCESSOR_NUMBER::default() };
    KeInitializeDpc(&raw mut (*request).dpc, Some(complete), request.cast());
    KeSetTargetProcessorDpcEx(&raw mut (*request).dpc, &raw mut processor);
    KeInsertQueueDpc(&raw mut (*request).dpc, null_mut(), null_mut());
    request
}

unsafe extern "C" fn complete(_dpc: *mut KDPC, request: PVOID, _: PVOID, _: PVOID) {
    release(request.cast());
}

unsafe fn release(request: *mut Request) {
    let owners = (*request).owners.load(SeqCst);
    (*request).owners.store(owners - 1, SeqCst); // Another owner may have released it since.
    if owners == 1 {
        ExFreePoolWithTag(request.cast(), TAG);
    }
}

const TAG: u32 = u32::from_le_bytes(*b"Race");
pub(crate) const MACHINE: Config =
    Config { processors: 2, trace: true, step_limit: 10_000, dpc_watchdog: 0, ..Config::DEFAULT };

/// Runs the driver once. The client starts a request on processor 0 and releases it. Then the
/// driver is unloaded.
pub(crate) fn client(kernel: &mut Simulation) -> Result<(), Stop> {
    kernel.run_on(0, || unsafe { release(start()) })?;
    kernel.unload()
}

/// Returns the first run that ends badly, among these schedules, and its number.
fn first(schedules: impl Iterator<Item = Schedule>) -> Option<(usize, Stop)> {
    let mut kernel = Simulation::new(MACHINE, Schedule::round_robin());
    schedules.enumerate().find_map(|(number, schedule)| {
        kernel.reset(MACHINE, schedule);
        client(&mut kernel).err().map(|stop| (number + 1, stop))
    })
}

/// Hunts by random walks, by random priorities, and by trying every schedule with at most one
/// preemption.
pub(crate) fn hunt() -> Option<Finding> {
    let (run, stop) = first((0..1000).map(Schedule::seed))?;
    println!("random walk: run {run}: {stop}\n");
    let (run, stop) = first((0..1000).map(|seed| Schedule::pct(seed, 2, 20)))?;
    println!("PCT of depth 2: run {run}: {stop}\n");
    let limits = Limits { preemptions: Some(1), ..Limits::default() };
    let explored = explore(MACHINE, limits, client);
    let finding = explored.finding?;
    println!("exhaustive with one preemption: run {}:\n{}", explored.runs, finding.trace);
    println!("to replay it:\n{}", finding.recording);
    Some(finding)
}

/// Draws the finding, if the command line names a file.
fn main() {
    let Some(finding) = hunt() else { return eprintln!("no race was found") };
    if let Some(path) = std::env::args_os().nth(1).map(std::path::PathBuf::from) {
        match std::fs::write(&path, finding.trace.to_html("a request that is never freed")) {
            Ok(()) => println!("drawn: {}", path.display()),
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
}
