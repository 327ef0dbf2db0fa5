//! Tests of combinators from other crates in tasks, and of cancellation inside them.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, reason = "what the tests share is more than these use")]

mod common;

use core::{
    future::{Future, pending},
    pin::pin,
    time::Duration,
};
use std::rc::Rc;

use common::{Event, Log, TICK, in_kernel, kernel, program};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{Either, join, join3, select},
    select_biased,
    stream::FuturesUnordered,
};
use ntcom_exec::{
    CancelHandle, NTSTATUS, on_cancel, sleep, spawn_dpc_task_cancellable, take_cancellation_request, timeout,
    try_finally, wait_for_event, yield_now,
};
use ntsim::{
    ddi,
    types::{_EVENT_TYPE, KEVENT},
};

fn spawn(body: impl Future<Output = ()> + Send + 'static) -> CancelHandle {
    spawn_dpc_task_cancellable(body).unwrap()
}

#[test]
fn each_part_of_a_join_cleans_up() {
    in_kernel(|| {
        let log = Log::default();
        let [first, second, third] = [0; 3].map(|_| log.clone());
        let handle = spawn(async move {
            let one = try_finally(pending::<()>(), first.entry("one"));
            let two = on_cancel(pending::<()>(), second.entry("two"));
            let three = try_finally(yield_now(), third.entry("three"));
            join3(one, two, three).await;
        });
        assert_eq!(log.take(), ["three"], "the third main has ended by itself");
        handle.cancel();
        assert_eq!(log.take(), ["one", "two"]);
    });
}

#[test]
fn a_cancelled_select_ends_with_the_cleanup_of_its_first_side_and_a_loser_has_none() {
    in_kernel(|| {
        let log = Log::default();
        let [first, second, loser] = [0; 3].map(|_| log.clone());
        let handle = spawn(async move {
            let loser = Box::pin(try_finally(pending::<()>(), loser.entry("loser")));
            assert!(matches!(select(Box::pin(yield_now()), loser).await, Either::Left(_)));
            let one = pin!(try_finally(pending::<()>(), first.entry("one")));
            let two = pin!(try_finally(pending::<()>(), second.entry("two")));
            select(one, two).await;
        });
        assert_eq!(log.take(), [""; 0], "a loser is dropped, not cancelled");
        handle.cancel();
        // The select is ready with its first side, and drops the second, like any loser.
        assert_eq!(log.take(), ["one"]);
    });
}

#[test]
fn select_biased_takes_a_request() {
    in_kernel(|| {
        let log = Log::default();
        let inside = log.clone();
        let event = Event::default();
        let waited = event.wait();
        let handle = spawn(async move {
            let stopped = core::future::poll_fn(|_| {
                if take_cancellation_request() {
                    core::task::Poll::Ready(())
                } else {
                    core::task::Poll::Pending
                }
            });
            select_biased! {
                () = stopped.fuse() => inside.entry("stopped").await,
                () = waited.fuse() => inside.entry("done").await,
            }
        });
        handle.cancel();
        assert_eq!(log.take(), ["stopped"]);
        drop(event);
    });
}

/// `FuturesUnordered` polls only the futures that have been woken. A waiting one does not see the
/// request, and is dropped with the body, without its cleanup.
#[test]
fn a_future_that_futures_unordered_does_not_poll_is_dropped() {
    in_kernel(|| {
        let log = Log::default();
        let (cleanup, guard) = (log.clone(), log.on_drop("dropped"));
        let handle = spawn(async move {
            let waits = async move {
                let _guard = guard;
                try_finally(pending::<()>(), cleanup.entry("cleanup")).await;
            };
            let mut all: FuturesUnordered<_> = [waits.boxed(), yield_now().boxed()].into_iter().collect();
            while all.next().await.is_some() {}
        });
        handle.cancel();
        assert_eq!(log.take(), ["dropped"]);
    });
}

/// A `try_finally` around the combinator sees the request.
#[test]
fn a_cleanup_around_futures_unordered_runs() {
    in_kernel(|| {
        let log = Log::default();
        let cleanup = log.clone();
        let handle = spawn(async move {
            let all = async {
                let mut all: FuturesUnordered<_> = (0..4).map(|_| pending::<()>()).collect();
                while all.next().await.is_some() {}
            };
            try_finally(all, cleanup.entry("cleanup")).await;
        });
        handle.cancel();
        assert_eq!(log.take(), ["cleanup"]);
    });
}

#[test]
fn futures_unordered_hears_of_each_event_on_each_processor() {
    for seed in 0..100 {
        let mut kernel = kernel(3, seed);
        let events: Vec<Event> = (0..3).map(|_| Event::default()).collect();
        let log = Log::default();
        let (inside, waits) = (log.clone(), events.iter().map(Event::wait).collect::<Vec<_>>());
        let body = async move {
            let mut all: FuturesUnordered<_> = waits.into_iter().collect();
            while all.next().await.is_some() {
                inside.add("one");
            }
        };
        let spawner = program(move || drop(spawn(body)));
        kernel.run_on(0, spawner).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        let setters = events
            .into_iter()
            .enumerate()
            .map(|(processor, event)| (processor, program(move || event.set())));
        kernel.run(setters.collect()).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        assert_eq!(log.take(), ["one"; 3], "seed {seed}");
    }
}

#[test]
fn futures_lite_works_as_well() {
    in_kernel(|| {
        let log = Log::default();
        let (cleanup, inside) = (log.clone(), log.clone());
        let handle = spawn(async move {
            let (one, two) = futures_lite::future::zip(async { 1 }, yield_now()).await;
            assert_eq!((one, two), (1, ()));
            let either =
                futures_lite::future::or(async { pending::<()>().await }, async { inside.add("or") });
            either.await;
            let never = async { futures_lite::future::or(pending::<()>(), pending()).await };
            try_finally(never, cleanup.entry("cleanup")).await;
        });
        handle.cancel();
        assert_eq!(log.take(), ["or", "cleanup"]);
    });
}

/// An event of the kernel.
#[derive(Clone, Copy)]
struct KernelEvent(*mut KEVENT);

// SAFETY: several processors may use an event.
unsafe impl Send for KernelEvent {}

impl KernelEvent {
    fn new(kind: i32) -> Self {
        let event = Box::into_raw(Box::<KEVENT>::default());
        // SAFETY: the event is never freed.
        unsafe { ddi::KeInitializeEvent(event, kind, 0) };
        Self(event)
    }
    fn set(self) {
        // SAFETY: the event is never freed.
        unsafe { ddi::KeSetEvent(self.0, 0, 0) };
    }
    fn is_set(self) -> bool {
        // SAFETY: the event is never freed.
        unsafe { ddi::KeReadStateEvent(self.0) != 0 }
    }
    fn wait(self, period: Duration) -> ntcom_exec::EventWait {
        // SAFETY: the event is never freed.
        unsafe { wait_for_event(self.0, period) }
    }
}

const PERIOD: Duration = Duration::from_millis(20);

#[test]
fn an_event_of_the_kernel_is_awaited_and_reset() {
    for seed in 0..60 {
        let mut kernel = kernel(2, seed);
        let log = Log::default();
        let (inside, event) = (log.clone(), Rc::new(core::cell::OnceCell::new()));
        let shared = Rc::clone(&event);
        let spawner = program(move || {
            let event = *shared.get_or_init(|| KernelEvent::new(_EVENT_TYPE::SynchronizationEvent));
            let set = event.wait(PERIOD);
            drop(spawn(async move {
                assert!(timeout(PERIOD / 4, event.wait(PERIOD)).await.is_err(), "the event is not set yet");
                set.await.unwrap();
                inside.entry("set").await;
            }));
            sleep_a_while();
            event.set();
        });
        kernel.run_on(0, spawner).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        assert_eq!(log.take(), ["set"], "seed {seed}");
        let reset = program(move || assert!(!event.get().unwrap().is_set(), "reset by the wait"));
        kernel.run_on(1, reset).unwrap();
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

fn sleep_a_while() {
    ntsim::advance_time(4 * TICK);
}

#[test]
fn a_wait_for_an_event_ends_with_cancellation_or_an_error() {
    in_kernel(|| {
        let event = KernelEvent::new(_EVENT_TYPE::NotificationEvent);
        let log = Log::default();
        let (cleanup, inside) = (log.clone(), log.clone());
        let handle = spawn(async move {
            assert_eq!(event.wait(Duration::ZERO).await, Err(NTSTATUS::INVALID_PARAMETER));
            ntsim::fail_allocation(0);
            assert_eq!(event.wait(PERIOD).await, Err(NTSTATUS::INSUFFICIENT_RESOURCES));
            join(sleep(PERIOD), inside.entry("errors")).await.0.unwrap();
            try_finally(event.wait(PERIOD), cleanup.entry("cleanup")).await;
        });
        ntsim::advance_time(4 * TICK);
        handle.cancel();
        assert_eq!(log.take(), ["errors", "cleanup"]);
        event.set();
        let handle = spawn(async move { event.wait(Duration::ZERO).await.unwrap() });
        drop(handle);
        assert!(event.is_set(), "a notification event stays set");
    });
}
