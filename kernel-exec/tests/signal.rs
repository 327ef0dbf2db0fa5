//! Tests of signals and one-shot channels on the simulated kernel. No set and no value is lost,
//! under any schedule.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    future::Future,
    task::{Context, Waker},
};
use std::{sync::Arc, task::Wake};

use common::{Thread, in_kernel, kernel};
use futures_util::future::{Either, select};
use ntcom_exec::{
    NTSTATUS, Signal, TaskTracker, default_tracker, oneshot, spawn_dpc_task, spawn_dpc_task_cancellable,
    yield_now,
};
use ntsim::sync::{AtomicBool, AtomicUsize, Ordering};

/// Runs a program on the first processor, with the threads that it starts, in this many schedules,
/// and unloads.
fn under_schedules(schedules: u64, processors: usize, run: impl Fn() + Clone + 'static) {
    for seed in 0..schedules {
        let mut kernel = kernel(processors, seed);
        let outcome = kernel.run_on(0, run.clone());
        outcome.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

fn drain() {
    assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
}

#[test]
fn a_set_before_the_wait_is_not_lost_and_ends_one_wait() {
    in_kernel(|| {
        let signal = Arc::new(Signal::new());
        signal.set();
        signal.set();
        let waits = Arc::clone(&signal);
        let handle = spawn_dpc_task_cancellable(async move {
            waits.wait().await;
            waits.wait().await;
        })
        .unwrap();
        assert_eq!(
            default_tracker(TaskTracker::unfinished),
            1,
            "two sets without a wait in between count as one"
        );
        signal.set();
        assert_eq!(default_tracker(TaskTracker::unfinished), 0);
        drop(handle);
    });
}

/// Two callbacks on other processors produce, and one task consumes. An addition before a set is
/// seen after it.
#[test]
fn a_set_on_another_processor_ends_a_wait() {
    under_schedules(300, 3, || {
        let shared = Arc::new((Signal::new(), AtomicUsize::new(0)));
        let seen = Arc::clone(&shared);
        spawn_dpc_task(async move {
            let mut left = 4;
            while left > 0 {
                seen.0.wait().await;
                left -= seen.1.swap(0, Ordering::Relaxed);
            }
        })
        .unwrap();
        let threads = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            Thread::spawn(move || {
                for _ in 0..2 {
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    shared.0.set();
                }
            })
        });
        drain();
        threads.into_iter().for_each(Thread::join);
    });
}

#[test]
fn a_dropped_wait_leaves_nothing_of_its_task_in_the_signal() {
    in_kernel(|| {
        let signal = Arc::new(Signal::new());
        let waits = Arc::clone(&signal);
        spawn_dpc_task(async move {
            let wait = core::pin::pin!(waits.wait());
            let other = core::pin::pin!(yield_now());
            assert!(matches!(select(wait, other).await, Either::Right(_)));
        })
        .unwrap();
        assert_eq!(ntsim::live_blocks(), 0, "the task's block is gone, though the signal lives");
        signal.set();
        assert!(signal.take());
    });
}

/// The wait is dropped during a set, and the signal is set afterwards.
#[test]
fn a_wait_that_is_dropped_while_it_is_set_loses_nothing() {
    under_schedules(300, 2, || {
        let shared = Arc::new((Signal::new(), AtomicBool::new(false)));
        let waits = Arc::clone(&shared);
        let body = async move {
            waits.0.wait().await;
            waits.1.store(true, Ordering::Relaxed);
        };
        let handle = spawn_dpc_task_cancellable(body).unwrap();
        let sets = Arc::clone(&shared);
        let setter = Thread::spawn(move || sets.0.set());
        handle.cancel();
        drain();
        setter.join();
        assert_ne!(
            shared.1.load(Ordering::Relaxed),
            shared.0.take(),
            "either the wait took the signal, or it is still set"
        );
    });
}

#[test]
fn of_two_that_wait_the_one_polled_last_has_the_place() {
    under_schedules(100, 2, || {
        let signal = Arc::new(Signal::new());
        let tasks = [(); 2].map(|()| {
            let ended = Arc::new(AtomicBool::new(false));
            let (waits, ends) = (Arc::clone(&signal), Arc::clone(&ended));
            let body = async move {
                waits.wait().await;
                ends.store(true, Ordering::Relaxed);
            };
            (spawn_dpc_task_cancellable(body).unwrap(), ended)
        });
        signal.set();
        assert_eq!(tasks.each_ref().map(|(_, ended)| ended.load(Ordering::Relaxed)), [false, true]);
        tasks[0].0.cancel();
        drain();
    });
}

/// A waker that counts its wakes.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_wait_that_has_lost_its_place_does_not_take_the_others_with_it() {
    in_kernel(|| {
        let signal = Signal::new();
        let woken = [(); 2].map(|()| Arc::new(Woken::default()));
        let wakers = woken.clone().map(Waker::from);
        let (mut first, mut second) = (Box::pin(signal.wait()), Box::pin(signal.wait()));
        assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
        drop(first);
        signal.set();
        assert_eq!(woken.map(|woken| woken.0.load(Ordering::Relaxed)), [0, 1]);
        assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_ready());
    });
}

#[test]
fn a_value_is_received_whenever_it_is_sent() {
    under_schedules(300, 2, || {
        let (sender, receiver) = oneshot::<Arc<u32>>().unwrap();
        let value = Arc::new(7);
        let sends = Arc::clone(&value);
        let thread = Thread::spawn(move || sender.send(sends).unwrap());
        spawn_dpc_task(async move { assert_eq!(receiver.await.as_deref(), Ok(&7)) }).unwrap();
        drain();
        thread.join();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// The receiver's task is cancelled while the value is sent. The value comes back, or is dropped
/// with the receiver.
#[test]
fn a_value_that_is_not_received_is_dropped_once() {
    under_schedules(300, 2, || {
        let (sender, receiver) = oneshot::<Arc<u32>>().unwrap();
        let value = Arc::new(7);
        let sends = Arc::clone(&value);
        let handle = spawn_dpc_task_cancellable(async move { drop(receiver.await) }).unwrap();
        let thread = Thread::spawn(move || drop(sender.send(sends)));
        handle.cancel();
        drain();
        thread.join();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn a_sender_that_goes_closes_the_channel() {
    under_schedules(100, 2, || {
        let (sender, receiver) = oneshot::<u32>().unwrap();
        let thread = Thread::spawn(move || drop(sender));
        spawn_dpc_task(async move { assert_eq!(receiver.await, Err(NTSTATUS::PIPE_BROKEN)) }).unwrap();
        drain();
        thread.join();
    });
}

#[test]
fn without_memory_there_is_no_channel() {
    in_kernel(|| {
        ntsim::fail_allocation(0);
        assert_eq!(oneshot::<u32>().err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
    });
}
