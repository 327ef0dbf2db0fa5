//! Tests of tasks on work items, on the simulated kernel. They cover the polls of a body, the times
//! of its runs, and its end.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;
mod work_items;

use core::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    ptr::null_mut,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    task::{Context, Poll, Waker},
};
use std::{
    rc::Rc,
    sync::{Arc, Mutex},
};

use common::Log;
use futures_util::future::join;
use ntcom_exec::{
    CancelHandle, DEFAULT_POLL_BUDGET, NTSTATUS, TaskTracker, default_tracker, is_cancellation_requested,
    on_cancel, spawn_dpc_task, take_cancellation_request, try_finally, yield_now,
};
use ntsim::{
    Config, Schedule, Simulation, ddi,
    types::{KDPC, PKTHREAD, PVOID},
};
use work_items::{Device, Event, Kernel, PASSIVE, Program, at_dispatch, in_schedules, wait_a_moment};

fn current_thread() -> PKTHREAD {
    // SAFETY: called in a run.
    unsafe { ddi::KeGetCurrentThread() }
}

#[test]
fn a_body_runs_and_is_dropped_at_passive_level_in_a_thread_of_the_system() {
    in_schedules(60, |kernel| {
        let log = Log::at(PASSIVE);
        let (inside, dropped) = (log.clone(), log.on_drop("dropped"));
        kernel.run_one(move || {
            let (device, spawner) = (Device::new(), current_thread().addr());
            let body = async move {
                let _dropped = dropped;
                assert!(!ntsim::in_dpc());
                assert_ne!(current_thread().addr(), spawner);
                inside.entry("body").await;
            };
            at_dispatch(|| device.spawn(body));
            device.delete();
        });
        assert_eq!(log.take(), ["body", "dropped"]);
    });
}

#[test]
fn a_null_device_is_refused_and_the_future_is_dropped() {
    in_schedules(1, |kernel| {
        let log = Log::at(PASSIVE);
        let guard = log.on_drop("dropped");
        kernel.run_one(move || {
            let refused = Device(null_mut()).try_spawn(async move { drop(guard) });
            assert_eq!(refused, Err(NTSTATUS::INVALID_PARAMETER));
            assert_eq!(ntsim::counters().live_blocks, 0);
        });
        assert_eq!(log.take(), ["dropped"]);
    });
}

/// Neither the item nor the device's reference is kept.
#[test]
fn a_closed_tracker_refuses_and_the_future_is_dropped() {
    in_schedules(1, |kernel| {
        let log = Log::at(PASSIVE);
        let guard = log.on_drop("dropped");
        kernel.run_one(move || {
            let device = Device::new();
            default_tracker(TaskTracker::close);
            assert_eq!(device.try_spawn(async move { drop(guard) }), Err(NTSTATUS::DELETE_PENDING));
            assert_eq!(default_tracker(TaskTracker::unfinished), 0);
            device.delete();
            assert_eq!(ntsim::counters().live_blocks, 0);
        });
        assert_eq!(log.take(), ["dropped"]);
    });
}

#[test]
fn without_memory_a_spawn_fails_and_the_future_is_dropped() {
    in_schedules(1, |kernel| {
        let log = Log::at(PASSIVE);
        let guard = log.on_drop("dropped");
        kernel.run_one(move || {
            let device = Device::new();
            ntsim::fail_allocation(0);
            assert_eq!(device.try_spawn(async move { drop(guard) }), Err(NTSTATUS::INSUFFICIENT_RESOURCES));
            device.delete();
        });
        assert_eq!(log.take(), ["dropped"]);
    });
}

/// A work item in a driver's own memory must be uninitialised before that memory is freed. ntsim
/// does not report one that is not.
#[test]
fn every_item_that_is_initialised_is_uninitialised_and_every_reference_given_back() {
    let config = Config { trace: true, ..Config::default() };
    let mut kernel = Kernel(Simulation::new(config, Schedule::round_robin()), 0);
    kernel.run_one(|| {
        let device = Device::new();
        device.spawn(yield_now());
        device.cancellable(pending()).cancel();
        default_tracker(TaskTracker::close);
        device.try_spawn(async {}).unwrap_err();
        device.delete();
    });
    let trace = kernel.0.trace().to_string();
    let calls = |name: &str| trace.lines().filter(|line| line.contains(name)).count();
    assert_eq!([calls(" IoInitializeWorkItem"), calls(" IoUninitializeWorkItem")], [3, 3], "{trace}");
    assert_eq!([calls(" ObfReferenceObject"), calls(" ObfDereferenceObject")], [3, 3]);
    kernel.unload();
}

#[test]
fn a_body_is_woken_by_dpcs_and_by_every_processor() {
    for seed in 0..100 {
        let processors = 2 + (seed % 3) as usize;
        let mut kernel = Kernel::new(processors, seed);
        let (event, ended) = (Event::default(), Arc::new(AtomicBool::new(false)));
        let (waits, end) = (event.wait_for(2 * processors as u32), Arc::clone(&ended));
        kernel.run_one(move || {
            let device = Device::new();
            device.spawn(async move {
                waits.await;
                end.store(true, SeqCst);
            });
            device.delete();
        });
        let wakes = |_| -> Program {
            let (event, in_dpc) = (event.clone(), event.clone());
            Box::new(move || {
                spawn_dpc_task(async move { in_dpc.set() }).unwrap();
                at_dispatch(|| event.set());
            })
        };
        kernel.run((0..processors).map(wakes).collect());
        assert!(ended.load(SeqCst), "seed {seed}: a wake was lost");
        kernel.run_one(move || event.disconnect());
        kernel.unload();
    }
}

#[test]
fn a_cancelled_body_cleans_up_at_passive_level() {
    in_schedules(60, |kernel| {
        let log = Log::at(PASSIVE);
        let (dropped, cleanup, aborted) =
            (log.on_drop("main dropped"), log.clone().entry("cleanup"), log.clone().entry("aborted"));
        kernel.run_one(move || {
            let device = Device::new();
            let handle = device.cancellable(async move {
                let main = async move {
                    let _dropped = dropped;
                    pending::<()>().await;
                };
                let both = async { assert_eq!(try_finally(main, cleanup).await, None) };
                assert_eq!(on_cancel(both, aborted).await, Some(()));
                pending::<()>().await;
            });
            at_dispatch(|| handle.cancel());
            handle.cancel();
            device.delete();
        });
        assert_eq!(log.take(), ["main dropped", "cleanup"]);
    });
}

#[test]
fn a_body_that_takes_the_request_goes_on_and_a_later_cancel_is_a_new_one() {
    in_schedules(30, |kernel| {
        let (taken, handle) = (Arc::new(AtomicU32::new(0)), Rc::new(Mutex::new(None)));
        let (inside, spawned) = (Arc::clone(&taken), Rc::clone(&handle));
        kernel.run_one(move || {
            let device = Device::new();
            let body = poll_fn(move |_| {
                if is_cancellation_requested() && take_cancellation_request() {
                    assert!(!take_cancellation_request(), "each request is taken once");
                    inside.fetch_add(1, SeqCst);
                }
                if inside.load(SeqCst) == 3 { Poll::Ready(()) } else { Poll::Pending }
            });
            *spawned.lock().unwrap() = Some(device.cancellable(body));
            device.delete();
        });
        for expected in 1..=3 {
            let handle = Rc::clone(&handle);
            kernel.run_one(move || handle.lock().unwrap().as_ref().unwrap().cancel());
            assert_eq!(taken.load(SeqCst), expected);
        }
        kernel.run_one(move || {
            assert_eq!(default_tracker(TaskTracker::unfinished), 0);
            drop(handle.lock().unwrap().take());
        });
    });
}

/// A combinator with a waker of its own, as `FuturesUnordered` has.
struct OwnWaker<F>(Pin<Box<F>>);

impl<F: Future> Future for OwnWaker<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }
}

/// A poll that waits leaves the processor to polls of other tasks, and continues on any processor.
#[test]
fn polls_that_wait_see_their_own_tasks_cancellation_only() {
    let moved = Arc::new(AtomicU32::new(0));
    in_schedules(200, |kernel| {
        let log = Log::at(PASSIVE);
        let (one, two, moves) = (log.clone(), log.clone(), Arc::clone(&moved));
        kernel.run_one(move || {
            let device = Device::new();
            let asked = poll_fn(move |_| {
                let processor = ntsim::current_processor();
                for _ in 0..4 {
                    wait_a_moment();
                    if !is_cancellation_requested() {
                        return Poll::Pending;
                    }
                }
                moves.fetch_add(u32::from(ntsim::current_processor() != processor), SeqCst);
                if take_cancellation_request() {
                    one.add("taken");
                }
                Poll::Ready(())
            });
            let handle = device.cancellable(async { OwnWaker(Box::pin(asked)).await });
            device.spawn(async move {
                let both = join(yield_now(), async {
                    for _ in 0..4 {
                        wait_a_moment();
                        assert!(!is_cancellation_requested() && !take_cancellation_request());
                    }
                });
                try_finally(both, two.entry("ended")).await.unwrap();
            });
            handle.cancel();
            assert!(!is_cancellation_requested(), "this thread is in no poll");
            device.delete();
        });
        let mut entries = log.take();
        entries.sort_unstable();
        assert_eq!(entries, ["ended", "taken"], "seed {}", kernel.1);
    });
    assert!(moved.load(SeqCst) > 0, "no poll has continued on another processor");
}

unsafe extern "C" fn sees_no_cancellation(_dpc: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the context is the flag below, which outlives the DPC.
    let ran = unsafe { &*context.cast::<AtomicBool>() };
    ran.store(!is_cancellation_requested() && !take_cancellation_request(), SeqCst);
}

#[test]
fn a_dpc_on_top_of_a_poll_is_not_in_it() {
    in_schedules(30, |kernel| {
        let log = Log::at(PASSIVE);
        let (inside, dropped) = (log.clone(), log.on_drop("dropped"));
        kernel.run_one(move || {
            let device = Device::new();
            let handle = device.cancellable(poll_fn(move |_| {
                let _dropped = &dropped;
                let (mut dpc, ran) = (KDPC::default(), AtomicBool::new(false));
                let context = (&raw const ran).cast_mut().cast();
                // SAFETY: both live until the DPC has run, which is before the call below returns.
                unsafe { ddi::KeInitializeDpc(&raw mut dpc, Some(sees_no_cancellation), context) };
                // SAFETY: both live until the DPC has run, which is before this call returns.
                unsafe { ddi::KeInsertQueueDpc(&raw mut dpc, null_mut(), null_mut()) };
                assert!(ran.load(SeqCst));
                if is_cancellation_requested() {
                    inside.add("seen");
                }
                Poll::<()>::Pending
            }));
            handle.cancel();
            device.delete();
        });
        assert!(log.take().ends_with(&["seen", "dropped"]), "seed {}", kernel.1);
    });
}

#[test]
fn a_spent_budget_lets_other_work_items_run() {
    let config = Config { workers: 1, ..Config::default() };
    let mut kernel = Kernel(Simulation::new(config, Schedule::round_robin()), 0);
    let log = Log::at(PASSIVE);
    let (yields, other) = (log.clone(), log.clone().entry("other"));
    kernel.run_one(move || {
        let device = Device::new();
        at_dispatch(|| {
            device.spawn(async move {
                for _ in 0..2 * DEFAULT_POLL_BUDGET.get() {
                    yield_now().await;
                    yields.add("yielded");
                }
            });
            device.spawn(other);
        });
        device.delete();
    });
    let entries = log.take();
    let budget = DEFAULT_POLL_BUDGET.get() as usize;
    assert_eq!(entries.iter().position(|entry| *entry == "other"), Some(budget - 1));
    assert_eq!(entries.len(), 2 * budget + 1);
    kernel.unload();
}

/// Rule `[C9]`.
#[test]
fn a_body_without_a_waker_is_cancelled_cleans_up_and_is_dropped() {
    in_schedules(60, |kernel| {
        let log = Log::at(PASSIVE);
        let event = Event::default();
        let (waits, cleanup, dropped) = (event.wait(), log.clone().entry("cleanup"), log.on_drop("dropped"));
        kernel.run_one(move || {
            let device = Device::new();
            device.spawn(async move {
                let _dropped = dropped;
                try_finally(waits, cleanup).await;
            });
            device.delete();
        });
        assert_eq!(log.take(), [""; 0]);
        kernel.run_one(move || at_dispatch(|| event.disconnect()));
        assert_eq!(log.take(), ["cleanup", "dropped"]);
    });
}

#[test]
fn the_tracker_counts_and_reaches_idle_bodies() {
    in_schedules(60, |kernel| {
        let log = Log::at(PASSIVE);
        let event = Event::default();
        let (waits, cleanup) = (event.wait(), log.clone().entry("cleanup"));
        kernel.run_one(move || {
            let device = Device::new();
            device.spawn(async move {
                try_finally(waits, cleanup).await;
            });
            device.delete();
        });
        kernel.run_one(|| {
            assert_eq!(default_tracker(TaskTracker::unfinished), 1);
            default_tracker(TaskTracker::close);
            default_tracker(TaskTracker::cancel_all);
        });
        kernel.run_one(move || {
            assert_eq!(default_tracker(TaskTracker::unfinished), 0);
            event.disconnect();
        });
        assert_eq!(log.take(), ["cleanup"]);
    });
}

#[test]
fn a_device_that_is_deleted_is_there_until_its_last_body_has_ended() {
    in_schedules(30, |kernel| {
        let event = Event::default();
        let waits = event.wait();
        kernel.run_one(move || {
            let device = Device::new();
            device.spawn(waits);
            device.delete();
        });
        kernel.run_one(|| {
            assert_eq!(ntsim::counters().live_blocks, 2, "the blocks of the task and of the device")
        });
        let sets = event.clone();
        kernel.run_one(move || sets.set());
        kernel.run_one(move || {
            event.disconnect();
            assert_eq!(ntsim::counters().live_blocks, 0);
        });
    });
}

/// Three processors wake, cancel, ask the tracker, and release one task, in three hundred
/// schedules.
///
/// It ends once, whatever the order. Its item is never queued twice, which would be bug check 0xE4.
#[test]
fn wake_cancel_and_release_from_three_processors() {
    for seed in 0..300 {
        let mut kernel = Kernel::new(3, seed);
        let (log, event, handle) = (Log::at(PASSIVE), Event::default(), Arc::new(Mutex::new(None)));
        let (waits, end, cleanup) = (event.wait_for(3), log.on_drop("end"), log.clone().entry("cleanup"));
        let (first, spawned) = (event.clone(), Arc::clone(&handle));
        let spawn = move || {
            let device = Device::new();
            let body = async move {
                let _end = end;
                try_finally(waits, cleanup).await;
            };
            *spawned.lock().unwrap() = Some(device.cancellable(body));
            first.set();
            device.delete();
        };
        let (second, third, canceller) = (event.clone(), event.clone(), Arc::clone(&handle));
        let wake = move || {
            second.set();
            default_tracker(TaskTracker::cancel_all);
        };
        let cancel = move || {
            let handle: Option<CancelHandle> = canceller.lock().unwrap().take();
            spawn_dpc_task(async move { third.set() }).unwrap();
            if let Some(handle) = handle {
                handle.cancel();
            }
        };
        kernel.run(vec![Box::new(spawn), Box::new(wake), Box::new(cancel)]);
        kernel.run_one(move || {
            drop(handle.lock().unwrap().take());
            default_tracker(TaskTracker::cancel_all);
        });
        kernel.run_one(move || event.disconnect());
        assert_eq!(log.take(), ["cleanup", "end"], "seed {seed}");
        kernel.unload();
    }
}

/// Returns the cost of a piece of a program in read-modify-writes, allocations and kernel calls.
fn cost(f: impl FnOnce()) -> [u64; 3] {
    let before = ntsim::counters();
    f();
    let after = ntsim::counters();
    [after.rmw - before.rmw, after.allocations - before.allocations, after.kernel_calls - before.kernel_calls]
}

#[test]
fn a_wake_is_one_read_modify_write_no_allocation_and_at_most_one_kernel_call() {
    in_schedules(1, |kernel| {
        let event = Event::default();
        let waits = event.wait();
        kernel.run_one(move || {
            let device = Device::new();
            device.spawn(async move {
                poll_fn(|context| {
                    // At DISPATCH_LEVEL, because otherwise the work of the processor's other
                    // threads would be counted, too.
                    at_dispatch(|| {
                        assert_eq!(cost(|| context.waker().wake_by_ref()), [1, 0, 0], "it is polled again");
                    });
                    Poll::Ready(())
                })
                .await;
                waits.await;
            });
            device.delete();
        });
        kernel.run_one(move || {
            let waker = event.0.1.lock().unwrap().take().unwrap();
            event.0.0.fetch_add(1, SeqCst);
            at_dispatch(|| {
                assert_eq!(cost(|| waker.wake_by_ref()), [1, 0, 1], "idle: it is queued");
                assert_eq!(cost(|| waker.wake_by_ref()), [1, 0, 0], "queued already");
                let other = waker.clone();
                assert_eq!(cost(|| other.wake()), [1, 0, 0], "queued already");
            });
            drop(waker);
        });
        kernel.run_one(|| assert_eq!(default_tracker(TaskTracker::unfinished), 0));
    });
}
