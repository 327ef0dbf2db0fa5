//! Tests of how long a processor stays in its DPCs. Tasks that wake each other without end, and
//! chains of spawns and IRPs, must let it go.
//!
//! The virtual clock moves on at each preemption point of any processor, so the work of other
//! processors counts for a drain, too.
#![cfg(feature = "sim")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they mean, helpers of tests too"
)]

mod common;

use core::{
    future::Future,
    pin::Pin,
    ptr::null_mut,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};
use std::sync::Arc;

use common::{kernel, program};
use futures_util::{StreamExt, stream::FuturesUnordered};
use ntcom_exec::{
    DpcOptions, Instant, IrpOutcome, NTSTATUS, Signal, TaskBuilder, default_tracker, interval, oneshot,
    sleep, sleep_until, spawn_dpc_task, spawn_irp_task, timeout, wait_for_event, yield_now,
};
use ntsim::{
    Config, Schedule, Simulation, Stop, ddi,
    types::{
        _EVENT_TYPE, FILE_DEVICE_UNKNOWN, IRP_MJ_READ, KDPC, KEVENT, KTIMER, LARGE_INTEGER, PDEVICE_OBJECT,
        PIRP, PVOID, STATUS_MORE_PROCESSING_REQUIRED,
    },
};

/// The longest time that a drain may take, in units of 100 ns. It is a millisecond.
const LONGEST: u64 = 10_000;
/// The number of wakes of each ring, and the length of each chain. A drain of all of them would
/// take longer.
const PASSES: usize = 400;
/// The number of waits of a body that never leaves its poll. A run of as many would take longer,
/// too.
const ALONE: usize = 1_000;

/// The longest drain in which a task of one program was polled, and the number of polls.
#[derive(Default)]
struct Watch {
    longest: AtomicU64,
    passes: AtomicUsize,
}

impl Watch {
    /// Records a poll of a task of the ring or chain, or the completion of its IRP.
    fn pass(&self) {
        let drain = ntsim::drain().unwrap().time;
        self.longest.fetch_max(drain, SeqCst);
        self.passes.fetch_add(1, SeqCst);
    }
}

/// Runs a program on each of this many processors. Checks that all of it has ended and that no
/// drain was too long.
fn watched(processors: usize, seed: u64, begin: impl Fn(Arc<Watch>) + Clone + 'static) {
    let watches: Vec<Arc<Watch>> = (0..processors).map(|_| Arc::default()).collect();
    let mut kernel = kernel(processors, seed);
    let one = |(processor, watch): (usize, &Arc<Watch>)| {
        let (begin, watch) = (begin.clone(), Arc::clone(watch));
        (processor, program(move || begin(watch)))
    };
    let outcome = kernel.run(watches.iter().enumerate().map(one).collect());
    outcome.unwrap_or_else(|stop| panic!("{processors} processors, seed {seed}: {stop}"));
    kernel.unload().unwrap_or_else(|stop| panic!("{processors} processors, seed {seed}: {stop}"));
    for watch in watches {
        let (longest, passes) = (watch.longest.load(SeqCst), watch.passes.load(SeqCst));
        assert!(passes >= PASSES, "{passes} passes");
        let what = format!("{processors} processors, seed {seed}: a drain of {longest} units of 100 ns");
        assert!(longest <= LONGEST, "{what}");
    }
}

/// Runs a program on one processor and on four, under several schedules.
fn everywhere(begin: impl Fn(Arc<Watch>) + Clone + 'static) {
    for processors in [1, 4] {
        for seed in 0..3 {
            watched(processors, seed, begin.clone());
        }
    }
}

/// Options for the processor of the caller, which is a program's.
fn here() -> DpcOptions {
    DpcOptions::new().processor(0, ntsim::current_processor() as u8)
}

/// Checks that the program continues during the ring, and that a DPC that it queues runs.
fn others_get_in_between(watch: &Watch, all: usize) {
    let passes = watch.passes.load(SeqCst);
    let ran = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&ran);
    TaskBuilder::new().on(here()).spawn(async move { inside.store(1, SeqCst) }).unwrap();
    assert_eq!(ran.load(SeqCst), 1, "another DPC must run");
    assert!(passes < all, "the program must continue before the rings have ended");
}

/// Starts a ring of tasks. Each waits for its signal, and sets the next one's.
fn ring(tasks: usize, pinned: bool, watch: &Arc<Watch>) {
    let signals: Arc<Vec<Signal>> = Arc::new((0..tasks).map(|_| Signal::new()).collect());
    for place in 0..tasks {
        let (signals, watch) = (Arc::clone(&signals), Arc::clone(watch));
        let body = async move {
            for _ in 0..PASSES.div_ceil(signals.len()) {
                signals[place].wait().await;
                watch.pass();
                signals[(place + 1) % signals.len()].set();
            }
        };
        let options = if pinned { here() } else { DpcOptions::new() };
        TaskBuilder::new().on(options).spawn(body).unwrap();
    }
    signals[0].set();
}

#[test]
fn rings_of_tasks_that_wake_each_other_leave_the_drain() {
    for tasks in [1, 2, 3, 8] {
        everywhere(move |watch| {
            ring(tasks, true, &watch);
            others_get_in_between(&watch, PASSES);
        });
        everywhere(move |watch| ring(tasks, false, &watch));
    }
}

/// Several rings run beside each other, and they share one limit.
#[test]
fn several_rings_on_a_processor_leave_the_drain_together() {
    everywhere(|watch| {
        for _ in 0..4 {
            ring(2, true, &watch);
        }
    });
}

fn link(left: usize, watch: Arc<Watch>) {
    let body = async move {
        watch.pass();
        if left > 0 {
            link(left - 1, watch);
        }
    };
    spawn_dpc_task(body).unwrap();
}

#[test]
fn a_chain_of_spawns_leaves_the_drain() {
    everywhere(|watch| {
        link(PASSES, Arc::clone(&watch));
        others_get_in_between(&watch, PASSES);
    });
}

/// Polls that tasks wake themselves for count too, because a run of each may take its whole budget.
#[test]
fn tasks_that_wake_themselves_leave_the_drain_together() {
    everywhere(|watch| {
        // SAFETY: the IRQL is lowered below.
        let irql = unsafe { ddi::KeRaiseIrqlToDpcLevel() };
        for _ in 0..100 {
            let watch = Arc::clone(&watch);
            let body = async move {
                for _ in 0..15 {
                    watch.pass();
                    ntcom_exec::yield_now().await;
                }
            };
            TaskBuilder::new().on(here()).spawn(body).unwrap();
        }
        // SAFETY: `irql` is the value that the raise returned.
        unsafe { ddi::KeLowerIrql(irql) };
    });
}

/// Runs a body that keeps making its own waits ready, in one poll.
fn alone<F: Future<Output = ()> + Send + 'static>(ring: impl Fn(Arc<Watch>) -> F + Clone + 'static) {
    everywhere(move |watch| {
        spawn_dpc_task(ring(Arc::clone(&watch))).unwrap();
        others_get_in_between(&watch, ALONE);
    });
}

#[test]
fn a_ring_of_one_inside_a_poll_ends_its_poll() {
    alone(|watch| async move {
        let signal = Signal::new();
        for _ in 0..ALONE {
            signal.set();
            signal.wait().await;
            watch.pass();
        }
    });
}

#[test]
fn a_ring_of_channels_inside_a_poll_ends_its_poll() {
    alone(|watch| async move {
        for number in 0..ALONE {
            let (sender, receiver) = oneshot().unwrap();
            sender.send(number).unwrap();
            assert_eq!(receiver.await, Ok(number));
            watch.pass();
        }
    });
}

#[test]
fn timers_that_are_over_end_their_poll() {
    alone(|watch| async move {
        for _ in 0..ALONE {
            sleep(Duration::ZERO).await.unwrap();
            watch.pass();
        }
    });
    alone(|watch| async move {
        let over = Instant::now();
        for _ in 0..ALONE {
            sleep_until(over).await.unwrap();
            watch.pass();
        }
    });
    alone(|watch| async move {
        for _ in 0..ALONE {
            assert_eq!(sleep(Duration::MAX).await, Err(NTSTATUS::INVALID_PARAMETER));
            watch.pass();
        }
    });
    alone(|watch| async move {
        for _ in 0..ALONE {
            let late = timeout(Duration::ZERO, core::future::pending::<()>()).await;
            assert_eq!(late, Err(NTSTATUS::IO_TIMEOUT));
            watch.pass();
        }
    });
}

#[test]
fn ticks_that_are_due_end_their_poll() {
    alone(|watch| async move {
        let mut ticks = interval(Duration::from_nanos(100));
        for _ in 0..ALONE {
            ticks.tick().await.unwrap();
            watch.pass();
        }
    });
}

#[test]
fn an_event_that_is_set_ends_its_poll() {
    alone(|watch| {
        let event: &'static mut KEVENT = Box::leak(Box::default());
        // SAFETY: the event is new, and never freed.
        unsafe { ddi::KeInitializeEvent(event, _EVENT_TYPE::NotificationEvent, 1) };
        let event = core::ptr::from_mut(event).expose_provenance();
        async move {
            for _ in 0..ALONE {
                // SAFETY: the event is never freed.
                let wait = unsafe {
                    let event = core::ptr::with_exposed_provenance_mut(event);
                    wait_for_event(event, Duration::from_millis(1))
                };
                wait.await.unwrap();
                watch.pass();
            }
        }
    });
}

/// A combinator's waker hides the task, which is then found as the task that is being polled.
#[test]
fn a_ring_behind_another_waker_ends_its_poll() {
    alone(|watch| async move {
        let inner = async move {
            let signal = Signal::new();
            for _ in 0..ALONE {
                signal.set();
                signal.wait().await;
                watch.pass();
            }
        };
        let mut set = FuturesUnordered::new();
        set.push(inner);
        while set.next().await.is_some() {}
    });
}

/// A ring does not starve the other futures of its task, and a time limit ends it.
#[test]
fn a_limit_ends_a_ring_inside_of_it() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let outcome = kernel.run_on(0, || {
        let body = async {
            let signal = Signal::new();
            let ring = async {
                loop {
                    signal.set();
                    signal.wait().await;
                }
            };
            assert_eq!(
                timeout::<Pin<Box<dyn Future<Output = ()> + Send>>>(
                    Duration::from_millis(20),
                    Box::pin(ring),
                )
                .await,
                Err(NTSTATUS::IO_TIMEOUT)
            );
        };
        spawn_dpc_task(body).unwrap();
        assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
    });
    outcome.unwrap_or_else(|stop: Stop| panic!("{stop}"));
    kernel.unload().unwrap();
}

/// The kernel is asked once in 16 runs, and a run makes no other kernel call for it.
#[test]
fn the_kernel_is_asked_once_in_16_runs() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let outcome = kernel.run_on(0, || {
        let runs = |count: u64| {
            let before = ntsim::counters();
            for _ in 0..count {
                spawn_dpc_task(async {}).unwrap();
            }
            let after = ntsim::counters();
            assert_eq!(after.dpcs_run - before.dpcs_run, count);
            after.kernel_calls - before.kernel_calls
        };
        let one = runs(1);
        assert_eq!(runs(15), 15 * one, "the first 16 runs must not ask the kernel");
        for _ in 0..10 {
            assert_eq!(runs(16), 16 * one + 1);
        }
    });
    assert_eq!(outcome, Ok(()));
}

/// The rest of a chain of IRPs.
struct Chain {
    left: AtomicUsize,
    watch: Arc<Watch>,
    device: PDEVICE_OBJECT,
}

unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> i32 {
    let body = async { IrpOutcome::from(NTSTATUS::SUCCESS) };
    // SAFETY: the IRP is new, and this is its last use.
    unsafe { spawn_irp_task(irp, body, |task| TaskBuilder::new().spawn(task)) }.0
}

unsafe extern "C" fn completed(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> i32 {
    // SAFETY: this is the context of `send`, which lives to the end of the chain.
    let chain = unsafe { &*context.cast::<Chain>() };
    chain.watch.pass();
    // SAFETY: this routine keeps the IRP, and it is not used again.
    unsafe { ddi::IoFreeIrp(irp) };
    if chain.left.fetch_sub(1, SeqCst) > 1 {
        send(chain);
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

fn send(chain: &Chain) {
    // SAFETY: called in a run.
    let irp = unsafe { ddi::IoAllocateIrp(1, 0) };
    // SAFETY: the IRP has a stack location.
    let next = unsafe { ddi::IoGetNextIrpStackLocation(irp) };
    // SAFETY: this is the IRP's next location.
    unsafe { (*next).MajorFunction = IRP_MJ_READ as u8 };
    let context = core::ptr::from_ref(chain).cast_mut().cast();
    // SAFETY: the IRP has a stack location.
    unsafe { ddi::IoSetCompletionRoutine(irp, Some(completed), context, 1, 1, 1) };
    // SAFETY: the driver of the device has a dispatch routine.
    assert_eq!(unsafe { ddi::IofCallDriver(chain.device, irp) }, NTSTATUS::PENDING.0);
}

#[test]
fn a_chain_of_irps_leaves_the_drain() {
    everywhere(|watch| {
        let (driver, mut device) = (ntsim::driver_object(), null_mut());
        // SAFETY: the arguments are valid.
        unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
        // SAFETY: this is the driver's own object, and an index that it has; each program writes
        // the same.
        unsafe { (*driver).MajorFunction[IRP_MJ_READ] = dispatch as *mut _ };
        let left = AtomicUsize::new(PASSES);
        let chain = Box::leak(Box::new(Chain { left, watch: Arc::clone(&watch), device }));
        // Each task ends in a DPC, after its dispatch routine has returned, so nothing nests.
        // SAFETY: the IRQL is lowered below.
        let irql = unsafe { ddi::KeRaiseIrqlToDpcLevel() };
        send(chain);
        // SAFETY: `irql` is the value that the raise returned.
        unsafe { ddi::KeLowerIrql(irql) };
        others_get_in_between(&watch, PASSES);
        while chain.left.load(SeqCst) > 0 {
            assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
        }
        // SAFETY: this is a device, and it is deleted once.
        unsafe { ddi::IoDeleteDevice(device) };
    });
}

/// A DPC routine that a timer queues at each clock tick, in front of the task that the same tick
/// continues.
unsafe extern "C" fn lasts_too_long(_: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {
    for _ in 0..2 * Config::DEFAULT.yield_after {
        ntsim::preemption_point();
    }
}

#[test]
fn a_task_goes_on_behind_a_foreign_dpc_that_lasts_too_long() {
    const POLLS: usize = 40;
    let mut kernel = kernel(1, 0);
    let watched = program(|| {
        let mut foreign = Box::new((KDPC::default(), KTIMER::default()));
        let (dpc, timer) = (&raw mut foreign.0, &raw mut foreign.1);
        // SAFETY: neither object is in use.
        unsafe { ddi::KeInitializeDpc(dpc, Some(lasts_too_long), null_mut()) };
        // SAFETY: the timer is not in use.
        unsafe { ddi::KeInitializeTimer(timer) };
        // SAFETY: both are initialised, and the timer is cancelled before they are freed.
        unsafe { ddi::KeSetTimerEx(timer, LARGE_INTEGER { QuadPart: -1 }, 1, dpc) };
        let polls = Arc::new(AtomicUsize::new(0));
        let inside = Arc::clone(&polls);
        TaskBuilder::new()
            .on(here())
            .spawn(async move {
                for _ in 0..POLLS {
                    inside.fetch_add(1, SeqCst);
                    yield_now().await;
                }
            })
            .unwrap();
        // There are 64 ticks a second, so one poll a tick is enough.
        let mut second = LARGE_INTEGER { QuadPart: -10_000_000 };
        // SAFETY: called in a run, at PASSIVE_LEVEL.
        unsafe { ddi::KeDelayExecutionThread(0, 0, &raw mut second) };
        assert_eq!(polls.load(SeqCst), POLLS, "the task was deferred for ever");
        // SAFETY: the timer is initialised; the call below waits for a DPC that it may have queued.
        unsafe { ddi::KeCancelTimer(timer) };
        // SAFETY: called in a run, at PASSIVE_LEVEL.
        unsafe { ddi::KeFlushQueuedDpcs() };
    });
    kernel.run_on(0, watched).unwrap();
    kernel.unload().unwrap();
}
