//! A table of the simulation's speed: `cargo bench -p ntsim`. It shows the best of several rounds
//! on this machine. The benchmark judges nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that goes wrong may say so")]

use core::{hint::black_box, ptr::null_mut};
use std::{rc::Rc, time::Instant};

use corosensei::{Coroutine, CoroutineResult};
use ntsim::{
    Config, Decision, Limits, Program, Recording, Schedule, Simulation, ddi, explore,
    sync::{AtomicU32, Ordering::SeqCst},
    types::{EX_RUNDOWN_REF, KDPC, KEVENT, KTIMER, LARGE_INTEGER, POOL_FLAG_NON_PAGED, PVOID},
};

const ROUNDS: usize = 7;
const TAG: u32 = u32::from_le_bytes(*b"Spee");
/// A step limit that is enough for every row.
const STEPS: u64 = u64::MAX / 2;

/// Returns the nanoseconds that one of `count` takes, at best.
fn best(count: u64, mut round: impl FnMut(u64)) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round(count);
        start.elapsed().as_nanos() as f64 / count as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

/// A machine that is used for every round.
struct Bench {
    kernel: Simulation,
    config: Config,
}

impl Bench {
    fn new(processors: usize) -> Self {
        let config = Config { processors, step_limit: STEPS, dpc_watchdog: 0, ..Config::default() };
        Self { kernel: Simulation::new(config, Schedule::round_robin()), config }
    }

    /// Runs one program on the first processor, which performs an operation `count` times.
    fn alone(&mut self, count: u64, program: impl Fn(u64) + Clone + 'static) -> f64 {
        best(count, |count| {
            self.kernel.reset(self.config, Schedule::round_robin());
            let program = program.clone();
            self.kernel.run_on(0, move || program(count)).unwrap();
        })
    }

    /// Runs two processors that take over from each other at every preemption point.
    fn switches(&mut self, count: u64) -> f64 {
        let last = self.config.processors as u8 - 1;
        let decisions = (0..2 * count + 8)
            .map(|number| Decision::Run { processor: if number % 2 == 0 { 0 } else { last }, points: 0 });
        let recording = Recording::new(decisions.collect());
        let mut switches = 0;
        let time = best(count, |count| {
            self.kernel.reset(self.config, Schedule::replay(recording.clone()));
            let points =
                || -> Program { Box::new(move || (0..count).for_each(|_| ntsim::preemption_point())) };
            self.kernel.programs().on(0, points()).on(last.into(), points()).run().unwrap();
            switches = self.kernel.counters().switches;
        });
        time * count as f64 / switches as f64
    }
}

/// Switches between two coroutines in turn, like two processors, without a simulation.
fn coroutine_switch() -> f64 {
    let make = |step: u64| {
        Coroutine::<u64, u64, ()>::new(move |yielder, mut value| {
            loop {
                value = yielder.suspend(black_box(value) + step);
            }
        })
    };
    let mut both = [make(1), make(2)];
    let time = best(1_000_000, |count| {
        let mut value = 0;
        for number in 0..count {
            let coroutine = both.get_mut(number as usize % 2).unwrap();
            match coroutine.resume(value) {
                CoroutineResult::Yield(next) => value = next,
                CoroutineResult::Return(()) => unreachable!("it goes on for ever"),
            }
        }
        black_box(value);
    });
    for coroutine in &mut both {
        // SAFETY: the coroutine's stack has no value that needs to be dropped.
        unsafe { coroutine.force_reset() };
    }
    // A round switches in and out.
    time / 2.0
}

unsafe extern "C" fn nothing(_dpc: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {}

fn irql(count: u64) {
    for _ in 0..count {
        // SAFETY: this runs inside a simulation run.
        black_box(unsafe { ddi::KeGetCurrentIrql() });
    }
}

fn raise_and_lower(count: u64) {
    for _ in 0..count {
        // SAFETY: this runs inside a simulation run.
        let before = unsafe { ddi::KeRaiseIrqlToDpcLevel() };
        // SAFETY: the IRQL is the one before the raise.
        unsafe { ddi::KeLowerIrql(before) };
    }
}

fn locks(count: u64) {
    let mut lock = 0;
    // SAFETY: the lock is on this stack for the whole run.
    unsafe { ddi::KeInitializeSpinLock(&raw mut lock) };
    for _ in 0..count {
        // SAFETY: the object is initialised.
        let before = unsafe { ddi::KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
        // SAFETY: this processor has acquired it.
        unsafe { ddi::KeReleaseSpinLock(&raw mut lock, before) };
    }
}

fn dpcs(count: u64) {
    let mut dpc = KDPC::default();
    // SAFETY: the DPC is on this stack for the whole run.
    unsafe { ddi::KeInitializeDpc(&raw mut dpc, Some(nothing), null_mut()) };
    for _ in 0..count {
        // SAFETY: initialised; it has run when this returns.
        unsafe { ddi::KeInsertQueueDpc(&raw mut dpc, null_mut(), null_mut()) };
    }
}

/// Sets and cancels a timer while `others` timers are set.
fn timers(count: u64, others: usize) {
    let far = LARGE_INTEGER { QuadPart: -(1 << 60) };
    let mut all = vec![KTIMER::default(); others + 1];
    for timer in &mut all {
        // SAFETY: the timers live until they are cancelled.
        unsafe { ddi::KeInitializeTimer(timer) };
        // SAFETY: the object is initialised.
        unsafe { ddi::KeSetTimer(timer, far, null_mut()) };
    }
    let (timer, others) = all.split_last_mut().unwrap();
    for _ in 0..count {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeSetTimer(timer, far, null_mut()) };
        // SAFETY: the object is initialised.
        unsafe { ddi::KeCancelTimer(timer) };
    }
    for timer in others {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeCancelTimer(timer) };
    }
}

fn pool(count: u64) {
    for _ in 0..count {
        // SAFETY: this runs inside a simulation run.
        let block = unsafe { ddi::ExAllocatePool2(POOL_FLAG_NON_PAGED, 256, TAG) };
        // SAFETY: the block was just allocated.
        unsafe { ddi::ExFreePoolWithTag(block, TAG) };
    }
}

/// Queues a DPC that cannot run yet, and removes it from its queue again.
fn queued_dpcs(count: u64) {
    let mut dpc = KDPC::default();
    // SAFETY: the DPC is on this stack for the whole run.
    unsafe { ddi::KeInitializeDpc(&raw mut dpc, Some(nothing), null_mut()) };
    // SAFETY: this runs inside a simulation run.
    let before = unsafe { ddi::KeRaiseIrqlToDpcLevel() };
    for _ in 0..count {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeInsertQueueDpc(&raw mut dpc, null_mut(), null_mut()) };
        // SAFETY: the object is initialised.
        unsafe { ddi::KeRemoveQueueDpc(&raw mut dpc) };
    }
    // SAFETY: the IRQL is the one before the raise.
    unsafe { ddi::KeLowerIrql(before) };
}

/// Sets an event, waits for it and resets it.
fn events(count: u64) {
    let mut event = KEVENT::default();
    // SAFETY: the event is on this stack for the whole run.
    unsafe { ddi::KeInitializeEvent(&raw mut event, 0, 0) };
    for _ in 0..count {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeSetEvent(&raw mut event, 0, 0) };
        // SAFETY: initialised, and at PASSIVE_LEVEL.
        _ = unsafe { ddi::KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, null_mut()) };
        // SAFETY: the object is initialised.
        unsafe { ddi::KeClearEvent(&raw mut event) };
    }
}

fn rundown(count: u64) {
    let mut rundown = EX_RUNDOWN_REF::default();
    // SAFETY: the rundown protection is on this stack for the whole run.
    unsafe { ddi::ExInitializeRundownProtection(&raw mut rundown) };
    for _ in 0..count {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExAcquireRundownProtection(&raw mut rundown) };
        // SAFETY: this processor has acquired it.
        unsafe { ddi::ExReleaseRundownProtection(&raw mut rundown) };
    }
}

fn irps(count: u64) {
    for _ in 0..count {
        // SAFETY: this runs inside a simulation run.
        let irp = unsafe { ddi::IoAllocateIrp(1, 0) };
        // SAFETY: the IRP was just allocated, and was sent to no driver.
        unsafe { ddi::IoFreeIrp(irp) };
    }
}

fn clocks(count: u64) {
    for _ in 0..count {
        // SAFETY: this runs inside a simulation run; the call takes no frequency.
        black_box(unsafe { ddi::KeQueryPerformanceCounter(null_mut()) });
    }
}

fn atomics(count: u64) {
    let atomic = AtomicU32::new(0);
    for _ in 0..count {
        atomic.fetch_add(1, SeqCst);
    }
}

/// Performs the operations of a small driver between DriverEntry and Unload: pool, a lock, a DPC to
/// the other processor, a timer.
fn driver() {
    let size = (size_of::<KDPC>() + size_of::<KTIMER>() + 8) as u64;
    // SAFETY: this runs inside a simulation run.
    let block = unsafe { ddi::ExAllocatePool2(POOL_FLAG_NON_PAGED, size, TAG) };
    let dpc: *mut KDPC = block.cast();
    let timer: *mut KTIMER = dpc.wrapping_add(1).cast();
    let lock: *mut u64 = timer.wrapping_add(1).cast();
    // SAFETY: the lock is in the block.
    unsafe { ddi::KeInitializeSpinLock(lock) };
    // SAFETY: the timer is in the block.
    unsafe { ddi::KeInitializeTimer(timer) };
    // SAFETY: the DPC is in the block.
    unsafe { ddi::KeInitializeDpc(dpc, Some(nothing), null_mut()) };
    // SAFETY: the object is initialised.
    let before = unsafe { ddi::KeAcquireSpinLockRaiseToDpc(lock) };
    // SAFETY: the object is initialised.
    unsafe { ddi::KeInsertQueueDpc(dpc, null_mut(), null_mut()) };
    // SAFETY: this processor has acquired it.
    unsafe { ddi::KeReleaseSpinLock(lock, before) };
    // SAFETY: the object is initialised.
    unsafe { ddi::KeSetTimer(timer, LARGE_INTEGER { QuadPart: -1 }, null_mut()) };
    // SAFETY: the object is initialised.
    unsafe { ddi::KeCancelTimer(timer) };
    // SAFETY: the block is not used any more.
    unsafe { ddi::ExFreePoolWithTag(block, TAG) };
}

fn driver_round(trace: bool, schedule: impl Fn(u64) -> Schedule) -> f64 {
    let mut bench = Bench::new(2);
    let config = Config { trace, ..bench.config };
    best(2_000, |count| {
        for number in 0..count {
            bench.kernel.reset(config, schedule(number));
            bench.kernel.programs().on(0, driver).on(1, driver).run().unwrap();
            bench.kernel.unload().unwrap();
        }
    })
}

/// Times one run of an exploration.
fn exploration() -> f64 {
    let limits = Limits { preemptions: Some(2), ..Limits::default() };
    let mut runs = 0;
    let time = best(1, |_| {
        let explored = explore(Config { processors: 2, ..Config::default() }, limits, |kernel| {
            let counter = Rc::new(AtomicU32::new(0));
            let add = |processor| {
                let counter = Rc::clone(&counter);
                let add: Program = Box::new(move || (0..20).for_each(|_| _ = counter.fetch_add(1, SeqCst)));
                (processor, add)
            };
            kernel.run(vec![add(0), add(1)])
        });
        assert!(explored.complete);
        runs = explored.runs;
    });
    time / runs as f64
}

fn main() {
    // Without `--bench` this is `cargo test --benches`, which checks that the benchmark runs, not
    // how fast.
    if !std::env::args_os().any(|argument| argument == "--bench") {
        driver_round(true, Schedule::seed);
        return;
    }
    let switch = coroutine_switch();
    println!("{:<62} {:>9} {:>12} {:>9} {:>7}", "", "ns each", "a second", "switches", "a call");
    let row = |what: &str, time: f64| {
        println!("{what:<62} {time:>9.1} {:>12.0} {:>9.1}", 1e9 / time, time / switch);
    };
    // Each row has this number of kernel calls.
    let calls = |what: &str, calls: f64, time: f64| {
        let (each, a_call) = (time / switch, time / switch / calls);
        println!("{what:<62} {time:>9.1} {:>12.0} {each:>9.1} {a_call:>7.1}", 1e9 / time);
    };
    row("a coroutine switch, bare", switch);
    let mut two = Bench::new(2);
    row("a change of processor, with its decision replayed", two.switches(200_000));
    two.config.processors = 64;
    row("the same on a machine of 64 processors", two.switches(200_000));
    two.config.processors = 2;
    row("preemption point", two.alone(1_000_000, |n| (0..n).for_each(|_| ntsim::preemption_point())));
    row("atomic read-modify-write", two.alone(1_000_000, atomics));
    calls("KeGetCurrentIrql", 1.0, two.alone(1_000_000, irql));
    calls("KeQueryPerformanceCounter", 1.0, two.alone(1_000_000, clocks));
    calls("KeRaiseIrqlToDpcLevel + KeLowerIrql", 2.0, two.alone(500_000, raise_and_lower));
    calls("spin lock acquired + released", 2.0, two.alone(500_000, locks));
    calls("ExAcquireRundownProtection + ExReleaseRundownProtection", 2.0, two.alone(500_000, rundown));
    calls("KeInsertQueueDpc + KeRemoveQueueDpc", 2.0, two.alone(500_000, queued_dpcs));
    calls("KeInsertQueueDpc, and the DPC runs", 1.0, two.alone(500_000, dpcs));
    calls("KeSetTimer + KeCancelTimer", 2.0, two.alone(500_000, |n| timers(n, 0)));
    calls("the same beside 10,000 set timers", 2.0, two.alone(500_000, |n| timers(n, 10_000)));
    calls("KeSetEvent + KeWaitForSingleObject + KeClearEvent", 3.0, two.alone(500_000, events));
    calls("ExAllocatePool2 (256 bytes) + ExFreePoolWithTag", 2.0, two.alone(20_000, pool));
    calls("IoAllocateIrp + IoFreeIrp", 2.0, two.alone(20_000, irps));
    drop(two);
    row("a driver's load, work, unload on 2 processors", driver_round(false, Schedule::seed));
    row("the same by PCT", driver_round(false, |seed| Schedule::pct(seed, 3, 60)));
    row("the same with its trace", driver_round(true, Schedule::seed));
    row("one run of an exploration, 40 atomic operations", exploration());
}
