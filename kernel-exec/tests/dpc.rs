//! Tests of tasks on DPCs, on the simulated kernel. They cover the polls of a body, the times of
//! its runs, and its end.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    task::{Context, Poll, Waker},
};
use std::sync::{Arc, Mutex};

use common::{Event, Log, in_kernel};
use futures_util::future::{join, select};
use ntcom_exec::{
    CancelHandle, DEFAULT_POLL_BUDGET, NTSTATUS, TaskTracker, default_tracker, is_cancellation_requested,
    on_cancel, spawn_dpc_task, spawn_dpc_task_cancellable, take_cancellation_request, try_finally, yield_now,
};
use ntsim::{Config, Schedule, Simulation};

fn cancellable(body: impl Future<Output = ()> + Send + 'static) -> CancelHandle {
    spawn_dpc_task_cancellable(body).unwrap()
}

#[test]
fn a_body_runs_at_dispatch_level_in_a_dpc() {
    in_kernel(|| {
        let ran = Arc::new(AtomicU32::new(0));
        let inside = Arc::clone(&ran);
        spawn_dpc_task(async move {
            assert!(ntsim::in_dpc());
            assert_eq!(ntsim::irql(), 2);
            inside.fetch_add(1, SeqCst);
        })
        .unwrap();
        assert_eq!(ran.load(SeqCst), 1, "below DISPATCH_LEVEL the first poll is over before spawn returns");
        assert_eq!(ntsim::irql(), 0);
    });
}

#[test]
fn a_spent_budget_lets_other_dpcs_run_and_goes_on_by_a_timer() {
    in_kernel(|| {
        let polls = Arc::new(AtomicU32::new(0));
        let inside = Arc::clone(&polls);
        let body = poll_fn(move |context| {
            if inside.fetch_add(1, SeqCst) + 1 == 2 * DEFAULT_POLL_BUDGET.get() + 3 {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        spawn_dpc_task(body).unwrap();
        assert_eq!(polls.load(SeqCst), DEFAULT_POLL_BUDGET.get(), "the DPC has returned");
        let other = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&other);
        spawn_dpc_task(async move { seen.store(true, SeqCst) }).unwrap();
        assert!(other.load(SeqCst));
        ntsim::advance_time(2 * 156_250);
        assert_eq!(polls.load(SeqCst), 2 * DEFAULT_POLL_BUDGET.get());
        ntsim::advance_time(2 * 156_250);
        assert_eq!(polls.load(SeqCst), 2 * DEFAULT_POLL_BUDGET.get() + 3);
    });
}

#[test]
fn cancel_drops_a_body_that_does_not_take_it() {
    in_kernel(|| {
        let log = Log::default();
        let guard = log.on_drop("dropped");
        let handle = cancellable(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        assert_eq!(log.take(), [""; 0]);
        handle.cancel();
        assert_eq!(log.take(), ["dropped"]);
        handle.cancel();
    });
}

#[test]
fn a_body_that_takes_the_request_goes_on_and_a_later_cancel_is_a_new_one() {
    in_kernel(|| {
        let taken = Arc::new(AtomicU32::new(0));
        let inside = Arc::clone(&taken);
        let handle = cancellable(poll_fn(move |_| {
            if take_cancellation_request() {
                assert!(!take_cancellation_request(), "each request is taken once");
                inside.fetch_add(1, SeqCst);
            }
            if inside.load(SeqCst) == 3 { Poll::Ready(()) } else { Poll::Pending }
        }));
        for expected in 1..=3 {
            handle.cancel();
            assert_eq!(taken.load(SeqCst), expected);
        }
        assert_eq!(default_tracker(TaskTracker::unfinished), 0);
    });
}

/// A combinator with a waker of its own, as `FuturesUnordered` has.
struct OwnWaker<F>(Pin<Box<F>>);

impl<F: Future> Future for OwnWaker<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }
}

#[test]
fn cancellation_is_seen_inside_combinators_with_wakers_of_their_own() {
    in_kernel(|| {
        let seen = Arc::new(AtomicBool::new(false));
        let inside = Arc::clone(&seen);
        let inner = poll_fn(move |_| {
            if is_cancellation_requested() && take_cancellation_request() {
                inside.store(true, SeqCst);
                return Poll::Ready(());
            }
            Poll::Pending
        });
        let handle = cancellable(async { OwnWaker(Box::pin(inner)).await });
        handle.cancel();
        assert!(seen.load(SeqCst));
    });
}

#[test]
fn there_is_no_cancellation_outside_of_a_task() {
    in_kernel(|| {
        assert!(!is_cancellation_requested());
        assert!(!take_cancellation_request());
    });
}

#[test]
fn try_finally_runs_its_cleanup_when_main_ends() {
    in_kernel(|| {
        let log = Log::default();
        let (main, cleanup, end) = (log.clone(), log.clone(), log.clone());
        spawn_dpc_task(async move {
            let value = try_finally(
                async move {
                    main.add("main");
                    5
                },
                cleanup.entry("cleanup"),
            )
            .await;
            assert_eq!(value, Some(5));
            end.add("end");
        })
        .unwrap();
        assert_eq!(log.take(), ["main", "cleanup", "end"]);
    });
}

#[test]
fn try_finally_unwinds_even_if_it_was_never_polled() {
    in_kernel(|| {
        let log = Log::default();
        let (main, cleanup) = (log.on_drop("main dropped"), log.clone());
        // SAFETY: called at PASSIVE_LEVEL; the IRQL is lowered below.
        let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
        let handle = cancellable(async move {
            let main = async move {
                let _main = main;
                pending::<()>().await;
            };
            assert_eq!(try_finally(main, cleanup.entry("cleanup")).await, None);
        });
        handle.cancel();
        assert_eq!(log.take(), [""; 0]);
        // SAFETY: `irql` is the value that the raise returned.
        unsafe { ntsim::ddi::KeLowerIrql(irql) };
        assert_eq!(log.take(), ["main dropped", "cleanup"]);
    });
}

#[test]
fn nested_try_finally_unwinds_innermost_first_and_the_outer_one_too() {
    in_kernel(|| {
        let log = Log::default();
        let event = Event::default();
        let (l1, l2, l3, inner_event) = (log.clone(), log.clone(), log.clone(), event.clone());
        let handle = cancellable(async move {
            let inner = async move {
                let cleanup = async move {
                    inner_event.wait().await;
                    l1.add("inner cleanup");
                };
                assert_eq!(try_finally(pending::<()>(), cleanup).await, None);
                l2.add("between");
                pending::<()>().await;
            };
            try_finally(inner, l3.entry("outer cleanup")).await;
            pending::<()>().await;
        });
        handle.cancel();
        assert_eq!(log.take(), [""; 0], "the inner cleanup waits, and keeps everything around it");
        event.set();
        assert_eq!(log.take(), ["inner cleanup", "between", "outer cleanup"]);
        assert_eq!(default_tracker(TaskTracker::unfinished), 0, "and then the body is dropped");
    });
}

#[test]
fn inside_a_cleanup_no_cancellation_is_seen_and_afterwards_it_works() {
    in_kernel(|| {
        let log = Log::default();
        let (inside, after) = (log.clone(), log.on_drop("body dropped"));
        let event = Event::default();
        let waits = event.clone();
        let handle = cancellable(async move {
            let _after = after;
            let cleanup = async move {
                waits.wait().await;
                inside.add(if is_cancellation_requested() || take_cancellation_request() {
                    "seen"
                } else {
                    "not seen"
                });
            };
            assert_eq!(try_finally(async { 1 }, cleanup).await, Some(1));
            pending::<()>().await;
        });
        handle.cancel();
        assert_eq!(log.take(), [""; 0]);
        event.set();
        assert_eq!(log.take(), ["not seen", "body dropped"]);
    });
}

#[test]
fn on_cancel_runs_its_cleanup_on_cancellation_only() {
    in_kernel(|| {
        let log = Log::default();
        let cleanup = log.clone().entry("cleanup");
        spawn_dpc_task(async move { assert_eq!(on_cancel(async { 3 }, cleanup).await, Some(3)) }).unwrap();
        assert_eq!(log.take(), [""; 0]);
        let cleanup = log.clone().entry("cleanup");
        let handle = cancellable(async move { assert_eq!(on_cancel(pending::<()>(), cleanup).await, None) });
        handle.cancel();
        assert_eq!(log.take(), ["cleanup"]);
    });
}

#[test]
fn both_sides_of_a_join_unwind() {
    in_kernel(|| {
        let log = Log::default();
        let event = Event::default();
        let (first, second, waits) = (log.clone(), log.clone(), event.clone());
        let handle = cancellable(async move {
            let first = try_finally(pending::<()>(), async move {
                waits.wait().await;
                first.add("first");
            });
            join(first, try_finally(pending::<()>(), second.entry("second"))).await;
        });
        handle.cancel();
        event.set();
        assert_eq!(log.take(), ["first", "second"]);
    });
}

/// A main that could not unwind because a sibling's cleanup was running unwinds when that has
/// ended, and is not just dropped.
#[test]
fn a_main_held_back_by_a_siblings_cleanup_unwinds_after_it() {
    in_kernel(|| {
        let (log, slow) = (Log::default(), Event::default());
        let (one, two) = (log.clone().entry("cleanup 1"), slow.wait());
        let ended = log.clone();
        let handle = cancellable(async move {
            let both = join(try_finally(pending::<()>(), one), try_finally(async {}, two)).await;
            ended.add(if both == (None, Some(())) { "ended" } else { "ended otherwise" });
        });
        handle.cancel();
        assert!(log.take().is_empty(), "the second one's cleanup is running");
        slow.set();
        assert_eq!(log.take(), ["cleanup 1", "ended"]);
    });
}

#[test]
fn the_loser_of_a_select_is_dropped() {
    in_kernel(|| {
        let log = Log::default();
        let guard = log.on_drop("loser");
        spawn_dpc_task(async move {
            let loser = Box::pin(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            drop(select(Box::pin(yield_now()), loser).await);
        })
        .unwrap();
        assert_eq!(log.take(), ["loser"]);
    });
}

/// Rule `[C9]`.
#[test]
fn a_body_without_a_waker_is_cancelled_and_cleans_up() {
    in_kernel(|| {
        let log = Log::default();
        let event = Event::default();
        let (waits, cleanup) = (event.clone(), log.clone().entry("cleanup"));
        spawn_dpc_task(async move {
            try_finally(waits.wait(), cleanup).await;
        })
        .unwrap();
        assert_eq!(log.take(), [""; 0]);
        drop(event.take_waker());
        assert_eq!(log.take(), ["cleanup"]);
    });
}

/// Rule `[C9]`.
#[test]
fn a_body_that_is_abandoned_a_second_time_is_dropped_unpolled() {
    in_kernel(|| {
        let log = Log::default();
        let event = Event::default();
        let (waits, polled, dropped) = (event.clone(), log.clone(), log.on_drop("dropped"));
        let mut wait = Box::pin(waits.wait());
        spawn_dpc_task(poll_fn(move |context| {
            let _whole = &dropped;
            polled.add(if take_cancellation_request() { "takes it" } else { "polled" });
            wait.as_mut().poll(context)
        }))
        .unwrap();
        assert_eq!(log.take(), ["polled"]);
        drop(event.take_waker());
        assert_eq!(log.take(), ["takes it"]);
        drop(event.take_waker());
        assert_eq!(log.take(), ["dropped"]);
    });
}

/// Rule `[C9]`. Such a body is a cycle, which a leak check must know.
#[test]
fn a_body_that_owns_its_own_waker_lives_until_the_trackers_cancel() {
    in_kernel(|| {
        let log = Log::default();
        let dropped = log.on_drop("dropped");
        let mut own = None::<Waker>;
        spawn_dpc_task(poll_fn(move |context| {
            let _whole = &dropped;
            drop(own.replace(context.waker().clone()));
            Poll::<()>::Pending
        }))
        .unwrap();
        assert_eq!(default_tracker(TaskTracker::unfinished), 1);
        assert_eq!(ntsim::counters().live_blocks, 1);
        default_tracker(TaskTracker::cancel_all);
        assert_eq!(log.take(), ["dropped"]);
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

/// Rule `[C18]`. An image that unloads closes its tracker and then cancels the live tasks.
#[test]
fn a_closed_tracker_still_reaches_its_tasks() {
    in_kernel(|| {
        let log = Log::default();
        let (older, newer) = (log.on_drop("older"), log.on_drop("newer"));
        let handles = [older, newer].map(|guard| {
            cancellable(async move {
                let _guard = guard;
                pending::<()>().await;
            })
        });
        default_tracker(TaskTracker::close);
        assert_eq!(default_tracker(TaskTracker::unfinished), 2);
        default_tracker(TaskTracker::cancel_all);
        assert_eq!(log.take().len(), 2);
        assert_eq!(default_tracker(TaskTracker::unfinished), 0);
        drop(handles);
    });
}

#[test]
fn a_body_that_yields_goes_on_by_itself() {
    in_kernel(|| {
        let log = Log::default();
        let goes_on = log.clone();
        let handle = cancellable(async move {
            yield_now().await;
            goes_on.add(if is_cancellation_requested() { "cancelled" } else { "goes on" });
        });
        assert_eq!(log.take(), ["goes on"]);
        drop(handle);
    });
}

#[test]
fn a_closed_tracker_refuses_and_the_body_is_dropped() {
    in_kernel(|| {
        let log = Log::default();
        default_tracker(TaskTracker::close);
        let guard = log.on_drop("dropped");
        let body = async move { drop(guard) };
        assert_eq!(spawn_dpc_task(body), Err(NTSTATUS::DELETE_PENDING));
        assert_eq!(log.take(), ["dropped"]);
        assert_eq!(default_tracker(TaskTracker::unfinished), 0, "the refused task was never in the list");
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}

#[test]
fn without_memory_a_spawn_fails_and_the_body_is_dropped() {
    in_kernel(|| {
        let log = Log::default();
        let guard = log.on_drop("dropped");
        ntsim::fail_allocation(0);
        let body = async move { drop(guard) };
        assert_eq!(spawn_dpc_task(body), Err(NTSTATUS::INSUFFICIENT_RESOURCES));
        assert_eq!(log.take(), ["dropped"]);
    });
}

/// Two processors wake, cancel and release one task, in two hundred schedules. It ends once,
/// whatever the order.
#[test]
fn wake_cancel_and_release_from_two_processors() {
    for seed in 0..200 {
        let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(seed));
        let log = Log::default();
        let event = Event::default();
        let (waits, end, cleanup) = (event.clone(), log.on_drop("end"), log.clone().entry("cleanup"));
        let handle = Arc::new(Mutex::new(None));
        let spawned = Arc::clone(&handle);
        let spawn = move || {
            let body = async move {
                let _end = end;
                try_finally(waits.wait(), cleanup).await;
            };
            *spawned.lock().unwrap() = Some(cancellable(body));
        };
        kernel.run_on(0, spawn).unwrap();
        let (waker, canceller) = (event.clone(), Arc::clone(&handle));
        let wake = move || waker.set();
        let cancel = move || {
            let handle = canceller.lock().unwrap().take().unwrap();
            handle.cancel();
        };
        let run = kernel.programs().on(0, wake).on(1, cancel).run();
        assert!(run.is_ok(), "seed {seed}: {:?}", run.err().map(|stop| stop.to_string()));
        assert_eq!(log.take(), ["cleanup", "end"], "seed {seed}");
        // A wake that came between the body's check and its registration has left the waker there.
        kernel.run_on(0, move || drop(event.take_waker())).unwrap();
        kernel.unload().unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

/// Rule `[C12]`. The test runs in a process of its own. Its hook replaces the one by which the
/// simulated kernel ends the run at the panic, so the body unwinds.
#[test]
fn a_panic_in_a_body_that_unwinds_is_a_bug_check() {
    const CHILD: &str = "NTCOM_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        in_kernel(|| ());
        std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
        in_kernel(|| spawn_dpc_task(async { panic!("a panic in a body") }).unwrap());
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_in_a_body_that_unwinds_is_a_bug_check", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success() && child.status.code().is_none(), "{:?}: {said}", child.status);
    assert!(said.contains("a panic in a body"), "{said}");
    // KERNEL_SECURITY_CHECK_FAILURE, FAST_FAIL_FATAL_APP_EXIT.
    assert!(said.contains("0x139") && said.contains("parameter 1: 0x7 "), "{said}");
}
