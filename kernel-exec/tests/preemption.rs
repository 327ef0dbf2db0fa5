//! Two processors, and every way to switch between them twice: whoever has given up a reference touches nothing of the block, `[T5]` of the
//! task protocol, or the simulated kernel sees an access to freed memory.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Poll, Waker},
};
use std::sync::{Arc, Mutex};

use ntcom_exec::{CancelHandle, spawn_dpc_task, spawn_dpc_task_cancellable, take_cancellation_request};
use ntsim::{Config, Program, Schedule, Simulation};

const POINTS: usize = 64;

/// Processor 0 runs for so many preemption points, processor 1 for so many, and then each to its end.
fn switches(first: usize, second: usize) -> Schedule {
    const LONGEST: usize = 31;
    let run = |processor: u8, points: usize| {
        let whole = vec![processor << 5 | LONGEST as u8; points / LONGEST];
        [whole, vec![processor << 5 | (points % LONGEST) as u8]].concat()
    };
    Schedule::bytes([run(0, first), run(1, second), run(0, 20 * LONGEST), run(1, 20 * LONGEST)].concat())
}

/// A kernel of two processors, used again for each schedule.
fn everywhere(mut programs: impl FnMut() -> (Program, Program, Program)) {
    let config = || Config { processors: 2, ..Config::default() };
    let mut kernel = Simulation::new(config(), Schedule::round_robin());
    for (first, second) in (0..POINTS).flat_map(|first| (0..POINTS).map(move |second| (first, second))) {
        kernel.reset(config(), switches(first, second));
        let (on_0, on_1, afterwards) = programs();
        let run = kernel
            .run(vec![(0, on_0), (1, on_1)])
            .and_then(|()| kernel.run(vec![(0, afterwards)]))
            .and_then(|()| kernel.unload());
        assert!(run.is_ok(), "after {first} and {second} points: {}", run.err().unwrap());
    }
}

/// A body that waits once, and where it leaves its waker.
fn waits() -> (impl Future<Output = ()> + Send + 'static, Arc<Mutex<Option<Waker>>>) {
    let place = Arc::<Mutex<Option<Waker>>>::default();
    let (leaves, mut polled) = (Arc::clone(&place), false);
    let body = poll_fn(move |context| {
        if core::mem::replace(&mut polled, true) {
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

#[test]
fn a_wake_meets_the_end_of_a_poll() {
    everywhere(|| {
        let (body, place) = waits();
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
        let (body, place) = waits();
        let again = Arc::clone(&place);
        let forget = |place: Arc<Mutex<Option<Waker>>>| move || drop(take(&place));
        (Box::new(|| spawn_dpc_task(body).unwrap()), Box::new(forget(place)), Box::new(forget(again)))
    });
}

#[test]
fn a_cancel_and_a_release_meet_the_end_of_a_poll() {
    everywhere(|| {
        let (body, place) = waits();
        let handle = Arc::new(Mutex::new(None));
        let (spawned, cancels) = (Arc::clone(&handle), handle);
        let spawn = move || {
            let handle = spawn_dpc_task_cancellable(body).unwrap();
            // The count is a preemption point: not with the lock held.
            let other = handle.clone();
            *spawned.lock().unwrap() = Some(other);
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

/// A body that looks for a request sees it, whenever it comes `[C9]`.
#[test]
fn a_request_meets_the_look_for_one() {
    let sightings = Arc::new(AtomicUsize::new(0));
    everywhere(|| {
        let (handle, place) = (Arc::default(), Arc::<Mutex<Option<Waker>>>::default());
        let (leaves, last, sees, seen) =
            (Arc::clone(&place), Arc::clone(&place), Arc::clone(&sightings), Arc::clone(&sightings));
        let body = poll_fn(move |context| {
            if take_cancellation_request() {
                sees.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            *leaves.lock().unwrap() = Some(waker);
            Poll::Pending
        });
        let before = sightings.load(Ordering::Relaxed);
        let (spawned, cancels) = (Arc::<Mutex<Option<CancelHandle>>>::clone(&handle), handle);
        let cancel = move || {
            let handle = cancels.lock().unwrap().take();
            if let Some(handle) = handle {
                handle.cancel();
            }
        };
        let otherwise = cancel.clone();
        let spawn = move || {
            let handle = spawn_dpc_task_cancellable(body).unwrap();
            *spawned.lock().unwrap() = Some(handle);
            // Polls that look, beside the request.
            wake(&place);
            wake(&place);
        };
        let end = move || {
            otherwise();
            drop(take(&last));
            assert_eq!(seen.load(Ordering::Relaxed), before + 1, "the body has seen the request");
        };
        (Box::new(spawn), Box::new(cancel), Box::new(end))
    });
}
