//! Tests of a part of a body at PASSIVE_LEVEL, which migrates there, waits there, and migrates
//! back.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, reason = "what the tests share is more than these use")]

mod common;
mod work_items;

use core::{
    future::{Future, pending, poll_fn, ready},
    pin::Pin,
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::{Context, Poll},
    time::Duration,
};
use std::sync::Arc;

use common::{Event, Log};
use futures_util::{
    StreamExt,
    future::{Either, join, select},
    stream::FuturesUnordered,
};
use ntcom_exec::{
    CancelHandle, DpcOptions, Migrating, NTSTATUS, PoolAllocator, TaskBuilder, TaskTracker, default_tracker,
    passive, spawn_dpc_task, take_cancellation_request, try_finally, yield_now,
};
use ntsim::{Config, Schedule, Simulation, types::PDEVICE_OBJECT};
use work_items::{Device, Kernel, PASSIVE, in_schedules, wait_a_moment};

const DISPATCH: u8 = 2;

fn spawn(device: Device, body: impl Future<Output = ()> + Send + 'static) -> CancelHandle {
    on(device.0).spawn(body).unwrap()
}

/// For a task on DPCs that can go to PASSIVE_LEVEL in work items of this device.
fn on(device: PDEVICE_OBJECT) -> TaskBuilder<Migrating> {
    // SAFETY: null, or a device that the tests have not deleted.
    TaskBuilder::new().on(unsafe { Migrating::new(DpcOptions::new(), device) })
}

/// A future that is polled and, once polled, dropped at PASSIVE_LEVEL only.
struct AtPassive<F: Future>(Pin<Box<F>>, bool);

impl<F: Future> Future for AtPassive<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        assert_eq!(ntsim::irql(), PASSIVE);
        self.1 = true;
        self.0.as_mut().poll(context)
    }
}

impl<F: Future> Drop for AtPassive<F> {
    fn drop(&mut self) {
        assert!(!self.1 || ntsim::irql() == PASSIVE, "dropped at IRQL {}", ntsim::irql());
    }
}

fn at_passive<F: Future>(future: F) -> AtPassive<F> {
    AtPassive(Box::pin(future), false)
}

#[test]
fn it_goes_waits_there_and_comes_back() {
    in_schedules(200, |kernel| {
        let (log, event) = (Log::default(), Event::default());
        let (inside, waited) = (log.clone(), event.clone());
        kernel.run(vec![Box::new(move || {
            let device = Device::new();
            drop(spawn(device, async move {
                for _ in 0..3 {
                    assert_eq!(ntsim::irql(), DISPATCH);
                    let away = async {
                        yield_now().await;
                        waited.wait().await;
                        inside.clone().entry("away").await;
                        7
                    };
                    assert_eq!(passive(at_passive(away)).await, Ok(7));
                    assert_eq!(ntsim::irql(), DISPATCH);
                    inside.clone().entry("back").await;
                }
            }));
            device.delete();
            event.set();
        })]);
        assert_eq!(log.take(), ["away", "back", "away", "back", "away", "back"]);
    });
}

#[test]
fn migrating_allocates_nothing() {
    in_schedules(1, |kernel| {
        kernel.run_one(|| {
            let device = Device::new();
            let before = ntsim::counters().allocations;
            drop(spawn(device, async move {
                for _ in 0..10 {
                    passive(yield_now()).await.unwrap();
                }
            }));
            while default_tracker(TaskTracker::unfinished) > 0 {
                ntsim::advance_time(200_000);
                wait_a_moment();
            }
            // At most two allocations are the task's own block, and the state that the image keeps
            // for itself.
            assert!(ntsim::counters().allocations - before <= 2);
            device.delete();
        });
    });
}

/// The cancel comes on the way there, there, or on the way back.
#[test]
fn a_cancelled_task_is_dropped_where_it_is() {
    in_schedules(300, |kernel| {
        let log = Log::default();
        let (inside, cleanup) = (log.clone(), log.clone());
        kernel.run(vec![Box::new(move || {
            let device = Device::new();
            let handle = spawn(device, async move {
                let main = async {
                    passive(at_passive(async {
                        yield_now().await;
                        pending::<()>().await;
                    }))
                    .await
                    .unwrap();
                    inside.entry("never").await;
                };
                try_finally(main, cleanup.entry("cleanup")).await;
            });
            device.delete();
            handle.cancel();
        })]);
        assert_eq!(log.take(), ["cleanup"]);
    });
}

#[test]
fn a_request_is_seen_and_taken_at_passive_level() {
    in_schedules(100, |kernel| {
        let taken = Arc::new(AtomicU32::new(0));
        let inside = Arc::clone(&taken);
        kernel.run_one(move || {
            let device = Device::new();
            let handle = spawn(device, async move {
                let away = poll_fn(move |_| {
                    if take_cancellation_request() {
                        inside.fetch_add(1, SeqCst);
                        return Poll::Ready(());
                    }
                    Poll::Pending
                });
                assert_eq!(passive(at_passive(away)).await, Ok(()));
                assert_eq!(ntsim::irql(), DISPATCH);
                yield_now().await;
            });
            device.delete();
            handle.cancel();
        });
        assert_eq!(taken.load(SeqCst), 1);
    });
}

/// The loser is dropped in the poll that began it, at DISPATCH_LEVEL, and the task never migrates.
#[test]
fn one_that_is_dropped_before_it_has_gone_leaves_the_task_where_it_is() {
    in_schedules(60, |kernel| {
        kernel.run_one(|| {
            let device = Device::new();
            drop(spawn(device, async {
                let away = passive(at_passive(pending::<()>()));
                let Either::Right(_) = select(away, ready(1)).await else { panic!("pending") };
                assert_eq!(ntsim::irql(), DISPATCH);
                yield_now().await;
                assert_eq!(ntsim::irql(), DISPATCH);
            }));
            device.delete();
        });
    });
}

#[test]
fn a_loser_that_has_been_polled_there_is_dropped_there() {
    in_schedules(200, |kernel| {
        let event = Event::default();
        kernel.run_one(move || {
            let device = Device::new();
            let waited = event.clone();
            drop(spawn(device, async move {
                let away = Box::pin(passive(at_passive(pending::<()>())));
                let waited = Box::pin(waited.wait());
                let Either::Right(((), away)) = select(away, waited).await else { panic!("pending") };
                drop(away);
                yield_now().await;
                assert_eq!(ntsim::irql(), DISPATCH, "no part of the body wants PASSIVE_LEVEL");
            }));
            device.delete();
            // The worker, on this processor or another, may have begun or not.
            event.set();
        });
    });
}

#[test]
fn two_at_once_stay_until_both_are_done() {
    in_schedules(200, |kernel| {
        let (first, second) = (Event::default(), Event::default());
        let log = Log::default();
        let inside = log.clone();
        kernel.run_one(move || {
            let device = Device::new();
            let (waits, also_waits) = (first.wait(), second.wait());
            drop(spawn(device, async move {
                let (one, two) = join(passive(at_passive(waits)), passive(at_passive(also_waits))).await;
                assert_eq!((one, two), (Ok(()), Ok(())));
                yield_now().await;
                assert_eq!(ntsim::irql(), DISPATCH);
                inside.entry("done").await;
            }));
            device.delete();
            first.set();
            second.set();
        });
        assert_eq!(log.take(), ["done"]);
    });
}

#[test]
fn many_in_one_combinator_with_wakers_of_its_own() {
    in_schedules(100, |kernel| {
        let done = Arc::new(AtomicU32::new(0));
        let inside = Arc::clone(&done);
        kernel.run_one(move || {
            let device = Device::new();
            drop(spawn(device, async move {
                let mut all: FuturesUnordered<_> = (0..5).map(|_| passive(at_passive(yield_now()))).collect();
                while let Some(ended) = all.next().await {
                    ended.unwrap();
                    inside.fetch_add(1, SeqCst);
                }
                yield_now().await;
                assert_eq!(ntsim::irql(), DISPATCH);
            }));
            device.delete();
        });
        assert_eq!(done.load(SeqCst), 5);
    });
}

#[test]
fn a_task_without_a_device_is_told_so_and_one_on_work_items_is_there_already() {
    in_schedules(30, |kernel| {
        let log = Log::default();
        let (dpc, item) = (log.clone(), log.clone());
        kernel.run_one(move || {
            spawn_dpc_task(async move {
                let dropped = dpc.on_drop("dropped");
                let away = passive(async move { drop(dropped) });
                assert_eq!(away.await, Err(NTSTATUS::NOT_SUPPORTED));
                assert_eq!(ntsim::irql(), DISPATCH);
            })
            .unwrap();
            let device = Device::new();
            device.spawn(async move {
                let nested = passive(async { passive(at_passive(yield_now())).await });
                assert_eq!(nested.await, Ok(Ok(())));
                item.entry("in place").await;
            });
            device.delete();
        });
        assert_eq!(log.take(), ["dropped", "in place"]);
    });
}

#[test]
fn one_inside_of_another_is_one_visit() {
    in_schedules(60, |kernel| {
        kernel.run_one(|| {
            let device = Device::new();
            drop(spawn(device, async {
                let nested = passive(async {
                    passive(at_passive(yield_now())).await.unwrap();
                    assert_eq!(ntsim::irql(), PASSIVE);
                });
                nested.await.unwrap();
                assert_eq!(ntsim::irql(), DISPATCH);
            }));
            device.delete();
        });
    });
}

#[test]
fn a_spent_budget_there_goes_behind_the_other_work_items() {
    in_schedules(60, |kernel| {
        kernel.run_one(|| {
            let device = Device::new();
            drop(spawn(device, async {
                passive(at_passive(async {
                    for _ in 0..40 {
                        yield_now().await;
                    }
                }))
                .await
                .unwrap();
                for _ in 0..40 {
                    yield_now().await;
                    assert_eq!(ntsim::irql(), DISPATCH);
                }
            }));
            device.delete();
        });
    });
}

#[test]
fn its_block_has_the_drivers_tag() {
    let config = Config { trace: true, ..Config::default() };
    let mut kernel = Kernel(Simulation::new(config, Schedule::round_robin()), 0);
    kernel.run_one(|| {
        let device = Device::new();
        let pool = PoolAllocator::with_tag(*b"Smpl");
        drop(on(device.0).allocator(pool).spawn(ready(())).unwrap());
        device.delete();
    });
    let trace = kernel.0.trace().to_string();
    assert_eq!(trace.matches("bytes, tag 'Smpl'").count(), 1, "{trace}");
    kernel.unload();
}

/// A task that migrates back has a DPC to continue in. It need not wait for a clock tick, as a task
/// with a spent budget must.
#[test]
fn migrating_takes_no_timer() {
    let config = Config { trace: true, ..Config::default() };
    let mut kernel = Kernel(Simulation::new(config, Schedule::round_robin()), 0);
    kernel.run_one(move || {
        let device = Device::new();
        drop(spawn(device, async {
            for _ in 0..3 {
                passive(at_passive(yield_now())).await.unwrap();
            }
        }));
        device.delete();
    });
    let trace = kernel.0.trace().to_string();
    let calls = |name: &str| trace.lines().filter(|line| line.contains(name)).count();
    assert_eq!([calls(" IoQueueWorkItemEx"), calls(" KeSetTimerEx")], [3, 0], "{trace}");
    kernel.unload();
}

/// Ten polls at PASSIVE_LEVEL take as many runs as the budget requires.
#[test]
fn the_budget_of_a_run_there_is_the_drivers_too() {
    for (budget, runs) in [(3, 4), (50, 1)] {
        let config = Config { trace: true, ..Config::default() };
        let mut kernel = Kernel(Simulation::new(config, Schedule::round_robin()), 0);
        kernel.run_one(move || {
            let device = Device::new();
            let body = async {
                let away = async {
                    for _ in 0..9 {
                        yield_now().await;
                    }
                };
                passive(at_passive(away)).await.unwrap();
            };
            // SAFETY: a device that is not deleted yet.
            let placement = unsafe { Migrating::new(DpcOptions::new().poll_budget(budget), device.0) };
            drop(TaskBuilder::new().on(placement).spawn(body).unwrap());
            device.delete();
        });
        let trace = kernel.0.trace().to_string();
        let items = trace.lines().filter(|line| line.contains(" IoQueueWorkItemEx")).count();
        assert_eq!(items, runs, "{budget}: {trace}");
        kernel.unload();
    }
}

#[test]
fn a_timer_wakes_it_there() {
    in_schedules(60, |kernel| {
        kernel.run_one(|| {
            let device = Device::new();
            drop(spawn(device, async {
                passive(at_passive(async {
                    ntcom_exec::sleep(Duration::from_millis(30)).await.unwrap();
                }))
                .await
                .unwrap();
                assert_eq!(ntsim::irql(), DISPATCH);
            }));
            device.delete();
        });
    });
}

/// No reference is left that could wake the task, so it is cancelled where it is.
#[test]
fn one_that_is_abandoned_there_ends_there() {
    in_schedules(100, |kernel| {
        let log = Log::default();
        let guard = log.on_drop("dropped");
        kernel.run_one(move || {
            let device = Device::new();
            drop(spawn(device, async move {
                let _guard = guard;
                let _ended = passive(at_passive(pending::<()>())).await;
            }));
            device.delete();
        });
        assert_eq!(log.take(), ["dropped"]);
    });
}

#[test]
fn a_driver_is_unloaded_right_after_the_drain() {
    for seed in 0..300 {
        let mut kernel = Kernel::new(1 + (seed % 3) as usize, seed);
        let log = Log::default();
        let (inside, cleanup) = (log.clone(), log.clone());
        let driver = move || {
            let device = Device::new();
            let event = Event::default();
            let waited = event.wait();
            drop(spawn(device, async move {
                passive(at_passive(waited)).await.unwrap();
                inside.entry("woken").await;
                passive(at_passive(pending::<()>())).await.unwrap();
            }));
            drop(spawn(device, async move {
                let main = passive(at_passive(pending::<()>()));
                try_finally(main, async { assert!(passive(cleanup.entry("cleanup")).await.is_ok()) }).await;
            }));
            event.set();
            default_tracker(|tracker| {
                tracker.close();
                tracker.cancel_all();
                tracker.drain(None).unwrap();
                assert_eq!(tracker.unfinished(), 0);
            });
            let refused = on(null_mut()).spawn(pending());
            assert_eq!(refused.err(), Some(NTSTATUS::INVALID_PARAMETER));
            let refused = on(device.0).spawn(pending());
            assert_eq!(refused.err(), Some(NTSTATUS::DELETE_PENDING));
            device.delete();
        };
        let unloaded = kernel.0.unload_with(0, Box::new(driver));
        unloaded.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        let lines = log.take();
        assert_eq!(lines.iter().filter(|line| **line == "cleanup").count(), 1, "seed {seed}: {lines:?}");
    }
}
