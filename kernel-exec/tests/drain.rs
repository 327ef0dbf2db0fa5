//! Tests of draining a tracker. When the drain returns, nothing is left, and kept blocks of ended
//! tasks do not hold it up.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{cell::Cell, future::pending, time::Duration};
use std::{rc::Rc, sync::Arc};

use common::{Event, TICK, Thread, in_kernel, kernel, program};
use ntcom_exec::{
    DEFAULT_POLL_BUDGET, DrainError, NTSTATUS, TaskTracker, default_tracker, interval, sleep, spawn_dpc_task,
    spawn_dpc_task_cancellable, timeout, try_finally, yield_now,
};
use ntsim::{
    Config, Exploration, Limits, Schedule, Simulation, ddi, explore,
    sync::{AtomicBool, AtomicUsize, Ordering},
};

/// Drains until nothing is left.
fn drain() {
    assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
}

/// Drains for this many clock periods.
fn drain_for(periods: u32) -> Result<(), DrainError> {
    let period = Duration::from_nanos(TICK * 100);
    default_tracker(|tracker| tracker.drain(Some(period * periods)))
}

/// A body that needs two more clock ticks to end.
async fn two_ticks() {
    for _ in 0..2 * DEFAULT_POLL_BUDGET.get() {
        yield_now().await;
    }
}

#[test]
fn where_nothing_is_left_it_returns_at_once() {
    in_kernel(|| {
        drain();
        assert_eq!(default_tracker(|tracker| tracker.drain(Some(Duration::ZERO))), Ok(()));
        spawn_dpc_task(async {}).unwrap();
        drain();
    });
}

#[test]
fn above_passive_level_it_is_refused() {
    in_kernel(|| {
        // SAFETY: called at PASSIVE_LEVEL; the IRQL is lowered below.
        let irql = unsafe { ddi::KfRaiseIrql(1) };
        assert_eq!(default_tracker(|tracker| tracker.drain(None)), Err(DrainError::Irql));
        // SAFETY: `irql` is the value that the raise returned.
        unsafe { ddi::KeLowerIrql(irql) };
        let body =
            async { assert_eq!(default_tracker(|tracker| tracker.drain(None)), Err(DrainError::Irql)) };
        spawn_dpc_task(body).unwrap();
        assert_eq!(DrainError::Irql.status(), NTSTATUS::INVALID_DEVICE_STATE);
    });
}

/// Z24. A task that waits is in no queue, but is still a task.
#[test]
fn an_idle_task_holds_it_up() {
    for seed in 0..50 {
        let mut kernel = kernel(2, seed);
        let event = Event::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (waits, ends) = (event.clone(), Arc::clone(&ended));
        let run = move || {
            spawn_dpc_task(async move {
                waits.wait().await;
                ends.store(true, Ordering::Relaxed);
            })
            .unwrap();
            assert_eq!(drain_for(1), Err(DrainError::Stuck { tasks: 1, timers: 0, handlers: 0 }));
            let setter = Thread::spawn(move || event.set());
            drain();
            assert!(ended.load(Ordering::Relaxed), "drained with a task pending");
            setter.join();
        };
        kernel.run_on(0, run).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

#[test]
fn a_drain_reports_stuck_tasks_and_can_be_called_again() {
    in_kernel(|| {
        let events = [(); 3].map(|()| {
            spawn_dpc_task_cancellable(pending()).unwrap().cancel();
            let event = Event::default();
            let cleanup = event.wait();
            let body = async move { assert_eq!(try_finally(pending::<()>(), cleanup).await, None) };
            spawn_dpc_task_cancellable(body).unwrap().cancel();
            event
        });
        for (ended, event) in events.iter().enumerate() {
            let stuck = drain_for(1).unwrap_err();
            assert_eq!(stuck, DrainError::Stuck { tasks: 3 - ended, timers: 0, handlers: 0 });
            assert_eq!(stuck.status(), NTSTATUS::TIMEOUT);
            event.set();
        }
        drain();
    });
}

/// Z27. An ended task's block lives as long as a handle or a waker of it, and the drain does not
/// wait for it.
#[test]
fn references_to_an_ended_task_do_not_delay_a_drain() {
    in_kernel(|| {
        let event = Event::default();
        let wait = event.wait();
        let handle = spawn_dpc_task_cancellable(async move {
            let wait = core::pin::pin!(wait);
            let _loser = futures_util::future::select(wait, core::future::ready(())).await;
        })
        .unwrap();
        let waker = event.take_waker().unwrap();
        default_tracker(TaskTracker::close);
        default_tracker(TaskTracker::cancel_all);
        assert_eq!(drain_for(2), Ok(()));
        assert_eq!(ntsim::live_blocks(), 1, "the handle and the waker keep the block");
        handle.cancel();
        waker.wake();
        drop(handle);
        assert_eq!(ntsim::live_blocks(), 0);
    });
}

/// Z25. The limit passes just when the last task ends. The poller that ends it must not touch the
/// event of a waiter that has gone.
#[test]
fn a_waiter_that_gives_up_while_the_last_task_ends_is_not_told_any_more() {
    let gave_up = Cell::new(0);
    for seed in 0..400 {
        let mut kernel = kernel(2, seed);
        let (spawned, stuck) = (Rc::new(AtomicBool::new(false)), Rc::new(Cell::new(false)));
        let (start, gives_up) = (Rc::clone(&spawned), Rc::clone(&stuck));
        let drainer = move || {
            while !start.load(Ordering::Acquire) {}
            gives_up.set(drain_for(1).is_err());
            drain();
        };
        let spawner = move || {
            spawn_dpc_task(two_ticks()).unwrap();
            spawned.store(true, Ordering::Release);
        };
        let run = kernel.programs().on(0, drainer).on(1, spawner).run();
        run.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        gave_up.set(gave_up.get() + usize::from(stuck.get()));
    }
    let gave_up = gave_up.get();
    assert!(
        (20..380).contains(&gave_up),
        "the limit and the end of the task must meet: {gave_up} of 400 drains gave up"
    );
}

#[test]
fn several_threads_may_drain_at_once() {
    for seed in 0..100 {
        let mut kernel = kernel(3, seed);
        let returned = Rc::new(AtomicUsize::new(0));
        let run = move || {
            let event = Event::default();
            spawn_dpc_task(event.wait()).unwrap();
            let drainers = [0, 1, 2].map(|index| {
                let returned = Rc::clone(&returned);
                Thread::spawn(move || {
                    // One of them gives up now and then, and leaves the others in the list.
                    let gave_up = index == 1 && drain_for(1).is_err();
                    if !gave_up {
                        drain();
                    }
                    returned.fetch_add(1, Ordering::Relaxed);
                })
            });
            event.set();
            drainers.into_iter().for_each(Thread::join);
            assert_eq!(returned.load(Ordering::Relaxed), 3);
        };
        kernel.run_on(0, run).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

async fn sleep_for_cleanup(duration: Duration) {
    assert_eq!(sleep(duration).await, Ok(()), "a cleanup may sleep on a closed tracker");
}

/// The work that a driver's threads do with tasks while it is loaded, and still while it is being
/// unloaded.
fn work(index: usize, event: &Event) {
    // Each spawn may be refused, because the tracker may have been closed.
    let cleanup = two_ticks();
    let waits = event.wait();
    let guarded = async move { try_finally(waits, cleanup).await.unwrap_or_default() };
    let handle = spawn_dpc_task_cancellable(guarded);
    let _ = spawn_dpc_task(two_ticks());
    let stubborn = event.wait();
    let _ = spawn_dpc_task(async move {
        two_ticks().await;
        stubborn.await;
    });
    let limit = Duration::from_nanos(TICK * 100 * (1 + index as u64));
    let _ = spawn_dpc_task(async move {
        let mut ticks = interval(limit / 2);
        let sampling = async { while ticks.tick().await.is_ok() {} };
        try_finally(timeout(limit, sampling), sleep_for_cleanup(limit)).await;
        sleep(limit * 100).await.unwrap_or_default();
    });
    event.wake();
    if index.is_multiple_of(2)
        && let Ok(handle) = handle
    {
        handle.cancel();
    }
}

/// Z26. A driver runs from load to unload on one to four processors. Unload closes, cancels,
/// drains, and returns.
#[test]
fn a_driver_is_unloaded_right_after_the_drain() {
    for seed in 0..500 {
        let processors = seed as usize % 4 + 1;
        let mut kernel = kernel(processors, seed);
        let driver = move || {
            let event = Event::default();
            let threads: Vec<Thread> = (0..processors)
                .map(|index| {
                    let event = event.clone();
                    Thread::spawn(move || work(index, &event))
                })
                .collect();
            work(1, &event);
            // The threads end before the tasks that they have begun, or with them.
            let (early, late) = if seed % 8 < 4 { (threads, Vec::new()) } else { (Vec::new(), threads) };
            early.into_iter().for_each(Thread::join);
            default_tracker(TaskTracker::close);
            default_tracker(TaskTracker::cancel_all);
            drain();
            assert_eq!(default_tracker(TaskTracker::unfinished), 0);
            late.into_iter().for_each(Thread::join);
        };
        kernel.unload_with(0, program(driver)).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

/// Every schedule with at most two preemptions. A thread, on any processor, has a task sleep. The
/// driver is unloaded, with the task cancelled or left to its end.
#[test]
fn a_driver_is_unloaded_under_every_schedule_with_two_preemptions() {
    for cancels in [false, true] {
        let limits = Limits { preemptions: Some(2), ..Limits::default() };
        let explored = explore(Config { processors: 2, ..Config::default() }, limits, |kernel| {
            let driver = move || {
                let body = async { sleep(Duration::from_millis(1)).await.unwrap_or_default() };
                Thread::spawn(|| spawn_dpc_task(body).unwrap()).join();
                default_tracker(TaskTracker::close);
                if cancels {
                    default_tracker(TaskTracker::cancel_all);
                }
                drain();
            };
            kernel.unload_with(0, program(driver))
        });
        let Exploration { runs, complete, finding, .. } = explored;
        assert!(finding.is_none(), "{:?}", finding.map(|finding| finding.stop.to_string()));
        assert!(complete && runs > 500, "{runs} runs");
    }
}

/// A drain without a limit does not give up. It succeeds after a moment at which nothing was left,
/// even if other code has begun something since.
#[test]
fn a_drain_of_an_open_tracker_does_not_give_up_for_what_has_begun_since() {
    for seed in 0..300 {
        let mut kernel = kernel(2, seed);
        let first = Event::default();
        let waited = first.wait();
        let spawn = program(move || spawn_dpc_task(waited).unwrap());
        kernel.run_on(0, spawn).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        let draining = program(|| assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(())));
        let working = program(move || {
            first.set();
            for _ in 0..4 {
                let next = Event::default();
                spawn_dpc_task(next.wait()).unwrap();
                next.set();
            }
        });
        kernel
            .programs()
            .on(0, draining)
            .on(1, working)
            .run()
            .unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

/// A drain that is woken after that moment has passed waits again. It does not poll, which would
/// take the processor from other code.
#[test]
fn a_drain_that_was_woken_too_late_waits_again() {
    for seed in 0..200 {
        let config = Config { processors: 2, step_time: 0, ..Config::default() };
        let mut kernel = Simulation::new(config, Schedule::seed(seed));
        let first = Event::default();
        let waited = first.wait();
        let spawn = program(move || spawn_dpc_task(waited).unwrap());
        kernel.run_on(0, spawn).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        let working = program(move || {
            first.set();
            // The sleep uses a clock that also runs while all processors are idle.
            spawn_dpc_task(async { sleep(Duration::from_millis(50)).await.unwrap() }).unwrap();
        });
        kernel
            .programs()
            .on(0, drain)
            .on(1, working)
            .run()
            .unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}
