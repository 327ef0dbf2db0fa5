//! Tests of handles that receive a task's value, on the simulated kernel.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::future::{Future, pending};
use std::sync::Arc;

use common::{Event, Log, Thread, in_kernel};
use ntcom_exec::{
    JoinHandle, NTSTATUS, TaskBuilder, TaskTracker, default_tracker, spawn_dpc_task,
    spawn_dpc_task_cancellable, take_cancellation_request, try_finally, yield_now,
};
use ntsim::{Config, Limits, hunt};
use parking_lot::Mutex;

fn drain() {
    assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
}

fn join<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    TaskBuilder::new().spawn_join(future).unwrap()
}

/// The result of a handle, which must be there.
fn result<T: Send + 'static>(handle: JoinHandle<T>) -> Result<T, NTSTATUS> {
    let slot = Arc::new(Mutex::new(None));
    let place = Arc::clone(&slot);
    spawn_dpc_task(async move {
        let result = handle.await;
        *place.lock() = Some(result);
    })
    .unwrap();
    let result = slot.lock().take();
    result.unwrap()
}

#[test]
fn a_value_is_received_before_and_after_the_end() {
    in_kernel(|| {
        assert_eq!(result(join(async { String::from("there") })), Ok(String::from("there")));
        let event = Event::default();
        let waits = event.wait();
        let handle = join(async move {
            waits.await;
            String::from("later")
        });
        assert!(!handle.is_finished());
        let slot = Arc::new(Mutex::new(None));
        let place = Arc::clone(&slot);
        spawn_dpc_task(async move {
            let result = handle.await;
            *place.lock() = Some(result);
        })
        .unwrap();
        event.set();
        assert_eq!(slot.lock().take(), Some(Ok(String::from("later"))));
        assert_eq!(ntsim::live_blocks(), 0);
    });
}

/// The value, the word and the signal are in the task's block.
#[test]
fn a_joined_task_is_one_allocation_and_its_end_none() {
    in_kernel(|| {
        let plain = ntsim::counters().allocations;
        drop(spawn_dpc_task_cancellable(pending()).unwrap());
        let joined = ntsim::counters().allocations;
        let handle = join(async {
            yield_now().await;
            [7_u64; 4]
        });
        let ended = ntsim::counters().allocations;
        assert_eq!((joined - plain, ended - joined), (1, 1));
        assert!(handle.is_finished());
        drop(handle);
        assert_eq!(ntsim::counters().allocations, ended);
        assert_eq!(ntsim::live_blocks(), 0);
    });
}

#[test]
fn a_refused_task_drops_its_body_and_gives_no_handle() {
    in_kernel(|| {
        let log = Log::default();
        let whole = log.on_drop("dropped");
        ntsim::fail_allocation(0);
        let refused = TaskBuilder::new().spawn_join(async move { drop(whole) }).err();
        assert_eq!(refused, Some(NTSTATUS::INSUFFICIENT_RESOURCES));
        default_tracker(TaskTracker::close);
        let whole = log.on_drop("refused");
        let refused = TaskBuilder::new().spawn_join(async move { drop(whole) }).err();
        assert_eq!(refused, Some(NTSTATUS::DELETE_PENDING));
        assert_eq!(log.take(), ["dropped", "refused"]);
        assert_eq!(ntsim::live_blocks(), 0);
    });
}

/// Z272. The body is aborted on another processor. Its await ends after the drop of the whole body.
#[test]
fn an_await_ends_when_the_body_is_gone() {
    hunt(Config { processors: 2, ..Config::default() })
        .seeds(200)
        .explore(Limits { preemptions: Some(1), runs: 500, ..Limits::default() })
        .run(|kernel| {
            kernel.run_on(0, || {
                let body = Arc::new(());
                let held = Arc::clone(&body);
                let handle = join(async move {
                    let _held = held;
                    pending::<()>().await;
                });
                let ended = Arc::new(Mutex::new(false));
                let (ends, left) = (Arc::clone(&ended), Arc::clone(&body));
                let aborts = handle.cancel_handle();
                spawn_dpc_task(async move {
                    assert_eq!(handle.await, Err(NTSTATUS::CANCELLED));
                    assert_eq!(Arc::strong_count(&left), 2, "the body is gone");
                    *ends.lock() = true;
                })
                .unwrap();
                let other = Thread::spawn(move || aborts.cancel());
                drain();
                other.join();
                assert!(*ended.lock());
            })?;
            kernel.unload()
        });
}

#[test]
fn an_aborted_body_cleans_up_before_the_await_ends() {
    in_kernel(|| {
        let log = Log::default();
        let (whole, cleanup) = (log.on_drop("body dropped"), log.clone());
        let handle = join(async move {
            let _whole = whole;
            let cleans = async move {
                yield_now().await;
                cleanup.add("cleaned up");
            };
            try_finally(pending::<()>(), cleans).await;
            7
        });
        handle.abort();
        let seen = log.clone();
        spawn_dpc_task(async move {
            assert_eq!(handle.await, Err(NTSTATUS::CANCELLED), "the value of an unwinding body");
            seen.add("joined");
        })
        .unwrap();
        assert_eq!(log.take(), ["cleaned up", "body dropped", "joined"]);
    });
}

#[test]
fn a_body_that_takes_the_request_still_yields_its_value() {
    in_kernel(|| {
        let event = Event::default();
        let waits = event.wait();
        let handle = join(async move {
            let mut waits = core::pin::pin!(waits);
            core::future::poll_fn(|context| {
                if take_cancellation_request() {
                    core::task::Poll::Ready(())
                } else {
                    waits.as_mut().poll(context)
                }
            })
            .await;
            7
        });
        handle.abort();
        assert_eq!(result(handle), Ok(7));
    });
}

/// Z273. The handle is dropped while the body ends. One of the two drops the value.
#[test]
fn a_value_of_a_detached_task_is_dropped_once() {
    hunt(Config { processors: 2, ..Config::default() })
        .seeds(200)
        .explore(Limits { preemptions: Some(1), runs: 500, ..Limits::default() })
        .run(|kernel| {
            kernel.run_on(0, || {
                let value = Arc::new(());
                let yields = Arc::clone(&value);
                let event = Event::default();
                let waits = event.wait();
                let handle = join(async move {
                    waits.await;
                    yields
                });
                let other = Thread::spawn(move || event.set());
                drop(handle);
                drain();
                other.join();
                assert_eq!(Arc::strong_count(&value), 1);
            })?;
            kernel.unload()
        });
}

/// A body that no waker can reach waits for the abort, because the handle holds a reference.
#[test]
fn a_detached_body_that_nothing_can_wake_is_cancelled() {
    in_kernel(|| {
        let log = Log::default();
        let whole = log.on_drop("body dropped");
        let handle = join(async move {
            let _whole = whole;
            pending::<()>().await;
        });
        assert_eq!(log.take(), [""; 0]);
        drop(handle);
        assert_eq!(log.take(), ["body dropped"]);
    });
}

/// Z272. The handle's waker is called after the drop of the body.
#[test]
fn a_handle_is_woken_after_the_drop_of_the_body() {
    in_kernel(|| {
        let log = Log::default();
        let whole = log.on_drop("body dropped");
        let mut handle = join(async move {
            let _whole = whole;
            pending::<()>().await;
        });
        let waker = common::logging_waker(&log, "woken");
        let mut context = core::task::Context::from_waker(&waker);
        assert!(core::pin::Pin::new(&mut handle).poll(&mut context).is_pending());
        handle.abort();
        assert_eq!(log.take(), ["body dropped", "woken"]);
    });
}
