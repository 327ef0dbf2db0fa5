//! Tests of the corners of cancellation `[C9]`, `[C10]`, `[C20]`. They have cleanups that are
//! dropped, abandoned or nested, and requests that come in the middle of a poll.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    future::{Future, pending, poll_fn},
    task::{Poll, Waker},
};
use std::sync::{Arc, Mutex};

use common::{Log, OnDrop, in_kernel};
use futures_util::future::{Either, select};
use ntcom_exec::{
    CancelHandle, DpcPort, Fallible, GlobalAllocator, NTSTATUS, Status, Task, TaskTracker, default_tracker,
    is_cancellation_requested, spawn_dpc_task, spawn_dpc_task_cancellable, take_cancellation_request,
    try_finally, yield_now,
};

/// The place where a body leaves its waker. The test wakes or drops it from outside.
#[derive(Clone, Default)]
struct Parking(Arc<Mutex<Option<Waker>>>);

impl Parking {
    /// Pending once, and leaves the waker here.
    fn park(&self) -> impl Future<Output = ()> + Send + use<> {
        let parking = self.clone();
        let mut parked = false;
        poll_fn(move |context| {
            if core::mem::replace(&mut parked, true) {
                return Poll::Ready(());
            }
            let old = parking.0.lock().unwrap().replace(context.waker().clone());
            drop(old);
            Poll::Pending
        })
    }
    /// Always pending, and leaves the waker here.
    fn stay(&self) -> impl Future<Output = ()> + Send + use<> {
        let parking = self.clone();
        poll_fn(move |context| {
            let old = parking.0.lock().unwrap().replace(context.waker().clone());
            drop(old);
            Poll::Pending
        })
    }
    fn wake(&self) {
        let waker = self.0.lock().unwrap().take();
        waker.unwrap().wake();
    }
    fn forget(&self) {
        let waker = self.0.lock().unwrap().take();
        drop(waker.unwrap());
    }
}

/// A body's own handle, which is set once the spawn has returned.
#[derive(Clone, Default)]
struct Own(Arc<Mutex<Option<CancelHandle>>>);

impl Own {
    fn set(&self, handle: CancelHandle) {
        *self.0.lock().unwrap() = Some(handle);
    }
    fn cancel(&self) {
        let handle = self.0.lock().unwrap().take().unwrap();
        handle.cancel();
    }
}

/// A cleanup that is dropped is over, so it does not keep its body from being cancelled.
#[test]
fn a_cleanup_that_loses_a_select_no_longer_keeps_the_body() {
    in_kernel(|| {
        let log = Log::default();
        let whole = log.on_drop("body dropped");
        let body = async move {
            let _whole = whole;
            let cleaning = Box::pin(try_finally(async {}, pending()));
            assert!(matches!(select(cleaning, Box::pin(yield_now())).await, Either::Right(_)));
            pending::<()>().await;
        };
        let handle = spawn_dpc_task_cancellable(body).unwrap();
        handle.cancel();
        assert_eq!(log.take(), ["body dropped"]);
    });
}

#[test]
fn a_body_that_is_abandoned_twice_in_its_cleanup_is_dropped_there() {
    in_kernel(|| {
        let (log, parking) = (Log::default(), Parking::default());
        let (whole, stays) = (log.on_drop("body dropped"), parking.stay());
        spawn_dpc_task(async move {
            let _whole = whole;
            try_finally(async {}, stays).await;
        })
        .unwrap();
        parking.forget();
        assert_eq!(log.take(), [""; 0], "polled with a request, which a cleanup does not see");
        parking.forget();
        assert_eq!(log.take(), ["body dropped"]);
    });
}

/// The task is abandoned in a cleanup that unwinding has begun, and in one that has kept no waker
/// at all.
#[test]
fn an_unwinding_body_that_is_abandoned_in_its_cleanup_is_dropped_there() {
    in_kernel(|| {
        let (log, parking) = (Log::default(), Parking::default());
        let (whole, stays) = (log.on_drop("body dropped"), parking.stay());
        let handle = spawn_dpc_task_cancellable(async move {
            let _whole = whole;
            try_finally(pending::<()>(), stays).await;
        })
        .unwrap();
        handle.cancel();
        drop(handle);
        parking.forget();
        assert_eq!(log.take(), [""; 0]);
        parking.forget();
        assert_eq!(log.take(), ["body dropped"]);

        let whole = log.on_drop("body dropped");
        spawn_dpc_task(async move {
            let _whole = whole;
            try_finally(pending::<()>(), pending()).await;
        })
        .unwrap();
        assert_eq!(log.take(), ["body dropped"], "no reference can wake the main or the cleanup");
    });
}

/// A body that was abandoned once gets no further poll the next time, whatever it has done in
/// between.
#[test]
fn a_body_that_went_on_after_it_was_abandoned_is_dropped_the_next_time() {
    in_kernel(|| {
        let (log, parking) = (Log::default(), Parking::default());
        let (whole, polled, stays) = (log.on_drop("dropped"), log.clone(), parking.clone());
        let mut stays = Box::pin(stays.stay());
        spawn_dpc_task(poll_fn(move |context| {
            let _whole = &whole;
            polled.add(if take_cancellation_request() { "takes it" } else { "polled" });
            stays.as_mut().poll(context)
        }))
        .unwrap();
        parking.forget();
        assert_eq!(log.take(), ["polled", "takes it"]);
        parking.wake();
        assert_eq!(log.take(), ["polled"]);
        parking.forget();
        assert_eq!(log.take(), ["dropped"]);
    });
}

#[test]
fn main_is_gone_before_its_cleanup_begins_when_it_ends_by_itself() {
    in_kernel(|| {
        let log = Log::default();
        let (guard, cleanup) = (log.on_drop("main dropped"), log.clone());
        // The main is not an `async` block, which would drop its captures when it ends.
        let main = poll_fn(move |_| {
            let _held = &guard;
            Poll::Ready(())
        });
        spawn_dpc_task(async move {
            try_finally(main, async move { cleanup.add("cleanup") }).await;
        })
        .unwrap();
        assert_eq!(log.take(), ["main dropped", "cleanup"]);
    });
}

#[test]
fn a_cleanup_sees_no_cancellation_after_a_cleanup_inside_of_it_either() {
    in_kernel(|| {
        let (log, parking) = (Log::default(), Parking::default());
        let (inside, parks) = (log.clone(), parking.park());
        let cleanup = async move {
            parks.await;
            assert_eq!(
                try_finally(yield_now(), async {}).await,
                Some(()),
                "no unwinding begins inside a cleanup"
            );
            let seen = is_cancellation_requested() || take_cancellation_request();
            inside.add(if seen { "seen" } else { "not seen" });
        };
        let handle = spawn_dpc_task_cancellable(async move {
            assert_eq!(try_finally(async { 1 }, cleanup).await, Some(1));
        })
        .unwrap();
        handle.cancel();
        parking.wake();
        assert_eq!(log.take(), ["not seen"]);
    });
}

/// A request comes in the middle of a poll. The poll need not act on it, but sees it.
#[test]
fn a_request_is_there_as_soon_as_it_has_been_made() {
    in_kernel(|| {
        let (log, parking, own) = (Log::default(), Parking::default(), Own::default());
        let (seen, parks, asks) = (log.clone(), parking.park(), own.clone());
        let handle = spawn_dpc_task_cancellable(async move {
            parks.await;
            assert!(!is_cancellation_requested());
            asks.cancel();
            assert!(is_cancellation_requested());
            assert!(take_cancellation_request() && !is_cancellation_requested());
            seen.add("seen");
        })
        .unwrap();
        own.set(handle);
        parking.wake();
        assert_eq!(log.take(), ["seen"]);
    });
}

/// Each request gets a poll that begins with it. That holds also for one that comes in the middle
/// of the poll after the last one was taken.
#[test]
fn a_request_in_the_poll_after_one_was_taken_gets_a_poll_of_its_own() {
    in_kernel(|| {
        let (log, parking, own) = (Log::default(), Parking::default(), Own::default());
        let (seen, asks, stays) = (log.clone(), own.clone(), parking.clone());
        let (mut polls, mut stays) = (0, Box::pin(stays.stay()));
        let body = poll_fn(move |context| {
            polls += 1;
            match polls {
                2 => {
                    assert!(take_cancellation_request());
                    context.waker().wake_by_ref();
                }
                3 => asks.cancel(),
                4 => {
                    seen.add(if is_cancellation_requested() { "seen" } else { "not seen" });
                    return Poll::Ready(());
                }
                _ => {}
            }
            stays.as_mut().poll(context)
        });
        let handle = spawn_dpc_task_cancellable(body).unwrap();
        own.set(handle.clone());
        handle.cancel();
        assert_eq!(log.take(), ["seen"]);
        parking.forget();
    });
}

/// Returns the status of a body that fails with `STATUS_CANCELLED` `[C20]`. It fails in the poll
/// that has called `after`, or in the next one.
fn fails_with_cancelled(after: impl FnOnce() + Send + 'static, at_once: bool, own: &Own) -> Status {
    fn task<F>(body: F) -> (ntcom_exec::TaskPtr, CancelHandle)
    where
        F: Future<Output = Result<(), NTSTATUS>> + Send + 'static,
    {
        type Of<F> = Task<(), Fallible<F>, GlobalAllocator, DpcPort>;
        let init = |place: *mut Fallible<F>| {
            // SAFETY: `place` is the place for the body, which is transparent over the future.
            unsafe { place.cast::<F>().write(body) };
            Ok(())
        };
        // SAFETY: `init` writes the body.
        let spawned = unsafe { Of::<F>::spawn((), GlobalAllocator, 2, init) }.unwrap();
        // SAFETY: the two references that were asked for keep the block.
        let task = unsafe { Of::<F>::task(spawned.block) };
        // SAFETY: the second reference becomes the handle's.
        (task, unsafe { CancelHandle::from_reference(task) })
    }
    let parking = Parking::default();
    let parks = (parking.park(), parking.park());
    let (task, handle) = task(async move {
        parks.0.await;
        after();
        if !at_once {
            parks.1.await;
        }
        Err(NTSTATUS::CANCELLED)
    });
    own.set(handle.clone());
    drop(handle);
    parking.wake();
    if !at_once {
        parking.wake();
    }
    // SAFETY: the first reference keeps the block.
    let status = unsafe { task.status() };
    own.0.lock().unwrap().take();
    // SAFETY: this gives up the first reference, which is not used afterwards.
    unsafe { task.release() };
    status
}

#[test]
fn a_body_that_fails_with_cancelled_is_canceled_if_it_has_ever_seen_a_request() {
    in_kernel(|| {
        let own = Own::default();
        let asks = own.clone();
        let takes_its_own = move || {
            asks.cancel();
            assert!(take_cancellation_request());
        };
        assert_eq!(fails_with_cancelled(takes_its_own, false, &own), Status::Canceled);
        let asks = own.clone();
        assert_eq!(
            fails_with_cancelled(move || asks.cancel(), true, &own),
            Status::Canceled,
            "a request is pending"
        );
        let looks = || assert!(!take_cancellation_request() && !is_cancellation_requested());
        assert_eq!(fails_with_cancelled(looks, false, &own), Status::Error, "no cancel was requested");
    });
}

/// The prefix of a block is dropped with the block.
#[test]
fn the_prefix_of_a_block_is_dropped_when_it_is_freed() {
    in_kernel(|| {
        type Prefixed =
            Task<OnDrop, ntcom_exec::Infallible<core::future::Ready<u8>>, GlobalAllocator, DpcPort>;
        let log = Log::default();
        let init = |place: *mut ntcom_exec::Infallible<core::future::Ready<u8>>| {
            // SAFETY: `place` is the place for the body, which is transparent over the future.
            unsafe { place.cast::<core::future::Ready<u8>>().write(core::future::ready(1)) };
            Ok(())
        };
        // SAFETY: `init` writes the body.
        let spawned = unsafe { Prefixed::spawn(log.on_drop("prefix"), GlobalAllocator, 1, init) }.unwrap();
        assert_eq!(log.take(), [""; 0]);
        // SAFETY: the one reference keeps the block.
        let task = unsafe { Prefixed::task(spawned.block) };
        // SAFETY: the one reference keeps the block, and the task has ended.
        assert_eq!(unsafe { task.stored_status() }, NTSTATUS::SUCCESS);
        // SAFETY: this gives up the one reference, which is not used afterwards.
        unsafe { task.release() };
        assert_eq!(log.take(), ["prefix"]);
        assert_eq!(default_tracker(TaskTracker::unfinished), 0);
    });
}
