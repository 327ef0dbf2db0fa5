//! Tests of the timers of tasks on the simulated kernel. They are never early, never lost, and safe
//! to drop in every state.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{cell::Cell, future::pending, pin::pin, task::Poll, time::Duration};
use std::{
    rc::Rc,
    sync::{Arc, Mutex},
};

use common::{Event, TICK, Thread, in_kernel, kernel};
use futures_util::{
    future::{Either, Future, join, poll_fn, select},
    poll,
};
use ntcom_exec::{
    DrainError, Instant, NTSTATUS, Signal, TaskTracker, default_tracker, interval, sleep, sleep_until,
    spawn_dpc_task, spawn_dpc_task_cancellable, timeout, try_finally,
};
use ntsim::{
    Config, Schedule, Simulation,
    sync::{AtomicBool, AtomicU32, Ordering},
};

/// Returns the duration of this many clock periods.
fn ticks(count: u64) -> Duration {
    Duration::from_nanos(TICK * 100 * count)
}

fn drain() {
    assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
}

/// Runs a program in this many schedules, on one to four processors. The schedules are those of the
/// seeds from 0.
fn under_schedules(schedules: u64, run: impl Fn(u64) + Clone + 'static) {
    for seed in 0..schedules {
        let mut kernel = kernel(seed as usize % 4 + 1, seed);
        let run = run.clone();
        let outcome = kernel.run_on(0, move || run(seed));
        outcome.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

/// Clock ticks are anywhere in the period, and the kernel counts from the last one, so a timer may
/// come a period early.
#[test]
fn a_sleep_is_never_too_short_and_ends_with_the_first_tick_after_it() {
    under_schedules(200, |seed| {
        let duration = Duration::from_micros(1 + seed * 331);
        spawn_dpc_task(async move {
            let start = Instant::now();
            sleep(duration).await.unwrap();
            let slept = Instant::now().duration_since(start);
            assert!(slept >= duration, "{slept:?} of {duration:?}");
            assert!(slept < duration + ticks(1) + Duration::from_millis(1), "{slept:?} of {duration:?}");
        })
        .unwrap();
    });
}

#[test]
fn a_tolerant_sleep_is_late_by_its_tolerance_at_most() {
    let (late, most) = (Rc::new(Cell::new(0)), Duration::from_millis(200));
    let counts = Rc::clone(&late);
    under_schedules(100, move |_| {
        let (sender, receiver) = std::sync::mpsc::channel();
        spawn_dpc_task(async move {
            let start = Instant::now();
            sleep(ticks(2)).with_tolerance(most).await.unwrap();
            sender.send(Instant::now().duration_since(start)).unwrap();
        })
        .unwrap();
        drain();
        let slept = receiver.recv().unwrap();
        assert!(slept >= ticks(2) && slept < ticks(3) + most + Duration::from_millis(1), "{slept:?}");
        counts.set(counts.get() + usize::from(slept > ticks(4)));
    });
    assert!(late.get() > 20, "the kernel must use the tolerance: {} of 100 sleeps were late", late.get());
}

/// A tolerance that the kernel's call does not take becomes the largest one that it takes.
#[test]
fn an_absurd_tolerance_is_taken_as_the_most_there_is() {
    in_kernel(|| {
        let body = async { sleep(ticks(1)).with_tolerance(Duration::MAX).await.unwrap() };
        spawn_dpc_task_cancellable(body).unwrap().cancel();
        drain();
    });
}

#[test]
fn a_deadline_in_the_past_ends_in_the_first_poll_and_sets_no_timer() {
    in_kernel(|| {
        spawn_dpc_task(async {
            let blocks = ntsim::live_blocks();
            assert_eq!(poll!(pin!(sleep(Duration::ZERO))), Poll::Ready(Ok(())));
            assert_eq!(poll!(pin!(sleep_until(Instant::now()))), Poll::Ready(Ok(())));
            let mut again = pin!(sleep(Duration::ZERO));
            assert_eq!(poll!(again.as_mut()), Poll::Ready(Ok(())));
            assert_eq!(poll!(again), Poll::Ready(Ok(())), "a poll after the end gives the same result");
            assert_eq!(ntsim::live_blocks(), blocks);
        })
        .unwrap();
    });
}

#[test]
fn absurd_durations_are_errors() {
    in_kernel(|| {
        spawn_dpc_task(async {
            assert_eq!(sleep(Duration::MAX).await, Err(NTSTATUS::INVALID_PARAMETER));
            let beyond = Duration::from_secs(i64::MAX.cast_unsigned() / 10_000_000 + 1);
            assert_eq!(sleep(beyond).await, Err(NTSTATUS::INVALID_PARAMETER));
            assert_eq!(interval(Duration::ZERO).tick().await, Err(NTSTATUS::INVALID_PARAMETER));
            assert_eq!(interval(Duration::MAX).tick().await, Err(NTSTATUS::INVALID_PARAMETER));
        })
        .unwrap();
        assert_eq!(default_tracker(TaskTracker::unfinished), 0);
    });
}

/// A limit beyond the clock's range is for ever, as for `drain` and `wait`.
#[test]
fn a_limit_beyond_the_clock_is_none() {
    let beyond = Duration::from_secs(i64::MAX.cast_unsigned() / 10_000_000 + 1);
    for limit in [beyond, Duration::MAX] {
        in_kernel(move || {
            let blocks = ntsim::live_blocks();
            let signal = Arc::new(Signal::new());
            let waits = Arc::clone(&signal);
            spawn_dpc_task(async move {
                assert_eq!(timeout(limit, async { 1 }).await, Ok(1));
                assert_eq!(timeout(limit, waits.wait()).await, Ok(()));
            })
            .unwrap();
            assert_eq!(default_tracker(TaskTracker::unfinished), 1);
            assert_eq!(ntsim::live_blocks(), blocks + 1, "a limit beyond the clock has no timer");
            ntsim::advance_time(1_000_000_000);
            assert_eq!(default_tracker(TaskTracker::unfinished), 1);
            signal.set();
            assert_eq!(default_tracker(|tracker| tracker.drain(Some(limit))), Ok(()));
            let handle = spawn_dpc_task_cancellable(async move {
                let _never = timeout(limit, pending::<()>()).await;
            })
            .unwrap();
            handle.cancel();
            assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()), "and it can be cancelled");
        });
    }
}

/// The longest sleep is one that the kernel's timer takes.
#[test]
fn the_longest_sleep_can_be_set_and_dropped() {
    in_kernel(|| {
        let long = Duration::from_secs(i64::MAX.cast_unsigned() / 10_000_000 - 60);
        let body = async move { sleep(long).await.unwrap() };
        let handle = spawn_dpc_task_cancellable(body).unwrap();
        ntsim::advance_time(1 << 40);
        assert_eq!(default_tracker(TaskTracker::unfinished), 1);
        handle.cancel();
    });
}

#[test]
fn without_memory_a_sleep_ends_with_an_error_and_its_task_goes_on() {
    in_kernel(|| {
        let later = Arc::new(AtomicBool::new(false));
        let goes_on = Arc::clone(&later);
        spawn_dpc_task(async move {
            ntsim::fail_allocation(0);
            assert_eq!(sleep(ticks(1)).await, Err(NTSTATUS::INSUFFICIENT_RESOURCES));
            ntsim::fail_allocation(0);
            let limited = timeout(ticks(1), pending::<()>());
            assert_eq!(limited.await, Err(NTSTATUS::INSUFFICIENT_RESOURCES));
            let mut ticks_of_it = interval(ticks(1));
            ntsim::fail_allocation(0);
            assert_eq!(ticks_of_it.tick().await, Err(NTSTATUS::INSUFFICIENT_RESOURCES));
            assert_eq!(ticks_of_it.tick().await, Ok(0), "the tick itself is not lost");
            goes_on.store(true, Ordering::Relaxed);
        })
        .unwrap();
        drain();
        assert!(later.load(Ordering::Relaxed));
    });
}

/// Z19. A timer future that was never polled has no timer to cancel.
#[test]
fn a_timer_future_that_was_never_polled_is_dropped() {
    in_kernel(|| {
        drop(sleep(ticks(1)));
        drop(timeout(ticks(1), pending::<()>()));
        let mut ticks_of_it = interval(ticks(1));
        drop(ticks_of_it.tick());
        spawn_dpc_task(async {
            let unpolled = sleep(ticks(1));
            assert!(matches!(select(pin!(async {}), unpolled).await, Either::Left(_)));
        })
        .unwrap();
    });
}

#[test]
fn an_armed_timer_that_is_dropped_does_not_fire() {
    in_kernel(|| {
        let handle = spawn_dpc_task_cancellable(async { sleep(ticks(3)).await.unwrap() }).unwrap();
        assert_eq!(ntsim::live_blocks(), 2);
        handle.cancel();
        assert_eq!(ntsim::live_blocks(), 1, "the timer's block is gone: only the handle's is left");
        drop(handle);
        assert_eq!(default_tracker(|tracker| tracker.drain(Some(Duration::ZERO))), Ok(()));
    });
}

/// Z21. The timer is armed on one processor, where its DPC will run, and dropped on another when
/// the clock ticks.
#[test]
fn a_timer_is_dropped_while_its_dpc_is_on_its_way_on_another_processor() {
    let (in_time, too_late) = (Cell::new(0), Cell::new(0));
    for seed in 0..500 {
        let config = Config { processors: 2 + seed as usize % 3, trace: true, ..Config::default() };
        let mut kernel = Simulation::new(config, Schedule::seed(seed));
        let handle = Arc::new(Mutex::new(None));
        let (spawned, armed) = (Arc::clone(&handle), Rc::new(AtomicBool::new(false)));
        let is_armed = Rc::clone(&armed);
        let arm = move || {
            let body = async { sleep(ticks(1)).await.unwrap() };
            *spawned.lock().unwrap() = Some(spawn_dpc_task_cancellable(body).unwrap());
            armed.store(true, Ordering::Release);
            while ntsim::irql() == 0 && default_tracker(TaskTracker::unfinished) > 0 {}
        };
        let cancel = move || {
            while !is_armed.load(Ordering::Acquire) {}
            // In half of the schedules the clock is at the second tick, when the sleep is over.
            ntsim::advance_time(TICK + seed % 2 * TICK);
            let handle = handle.lock().unwrap().take().unwrap();
            handle.cancel();
        };
        kernel.programs().on(1, arm).on(0, cancel).run().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        let trace = kernel.trace().to_string();
        let cancels = trace.lines().find(|line| line.contains("KeCancelTimer"));
        if let Some(line) = cancels {
            let counted = if line.contains("TRUE") { &in_time } else { &too_late };
            counted.set(counted.get() + 1);
        }
    }
    let met = (in_time.get(), too_late.get());
    assert!(met.0 > 20 && met.1 > 20, "cancelled in time and too late: {met:?}");
}

/// Z20. The task is polled on another processor, because another wake came, while the timer fires
/// on the first.
#[test]
fn a_timer_that_fires_while_its_waker_is_stored_is_not_lost() {
    for seed in 0..500 {
        let mut kernel = kernel(2 + seed as usize % 2, seed);
        let ended = Arc::new(AtomicBool::new(false));
        let (event, armed) = (Event::default(), Rc::new(AtomicBool::new(false)));
        let (waits, ends, is_armed) = (event.clone(), Arc::clone(&ended), Rc::clone(&armed));
        let arm = move || {
            spawn_dpc_task(async move {
                let (mut waits, mut sleep) = (pin!(waits.wait()), pin!(sleep(ticks(1))));
                let mut polls = 0;
                let slept = poll_fn(move |context| {
                    assert!(waits.as_mut().poll(context).is_pending());
                    polls += 1;
                    if polls == 2 {
                        // The timer is due now, and its DPC goes to the processor that set it.
                        ntsim::advance_time(2 * TICK);
                    }
                    sleep.as_mut().poll(context)
                });
                slept.await.unwrap();
                ends.store(true, Ordering::Relaxed);
            })
            .unwrap();
            armed.store(true, Ordering::Release);
        };
        let wake = move || {
            while !is_armed.load(Ordering::Acquire) {}
            event.wake();
        };
        kernel.programs().on(1, arm).on(0, wake).run().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        assert!(ended.load(Ordering::Relaxed), "seed {seed}: the timer fired, but the task was not woken");
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

/// The cleanup sleeps too, on a closed tracker.
#[test]
fn a_task_that_is_cancelled_in_its_sleep_cleans_up() {
    under_schedules(200, |_| {
        let cleaned = Arc::new(AtomicBool::new(false));
        let cleans = Arc::clone(&cleaned);
        let cleanup = async move {
            sleep(ticks(1)).await.unwrap();
            cleans.store(true, Ordering::Relaxed);
        };
        let body = async move { assert_eq!(try_finally(sleep(ticks(100)), cleanup).await, None) };
        let handle = spawn_dpc_task_cancellable(body).unwrap();
        let start = Instant::now();
        default_tracker(TaskTracker::close);
        let canceller = Thread::spawn(move || handle.cancel());
        drain();
        assert!(cleaned.load(Ordering::Relaxed));
        assert!(
            Instant::now().duration_since(start) < ticks(10),
            "a cancelled sleep must not delay the drain"
        );
        canceller.join();
    });
}

#[test]
fn the_first_of_value_and_limit_wins_a_timeout() {
    under_schedules(200, |_| {
        spawn_dpc_task(async {
            assert_eq!(timeout(ticks(4), sleep(ticks(1))).await, Ok(Ok(())));
            assert_eq!(timeout(ticks(1), sleep(ticks(4))).await, Err(NTSTATUS::IO_TIMEOUT));
            assert_eq!(timeout(Duration::ZERO, async { 5 }).await, Ok(5));
            assert_eq!(timeout(Duration::ZERO, pending::<()>()).await, Err(NTSTATUS::IO_TIMEOUT));
        })
        .unwrap();
        drain();
    });
}

/// Another event ends the future just when the time is over. The result is one of the two, and the
/// task continues.
#[test]
fn a_timeout_that_meets_the_end_of_its_future() {
    let over = Rc::new(Cell::new(0));
    let counts = Rc::clone(&over);
    under_schedules(300, move |_| {
        let outcome = Arc::new(Mutex::new(None));
        let (event, ends) = (Event::default(), Arc::clone(&outcome));
        let waits = event.wait();
        spawn_dpc_task(async move {
            let limited = timeout(ticks(1), waits).await;
            *ends.lock().unwrap() = Some(limited);
        })
        .unwrap();
        let setter = Thread::spawn(move || {
            ntsim::advance_time(TICK);
            event.set();
        });
        drain();
        setter.join();
        match outcome.lock().unwrap().take() {
            Some(Ok(())) => {}
            Some(Err(NTSTATUS::IO_TIMEOUT)) => counts.set(counts.get() + 1),
            other => panic!("{other:?}"),
        }
    });
    assert!(
        (10..290).contains(&over.get()),
        "the timeout and the event must meet: {} of 300 timed out",
        over.get()
    );
}

/// Tick n is due n periods after the beginning, however late the earlier ticks were seen.
#[test]
fn an_interval_does_not_drift() {
    under_schedules(100, |seed| {
        let period = ticks(1) + Duration::from_micros(seed * 97);
        spawn_dpc_task(async move {
            let before = Instant::now();
            let mut ticks_of_it = interval(period);
            let after = Instant::now();
            let mut number = 0;
            while number < 50 {
                number += 1 + u32::try_from(ticks_of_it.tick().await.unwrap()).unwrap();
                let now = Instant::now();
                assert!(now.duration_since(before) >= period * number, "tick {number} came early");
                let late = now.duration_since(after).saturating_sub(period * number);
                assert!(late < ticks(1) + Duration::from_millis(1), "tick {number} is {late:?} late");
            }
        })
        .unwrap();
    });
}

#[test]
fn missed_ticks_are_counted_by_the_next() {
    in_kernel(|| {
        spawn_dpc_task(async {
            let mut ticks_of_it = interval(ticks(2));
            sleep(ticks(7)).await.unwrap();
            assert_eq!(ticks_of_it.tick().await, Ok(2), "due after 2, 4 and 6");
            assert_eq!(ticks_of_it.tick().await, Ok(0));
            let tick = ticks_of_it.tick();
            assert!(poll!(pin!(tick)).is_pending(), "dropped here");
            assert_eq!(ticks_of_it.tick().await, Ok(0), "and not lost");
        })
        .unwrap();
        drain();
    });
}

/// Many timers of many tasks, each on the processor that its thread is on.
#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    under_schedules(100, |_| {
        let last = Arc::new(AtomicU32::new(0));
        let start = Instant::now();
        let threads = [5, 2, 4, 1, 3].map(|place| {
            let last = Arc::clone(&last);
            Thread::spawn(move || {
                let deadline = start.checked_add(ticks(2 * u64::from(place))).unwrap();
                let body = async move {
                    join(async { sleep_until(deadline).await.unwrap() }, sleep(ticks(1))).await.1.unwrap();
                    assert_eq!(last.fetch_max(place, Ordering::Relaxed), place - 1);
                };
                spawn_dpc_task(body).unwrap();
            })
        });
        threads.into_iter().for_each(Thread::join);
        drain();
    });
}

/// A driver may keep a timer's future longer than its task, or leak it. The timer's DPC is still
/// code of the driver.
#[test]
fn a_timer_that_outlives_its_task_holds_up_the_drain() {
    in_kernel(|| {
        let kept = Arc::new(Mutex::new(None));
        let keeps = Arc::clone(&kept);
        spawn_dpc_task(async move {
            let mut sleep = Box::pin(sleep(ticks(3)));
            assert!(poll!(sleep.as_mut()).is_pending());
            *keeps.lock().unwrap() = Some(sleep);
        })
        .unwrap();
        default_tracker(TaskTracker::close);
        let stuck = default_tracker(|tracker| tracker.drain(Some(ticks(1))));
        assert_eq!(stuck, Err(DrainError::Stuck { tasks: 0, timers: 1, handlers: 0 }));
        drain();
        assert_eq!(ntsim::live_blocks(), 1, "the timer has fired, and the kept future holds its block");
        kept.lock().unwrap().take();
    });
}

#[test]
fn without_a_task_nothing_can_be_set_on_a_closed_tracker() {
    in_kernel(|| {
        default_tracker(TaskTracker::close);
        drain();
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        let late = core::pin::Pin::new(&mut sleep(ticks(1))).poll(&mut context);
        assert_eq!(late, Poll::Ready(Err(NTSTATUS::DELETE_PENDING)));
    });
}
