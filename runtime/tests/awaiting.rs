//! Tests of `AsyncOperation`, with operations of our own and foreign ones, as values and as futures
//! `[C14]`, `[C17]`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;
mod foreign;

use core::{
    future::{IntoFuture as _, pending},
    pin::{Pin, pin},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{sync::Arc, task::Wake};

use common::in_kernel;
use foreign::Foreign;
use ntcom::{
    AsyncOperation, AsyncStatus, NTSTATUS, OperationFuture, RawAsyncStatus, spawn_async_operation,
    spawn_async_operation_error,
};
use ntcom_exec::{DrainError, Signal, TaskTracker, default_tracker, sleep};
use ntsim::{Config, Exploration, Limits, Schedule, Simulation, explore};

const BROKEN: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;

/// A waker that counts its wakes.
#[derive(Default)]
struct Counting(AtomicU32);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn counting() -> (Arc<Counting>, Waker) {
    let counting = Arc::new(Counting::default());
    (Arc::clone(&counting), Waker::from(counting))
}

fn poll(future: Pin<&mut OperationFuture<u32>>, waker: &Waker) -> Poll<Result<u32, NTSTATUS>> {
    use core::future::Future as _;
    future.poll(&mut Context::from_waker(waker))
}

#[test]
fn an_operation_of_our_own_is_awaited() {
    in_kernel(|| {
        for value in [Ok(7), Err(NTSTATUS::INVALID_PARAMETER)] {
            let inner = match value {
                Ok(value) => spawn_async_operation(async move {
                    sleep(Duration::from_millis(20)).await.unwrap();
                    value
                }),
                Err(status) => spawn_async_operation_error(status),
            };
            let heard = Arc::new(std::sync::Mutex::new(None));
            let told = Arc::clone(&heard);
            let outer = spawn_async_operation(async move {
                *told.lock().unwrap() = Some(inner.await);
            });
            outer.control().unwrap().wait(None).unwrap();
            assert_eq!(*heard.lock().unwrap(), Some(value));
        }
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn awaiting_allocates_nothing_where_there_is_a_handler() {
    in_kernel(|| {
        let foreign = Foreign::new();
        let mut future = pin!(foreign.client().into_future());
        let before = ntsim::counters().allocations;
        assert!(poll(future.as_mut(), Waker::noop()).is_pending());
        foreign.completes(7);
        foreign.calls_back();
        assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(7)));
        assert_eq!(ntsim::counters().allocations, before);
    });
}

#[test]
fn the_waker_of_the_last_poll_is_woken_once_and_none_is_kept() {
    in_kernel(|| {
        let foreign = Foreign::new();
        let mut future = Box::pin(foreign.client().into_future());
        let (first, waker) = counting();
        assert!(poll(future.as_mut(), &waker).is_pending());
        assert!(poll(future.as_mut(), &waker).is_pending(), "the same again");
        let (last, other) = counting();
        assert!(poll(future.as_mut(), &other).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&first), 1, "the first one has been let go");
        foreign.completes(7);
        foreign.calls_back();
        assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 1));
        drop(other);
        assert_eq!(Arc::strong_count(&last), 1, "woken, and let go");
        assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(7)));
        drop(future);
        assert_eq!(foreign.references.get(), 0);
    });
}

#[test]
fn a_future_that_is_dropped_lets_its_waker_go_and_hears_nothing_more() {
    in_kernel(|| {
        // There are several futures, dropped in another order than they were made, so that a future
        // leaves its list at each position.
        let all: Vec<_> = (0..300).map(|_| Foreign::new()).collect();
        let (woken, waker) = counting();
        let mut futures: Vec<_> =
            all.iter().map(|foreign| Box::pin(foreign.client().into_future())).collect();
        for future in &mut futures {
            assert!(poll(future.as_mut(), &waker).is_pending());
        }
        drop(waker);
        let kept = futures.split_off(150);
        for (index, future) in futures.into_iter().enumerate().collect::<Vec<_>>().into_iter().rev() {
            drop(future);
            all[index].completes(1);
            all[index].calls_back();
        }
        assert_eq!((woken.0.load(SeqCst), Arc::strong_count(&woken)), (0, 151));
        for foreign in &all[150..] {
            foreign.completes(2);
            foreign.calls_back();
        }
        assert_eq!((woken.0.load(SeqCst), Arc::strong_count(&woken)), (150, 1));
        for mut future in kept {
            assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(2)));
        }
        assert!(all.iter().all(|foreign| foreign.references.get() == 0 && foreign.cancels.get() == 0));
    });
}

#[test]
fn a_handler_that_is_called_too_often_too_late_or_after_a_refusal_does_nothing() {
    in_kernel(|| {
        let foreign = Foreign::new();
        let mut future = Box::pin(foreign.client().into_future());
        assert!(poll(future.as_mut(), Waker::noop()).is_pending());
        foreign.completes(7);
        foreign.calls_back();
        foreign.calls_back();
        assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(7)));
        foreign.calls_back();
        drop(future);
        foreign.calls_back();
        // These contexts were never given to a handler.
        let (handler, _) = foreign.handler.get().unwrap();
        for context in [0, 1, usize::MAX, from_addr(foreign)] {
            // SAFETY: the future promises that its handler may be called with any context.
            unsafe { handler(core::ptr::without_provenance_mut(context), RawAsyncStatus(99)) };
        }
        let refusing = Foreign::new();
        refusing.accepts.set(NTSTATUS::INVALID_DEVICE_STATE);
        let (woken, waker) = counting();
        let mut future = Box::pin(refusing.client().into_future());
        assert!(poll(future.as_mut(), &waker).is_pending());
        refusing.calls_back();
        assert!(poll(future.as_mut(), &waker).is_pending(), "a call that was not to come says nothing");
        drop(future);
        refusing.calls_back();
        assert_eq!(woken.0.load(SeqCst), 0);
    });
}

fn from_addr(foreign: &Foreign) -> usize {
    core::ptr::from_ref(foreign).addr()
}

#[test]
fn an_operation_that_says_that_it_has_ended_and_has_not_is_broken() {
    in_kernel(|| {
        let foreign = Foreign::new();
        let mut future = pin!(foreign.client().into_future());
        assert!(poll(future.as_mut(), Waker::noop()).is_pending());
        foreign.calls_back();
        assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Err(BROKEN)));
        for (status, result, expected) in [
            (1, NTSTATUS::PENDING, BROKEN),
            (1, NTSTATUS::TIMEOUT, BROKEN),
            (2, NTSTATUS::SUCCESS, BROKEN),
            (3, NTSTATUS::PENDING, BROKEN),
            (4, NTSTATUS::SUCCESS, BROKEN),
            (-1, NTSTATUS::SUCCESS, BROKEN),
            (2, NTSTATUS::CANCELLED, NTSTATUS::CANCELLED),
            (3, NTSTATUS::INVALID_PARAMETER, NTSTATUS::INVALID_PARAMETER),
        ] {
            let foreign = Foreign::new();
            foreign.status.set(RawAsyncStatus(status));
            foreign.result.set((result, 9));
            let mut future = pin!(foreign.client().into_future());
            assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Err(expected)), "{status} {result}");
        }
    });
}

/// `[C17]`: `get_result` judges the slot's answer alone, and `result` compares it with the status.
#[test]
fn get_result_believes_no_other_success_code() {
    in_kernel(|| {
        for (status, answer, alone, compared) in [
            (1, NTSTATUS::SUCCESS, Ok(9), Ok(9)),
            (2, NTSTATUS::SUCCESS, Ok(9), Err(BROKEN)),
            (0, NTSTATUS::PENDING, Err(NTSTATUS::PENDING), Err(NTSTATUS::PENDING)),
            (3, NTSTATUS::PENDING, Err(NTSTATUS::PENDING), Err(BROKEN)),
            (1, NTSTATUS::TIMEOUT, Err(BROKEN), Err(BROKEN)),
            (2, NTSTATUS::CANCELLED, Err(NTSTATUS::CANCELLED), Err(NTSTATUS::CANCELLED)),
        ] {
            let foreign = Foreign::new();
            foreign.status.set(RawAsyncStatus(status));
            foreign.result.set((answer, 9));
            let client = foreign.client();
            assert_eq!((client.get_result(), client.result()), (alone, compared), "{status} {answer}");
        }
    });
}

/// Integers that are not a status break the contract, in each way that the client asks `[C17]`.
#[test]
fn an_unknown_status_from_get_status_breaks_the_contract() {
    in_kernel(|| {
        for status in [-1, 4, i32::MIN] {
            let foreign = Foreign::new();
            foreign.result.set((NTSTATUS::SUCCESS, 9));
            foreign.error.set(NTSTATUS::INVALID_PARAMETER);
            foreign.wait.set(NTSTATUS::SUCCESS);
            foreign.status.set(RawAsyncStatus(status));
            let client = foreign.client();
            assert_eq!(client.status(), Err(BROKEN), "{status}");
            assert_eq!(client.get_status(), Err(BROKEN), "{status}");
            assert_eq!(client.result(), Err(BROKEN), "{status}");
            assert_eq!(client.error(), Err(BROKEN), "{status}");
            assert_eq!(client.wait(None), Err(BROKEN), "{status}");
            let mut future = pin!(client.into_future());
            assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Err(BROKEN)), "{status}");
        }
    });
}

/// The operation says how it ended. The integer that its provider passes to the handler does not
/// count.
#[test]
fn an_unknown_status_passed_to_the_handler_does_not_count() {
    in_kernel(|| {
        for status in [-1, 4, i32::MIN] {
            let foreign = Foreign::new();
            let mut future = pin!(foreign.client().into_future());
            let (woken, waker) = counting();
            assert!(poll(future.as_mut(), &waker).is_pending());
            foreign.completes(7);
            let (handler, context) = foreign.handler.get().unwrap();
            // SAFETY: the future's handler accepts any status.
            unsafe { handler(context, RawAsyncStatus(status)) };
            assert_eq!(woken.0.load(SeqCst), 1, "{status}");
            assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(7)), "{status}");
        }
    });
}

#[test]
fn a_control_that_breaks_the_contract_is_an_error_and_one_that_is_not_there_is_none() {
    in_kernel(|| {
        for (answer, is_polled) in [
            (NTSTATUS::NOINTERFACE, true),
            (ntcom::com::E_NOINTERFACE, true),
            (NTSTATUS::INVALID_PARAMETER, true),
            (NTSTATUS::PENDING, false),
        ] {
            let foreign = Foreign::new();
            foreign.has_control.set(answer);
            let mut future = pin!(foreign.client().into_future());
            let polled = poll(future.as_mut(), Waker::noop());
            assert_eq!(polled, if is_polled { Poll::Pending } else { Poll::Ready(Err(BROKEN)) }, "{answer}");
        }
        let foreign = Foreign::new();
        foreign.accepts.set(NTSTATUS::TIMEOUT);
        let mut future = pin!(foreign.client().into_future());
        assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Err(BROKEN)));
    });
}

/// Runs a future in a task, ends the operation after some clock ticks, and returns the future's
/// result.
fn in_a_task(
    foreign: &'static Foreign,
    future: impl FnOnce(AsyncOperation<u32>) -> OperationFuture<u32>,
    end: impl FnOnce(),
) -> Option<Result<u32, NTSTATUS>> {
    let heard = Arc::new(std::sync::Mutex::new(None));
    let told = Arc::clone(&heard);
    let future = future(foreign.client());
    let task = spawn_async_operation(async move {
        let result = future.await;
        *told.lock().unwrap() = Some(result);
    });
    let control = task.control().unwrap();
    assert_eq!(control.wait(Some(Duration::from_millis(100))), Err(NTSTATUS::TIMEOUT));
    end();
    let waited = control.wait(Some(Duration::from_millis(100)));
    let heard = heard.lock().unwrap().take();
    // A future that has not seen the end yet polls its operation again when its task is cancelled.
    control.cancel().unwrap();
    assert_eq!(waited.is_ok(), heard.is_some());
    heard
}

#[test]
fn an_operation_that_calls_no_handler_is_polled_by_a_timer() {
    in_kernel(|| {
        for none in [true, false] {
            let foreign = Foreign::new();
            if none {
                foreign.has_control.set(NTSTATUS::NOINTERFACE);
            } else {
                foreign.accepts.set(NTSTATUS::INVALID_DEVICE_STATE);
            }
            assert_eq!(in_a_task(foreign, |o| o.into_future(), || foreign.completes(7)), Some(Ok(7)));
            let looks = foreign.looks.get();
            assert!((10..20).contains(&looks), "twice each clock tick: {looks}");
            assert_eq!(foreign.references.get(), 0);
            let slow = Foreign::new();
            slow.has_control.set(NTSTATUS::NOINTERFACE);
            let slowly = |o: AsyncOperation<u32>| o.into_future().poll_interval(Duration::from_millis(60));
            assert_eq!(in_a_task(slow, slowly, || slow.completes(7)), Some(Ok(7)));
            assert!((4..10).contains(&slow.looks.get()), "{}", slow.looks.get());
            let often = Foreign::new();
            often.has_control.set(NTSTATUS::NOINTERFACE);
            let often_enough = |o: AsyncOperation<u32>| o.into_future().poll_interval(Duration::ZERO);
            assert_eq!(in_a_task(often, often_enough, || often.completes(7)), Some(Ok(7)));
        }
    });
}

#[test]
fn an_operation_that_forgets_its_handler_is_polled_only_if_asked_for() {
    in_kernel(|| {
        let forgetful = Foreign::new();
        assert_eq!(in_a_task(forgetful, |o| o.into_future(), || forgetful.completes(7)), None);
        let watched = Foreign::new();
        let watch = |o: AsyncOperation<u32>| o.into_future().with_polling();
        assert_eq!(in_a_task(watched, watch, || watched.completes(7)), Some(Ok(7)));
        let told = Foreign::new();
        let end = || {
            told.completes(7);
            told.calls_back();
        };
        assert_eq!(in_a_task(told, watch, end), Some(Ok(7)));
        let seldom = Foreign::new();
        let watch = |o: AsyncOperation<u32>| o.into_future().with_polling().poll_interval(Duration::MAX);
        let end = || {
            seldom.completes(7);
            seldom.calls_back();
        };
        assert_eq!(in_a_task(seldom, watch, end), Some(Ok(7)), "a period beyond the clock is a long one");
        assert_eq!(forgetful.references.get() + watched.references.get() + told.references.get(), 0);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn dropping_cancels_where_that_is_wanted_and_it_has_not_ended() {
    in_kernel(|| {
        for (cancels, polls, ends, expected) in
            [(false, 1, false, 0), (true, 0, false, 1), (true, 1, false, 1), (true, 1, true, 0)]
        {
            let foreign = Foreign::new();
            let future = foreign.client().into_future();
            let mut future = Box::pin(if cancels { future.cancel_on_drop() } else { future });
            for _ in 0..polls {
                assert!(poll(future.as_mut(), Waker::noop()).is_pending());
            }
            if ends {
                foreign.completes(7);
                assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(7)));
            }
            drop(future);
            assert_eq!((foreign.cancels.get(), foreign.references.get()), (expected, 0));
        }
        let uncontrolled = Foreign::new();
        uncontrolled.has_control.set(NTSTATUS::NOINTERFACE);
        drop(uncontrolled.client().into_future().cancel_on_drop());
        assert_eq!(uncontrolled.references.get(), 0);
        let ours = spawn_async_operation(pending::<u32>());
        drop(ours.clone().into_future().cancel_on_drop());
        assert_eq!(ours.result(), Err(NTSTATUS::CANCELLED));
    });
}

#[test]
fn without_memory_for_the_timer_it_ends_with_that_and_the_operation_goes_on() {
    in_kernel(|| {
        let foreign = Foreign::new();
        foreign.has_control.set(NTSTATUS::NOINTERFACE);
        let mut future = pin!(foreign.client().into_future());
        ntsim::fail_allocation(0);
        let polled = poll(future.as_mut(), Waker::noop());
        assert_eq!(polled, Poll::Ready(Err(NTSTATUS::INSUFFICIENT_RESOURCES)));
        assert!(poll(future.as_mut(), Waker::noop()).is_pending(), "it may be tried again");
        foreign.completes(7);
        assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(7)));
    });
}

/// `IAsyncControl` is optional for a foreign operation. Without it the operation can be read and
/// awaited, and the other calls answer STATUS_NOINTERFACE.
#[test]
fn an_operation_without_control_is_read_and_awaited_and_no_more() {
    in_kernel(|| {
        for answer in [NTSTATUS::NOINTERFACE, ntcom::com::E_NOINTERFACE] {
            let foreign = Foreign::new();
            foreign.has_control.set(answer);
            let client = foreign.client();
            let refused = Err(NTSTATUS::NOINTERFACE);
            assert_eq!(client.status(), Ok(AsyncStatus::Started));
            assert_eq!(client.result(), Err(NTSTATUS::PENDING));
            assert_eq!(client.cancel(), refused);
            assert_eq!(client.wait(Some(Duration::ZERO)), refused);
            assert_eq!(client.wait(None), refused);
            assert_eq!(client.error().map(drop), refused);
            let raw: ntcom::ComRc<ntcom::AsyncOperationRaw<u32>> = client.clone();
            assert_eq!(raw.control().map(drop), refused);
            // All types of operations have one IID, and no call tells the size of its values here.
            assert_eq!(raw.query::<ntcom::AsyncOperationRaw<u32>>().map(drop), refused);
            drop(raw);
            let mut future = pin!(client.clone().into_future());
            assert!(poll(future.as_mut(), Waker::noop()).is_pending());
            foreign.completes(7);
            assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Ok(7)));
            assert_eq!((client.result(), client.wait(None)), (Ok(7), refused));
            assert_eq!((foreign.cancels.get(), foreign.handler.get().is_some()), (0, false));
        }
    });
}

#[test]
fn what_it_says_of_its_error_is_held_against_its_status() {
    in_kernel(|| {
        let failure = NTSTATUS::INVALID_PARAMETER;
        let codes = [NTSTATUS::SUCCESS, NTSTATUS::PENDING, NTSTATUS::TIMEOUT, NTSTATUS::CANCELLED, failure];
        for status in 0..4 {
            for error in codes {
                let foreign = Foreign::new();
                foreign.status.set(RawAsyncStatus(status));
                foreign.error.set(error);
                let agrees = match status {
                    0 => error == NTSTATUS::PENDING,
                    1 => error == NTSTATUS::SUCCESS,
                    _ => !error.is_success(),
                };
                let expected = if agrees { Ok(error) } else { Err(BROKEN) };
                assert_eq!(foreign.client().error(), expected, "{status} {error}");
            }
        }
        let ours = spawn_async_operation(pending::<u32>());
        assert_eq!(ours.error(), Ok(NTSTATUS::PENDING));
        ours.cancel().unwrap();
        assert_eq!(ours.error(), Ok(NTSTATUS::CANCELLED));
        assert_eq!(spawn_async_operation(async { 1_u32 }).error(), Ok(NTSTATUS::SUCCESS));
    });
}

#[test]
fn a_wait_that_is_over_too_early_or_answers_nonsense_is_broken() {
    in_kernel(|| {
        let foreign = Foreign::new();
        for (answer, expected) in [
            (NTSTATUS::TIMEOUT, NTSTATUS::TIMEOUT),
            (NTSTATUS::SUCCESS, BROKEN),
            (NTSTATUS::PENDING, BROKEN),
            (NTSTATUS(0xC0), BROKEN),
            (NTSTATUS::NOT_SUPPORTED, NTSTATUS::NOT_SUPPORTED),
        ] {
            foreign.wait.set(answer);
            assert_eq!(foreign.client().wait(None), Err(expected), "{answer}");
        }
        foreign.completes(7);
        foreign.wait.set(NTSTATUS::SUCCESS);
        assert_eq!(foreign.client().wait(Some(Duration::from_secs(1))), Ok(()));
        foreign.has_control.set(ntcom::com::E_NOINTERFACE);
        assert_eq!(foreign.client().wait(None), Err(NTSTATUS::NOINTERFACE));
        assert_eq!(foreign.references.get(), 0);
    });
}

fn drained() -> Result<(), DrainError> {
    default_tracker(|tracker| tracker.drain(Some(Duration::ZERO)))
}

/// The operation ends between the client's two calls. The client compares the error with the status
/// that the operation has by then.
#[test]
fn an_end_that_comes_while_the_error_is_asked_for_is_no_contradiction() {
    in_kernel(|| {
        for (ends, error, expected) in [
            (AsyncStatus::Canceled, NTSTATUS::CANCELLED, Ok(NTSTATUS::CANCELLED)),
            (AsyncStatus::Completed, NTSTATUS::SUCCESS, Ok(NTSTATUS::SUCCESS)),
            (AsyncStatus::Error, NTSTATUS::PENDING, Ok(NTSTATUS::PENDING)),
            (AsyncStatus::Completed, NTSTATUS::CANCELLED, Err(BROKEN)),
            (AsyncStatus::Started, NTSTATUS::SUCCESS, Err(BROKEN)),
        ] {
            let foreign = Foreign::new();
            foreign.ends.set(Some(ends));
            foreign.error.set(error);
            assert_eq!(foreign.client().error(), expected, "{ends:?} {error}");
        }
    });
}

/// A handler is code of this image, so Unload waits for its outstanding calls `[C14]`, `[C18]`.
#[test]
fn unload_waits_for_the_handlers_that_are_owed() {
    const OWED: Result<(), DrainError> = Err(DrainError::Stuck { tasks: 0, timers: 0, handlers: 1 });
    in_kernel(|| {
        let foreign = Foreign::new();
        let mut future = Box::pin(foreign.client().into_future());
        assert_eq!(drained(), Ok(()), "no client has asked yet");
        assert!(poll(future.as_mut(), Waker::noop()).is_pending());
        assert_eq!(drained(), OWED, "the future waits");
        drop(future);
        assert_eq!(drained(), OWED, "the future has gone, the handler has not");
        foreign.calls_back();
        assert_eq!(drained(), Ok(()));
        foreign.calls_back();
        assert_eq!(drained(), Ok(()), "called too often");
        for answer in [NTSTATUS::INVALID_DEVICE_STATE, NTSTATUS::TIMEOUT] {
            let refusing = Foreign::new();
            refusing.accepts.set(answer);
            let mut future = Box::pin(refusing.client().into_future());
            let _either = poll(future.as_mut(), Waker::noop());
            assert!(!matches!(drained(), Err(DrainError::Stuck { handlers: 1.., .. })), "it was refused");
            refusing.calls_back();
            drop(future);
            assert_eq!(drained(), Ok(()), "{answer}");
        }
        let told = Foreign::new();
        let mut future = Box::pin(told.client().into_future());
        assert!(poll(future.as_mut(), Waker::noop()).is_pending());
        told.calls_back();
        assert_eq!(drained(), Ok(()), "called, and the future is still there");
        default_tracker(TaskTracker::close);
        let late = Foreign::new();
        let mut future = pin!(late.client().into_future());
        assert_eq!(poll(future.as_mut(), Waker::noop()), Poll::Ready(Err(NTSTATUS::DELETE_PENDING)));
        assert!(late.handler.get().is_none(), "it was given none");
    });
}

/// While a handler wakes, it has not returned yet. Unloading then would free the image under it.
#[test]
fn a_call_is_owed_until_it_has_woken() {
    /// A waker that records the result of a drain during the wake.
    struct Draining(std::sync::Mutex<Vec<Result<(), DrainError>>>);
    impl Wake for Draining {
        fn wake(self: Arc<Self>) {
            self.0.lock().unwrap().push(drained());
        }
    }
    in_kernel(|| {
        let foreign = Foreign::new();
        let draining = Arc::new(Draining(std::sync::Mutex::default()));
        let mut future = pin!(foreign.client().into_future());
        assert!(poll(future.as_mut(), &Waker::from(Arc::clone(&draining))).is_pending());
        foreign.calls_back();
        let heard = core::mem::take(&mut *draining.0.lock().unwrap());
        assert_eq!(heard, [Err(DrainError::Stuck { tasks: 0, timers: 0, handlers: 1 })]);
        assert_eq!(drained(), Ok(()));
    });
}

/// There are more futures than lists, and a future that leaves its list leaves the others in it.
#[test]
fn a_future_that_goes_leaves_the_others_to_be_called() {
    in_kernel(|| {
        let (counting, waker) = counting();
        let mut waiting = Vec::new();
        for _ in 0..200 {
            let foreign = Foreign::new();
            let mut future = Box::pin(foreign.client().into_future());
            assert!(poll(future.as_mut(), &waker).is_pending());
            waiting.push((foreign, future));
        }
        // The three are the youngest of a list, which is its first, one from the middle, and the
        // oldest.
        for gone in [199, 100, 0] {
            drop(waiting.remove(gone));
        }
        for (foreign, _) in &waiting {
            foreign.calls_back();
        }
        assert_eq!(counting.0.load(SeqCst) as usize, waiting.len());
    });
}

/// A task that is alive when the tracker is closed may await others in its cleanup `[C18]`.
#[test]
fn a_cleanup_awaits_an_operation_on_a_closed_tracker() {
    in_kernel(|| {
        let foreign = Foreign::new();
        let client = foreign.client();
        let heard = Arc::new(std::sync::Mutex::new(None));
        let told = Arc::clone(&heard);
        let cleanup = async move { *told.lock().unwrap() = Some(client.await) };
        let task = spawn_async_operation(async move {
            ntcom::try_finally(pending::<()>(), cleanup).await;
        });
        default_tracker(TaskTracker::close);
        task.control().unwrap().cancel().unwrap();
        foreign.completes(7);
        foreign.calls_back();
        assert_eq!(*heard.lock().unwrap(), Some(Ok(7)));
        assert_eq!(task.status(), Ok(AsyncStatus::Canceled));
    });
}

/// A context that was never given out reduces no count, in whichever list it is looked up `[C17]`.
#[test]
fn a_number_that_was_never_given_pays_no_debt() {
    in_kernel(|| {
        let foreign = Foreign::new();
        let mut future = Box::pin(foreign.client().into_future());
        assert!(poll(future.as_mut(), Waker::noop()).is_pending());
        drop(future);
        let (handler, _) = foreign.handler.get().unwrap();
        for number in (0..1).chain(2..200).chain([usize::MAX]) {
            // SAFETY: the handler may be called with any context.
            unsafe { handler(core::ptr::without_provenance_mut(number), AsyncStatus::Completed.into()) };
            assert!(drained().is_err(), "{number}");
        }
        foreign.calls_back();
        assert_eq!(drained(), Ok(()));
    });
}

#[test]
fn a_drain_ends_with_the_call_that_was_owed() {
    for seed in 0..100 {
        let foreign = Foreign::new();
        let called = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&called);
        let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(seed));
        let asking = || {
            let mut future = pin!(foreign.client().into_future());
            assert!(poll(future.as_mut(), Waker::noop()).is_pending());
        };
        kernel.run_on(0, asking).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        let draining = move || {
            default_tracker(|tracker| tracker.drain(None)).unwrap();
            assert_eq!(called.load(SeqCst), 1);
        };
        let calling = move || {
            told.store(1, SeqCst);
            foreign.calls_back();
        };
        let run = kernel.programs().on(0, draining).on(1, calling).run();
        run.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

/// An operation ends on one processor while it is awaited on another, and a second future of it is
/// dropped on a third.
fn awaited(kernel: &mut Simulation) -> Result<(), ntsim::Stop> {
    let signal = Arc::new(Signal::new());
    let inside = Arc::clone(&signal);
    let place = Arc::new(std::sync::Mutex::new(Vec::new()));
    let made = Arc::clone(&place);
    kernel.run_on(0, move || {
        let inner = spawn_async_operation(async move {
            inside.wait().await;
            7_u32
        });
        made.lock().unwrap().extend([inner.clone(), inner]);
    })?;
    let (first, second) = {
        let mut place = place.lock().unwrap();
        (place.pop().unwrap(), place.pop().unwrap())
    };
    let heard = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&heard);
    let awaiting = move || {
        let outer = spawn_async_operation(async move { told.store(first.await.unwrap(), SeqCst) });
        outer.control().unwrap().wait(None).unwrap();
    };
    let dropping = move || {
        let mut future = pin!(second.into_future());
        let _either = poll(future.as_mut(), Waker::noop());
    };
    kernel.programs().on(0, awaiting).on(1, move || signal.set()).on(2, dropping).run()?;
    assert_eq!(heard.load(SeqCst), 7);
    kernel.unload()
}

#[test]
fn no_end_is_missed_under_any_seed() {
    for seed in 0..300 {
        let mut kernel = Simulation::new(Config { processors: 3, ..Config::default() }, Schedule::seed(seed));
        awaited(&mut kernel).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

#[test]
fn no_end_is_missed_under_any_schedule_with_two_preemptions() {
    let config = Config { processors: 3, ..Config::default() };
    let limits = Limits { preemptions: Some(2), runs: 5_000, ..Limits::default() };
    let Exploration { runs, complete, finding, .. } = explore(config, limits, awaited);
    assert!(finding.is_none(), "{finding:?}");
    assert!(complete || runs >= 5_000, "{runs} runs");
    assert!(runs > 100, "{runs} runs");
}
