//! Tests with two processors and every way to switch between them twice.
//!
//! Code that has given up its reference must touch nothing of the block, `[T5]` of the task
//! protocol. Otherwise the simulated kernel sees an access to freed memory.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{
    future::poll_fn,
    task::{Poll, Waker},
};
use std::sync::{Arc, Mutex};

use ntcom_exec::{
    CancelHandle, TaskTracker, default_tracker, spawn_dpc_task, spawn_dpc_task_cancellable,
    take_cancellation_request,
};
use ntsim::{Config, Program, Schedule, Simulation};

/// Processor 0 runs for `first` preemption points, processor 1 for `second`, and then each to its
/// end.
fn switches(first: usize, second: usize) -> Schedule {
    const LONGEST: usize = 31;
    let run = |processor: u8, points: usize| {
        let whole = vec![processor << 5 | LONGEST as u8; points / LONGEST];
        [whole, vec![processor << 5 | (points % LONGEST) as u8]].concat()
    };
    Schedule::bytes([run(0, first), run(1, second), run(0, 20 * LONGEST), run(1, 20 * LONGEST)].concat())
}

/// Runs the programs under every such schedule, on one kernel of two processors that is reset for
/// each.
fn everywhere(mut programs: impl FnMut() -> (Program, Program, Program)) {
    const POINTS: usize = 96;
    let config = || Config { processors: 2, ..Config::default() };
    let mut kernel = Simulation::new(config(), Schedule::round_robin());
    for (first, second) in (0..POINTS).flat_map(|first| (0..POINTS).map(move |second| (first, second))) {
        kernel.reset(config(), switches(first, second));
        let (on_0, on_1, afterwards) = programs();
        let run = kernel
            .programs()
            .on(0, on_0)
            .on(1, on_1)
            .run()
            .and_then(|()| kernel.run_on(0, afterwards))
            .and_then(|()| kernel.unload());
        assert!(run.is_ok(), "after {first} and {second} points: {}", run.err().unwrap());
    }
    // The last switches came after the programs' ends, so no later switch is left untried.
    let steps = kernel.counters().steps;
    assert!(
        steps < 2 * POINTS as u64,
        "the run has {steps} points, but only {POINTS} on each processor were tried"
    );
}

/// A body that waits this many times, and the place where it leaves its waker.
fn waits(times: u32) -> (impl Future<Output = ()> + Send + 'static, Arc<Mutex<Option<Waker>>>) {
    let place = Arc::<Mutex<Option<Waker>>>::default();
    let (leaves, mut polls) = (Arc::clone(&place), 0);
    let body = poll_fn(move |context| {
        polls += 1;
        if polls > times {
            return Poll::Ready(());
        }
        *leaves.lock().unwrap() = Some(context.waker().clone());
        ntsim::preemption_point();
        Poll::Pending
    });
    (body, place)
}

fn take(place: &Mutex<Option<Waker>>) -> Option<Waker> {
    place.lock().unwrap().take()
}

fn wake(place: &Mutex<Option<Waker>>) {
    if let Some(waker) = take(place) {
        waker.wake();
    }
}

/// Apart from the queue, only the body's own waker has a reference then.
#[test]
fn a_wake_meets_the_end_of_a_poll_that_a_wake_began() {
    everywhere(|| {
        let (body, place) = waits(2);
        let (on_0, on_1, again) = (Arc::clone(&place), Arc::clone(&place), place);
        let spawn = move || {
            spawn_dpc_task(body).unwrap();
            wake(&on_0);
        };
        let afterwards = move || {
            wake(&again);
            wake(&again);
        };
        (Box::new(spawn), Box::new(move || wake(&on_1)), Box::new(afterwards))
    });
}

#[test]
fn a_wake_meets_the_end_of_a_poll() {
    everywhere(|| {
        let (body, place) = waits(1);
        let again = Arc::clone(&place);
        (
            Box::new(|| spawn_dpc_task(body).unwrap()),
            Box::new(move || wake(&place)),
            Box::new(move || wake(&again)),
        )
    });
}

#[test]
fn a_last_release_meets_the_end_of_a_poll() {
    everywhere(|| {
        let (body, place) = waits(1);
        let again = Arc::clone(&place);
        let forget = |place: Arc<Mutex<Option<Waker>>>| move || drop(take(&place));
        (Box::new(|| spawn_dpc_task(body).unwrap()), Box::new(forget(place)), Box::new(forget(again)))
    });
}

#[test]
fn a_cancel_and_a_release_meet_the_end_of_a_poll() {
    everywhere(|| {
        let (body, place) = waits(1);
        let handle = Arc::new(Mutex::new(None));
        let (spawned, cancels) = (Arc::clone(&handle), handle);
        let spawn = move || {
            let handle = spawn_dpc_task_cancellable(body).unwrap();
            // The clone is made without the lock, because another processor that wants the lock
            // would wait for ever.
            let clone = handle.clone();
            *spawned.lock().unwrap() = Some(clone);
            ntsim::preemption_point();
            drop(handle);
        };
        let cancel = move || {
            let handle = cancels.lock().unwrap().take();
            if let Some(handle) = handle {
                handle.cancel();
            }
        };
        let again = cancel.clone();
        (
            Box::new(spawn),
            Box::new(cancel),
            Box::new(move || {
                again();
                wake(&place);
            }),
        )
    });
}

/// A request that comes while the body checks for one is seen then, or in the poll that follows.
#[test]
fn a_cancel_meets_a_body_that_takes_requests() {
    everywhere(|| {
        let place = Arc::<Mutex<Option<Waker>>>::default();
        let leaves = Arc::clone(&place);
        let body = poll_fn(move |context| {
            if take_cancellation_request() {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            drop(leaves.lock().unwrap().replace(waker));
            Poll::Pending
        });
        let handle = Arc::new(Mutex::new(None));
        let (spawned, cancels) = (Arc::clone(&handle), Arc::clone(&handle));
        let spawn = move || {
            let handle = spawn_dpc_task_cancellable(body).unwrap();
            *spawned.lock().unwrap() = Some(handle);
            // The body checks for a request once more.
            wake(&place);
        };
        let cancel = |handle: Arc<Mutex<Option<CancelHandle>>>| {
            let handle = handle.lock().unwrap().take();
            if let Some(handle) = handle {
                handle.cancel();
            }
        };
        let afterwards = move || {
            // The other processor may have come before the handle was there.
            cancel(handle);
            assert_eq!(default_tracker(TaskTracker::unfinished), 0, "the request was lost");
        };
        (Box::new(spawn), Box::new(move || cancel(cancels)), Box::new(afterwards))
    });
}
