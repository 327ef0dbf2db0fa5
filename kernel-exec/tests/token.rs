//! Tests of cancellation tokens and groups of tasks on the simulated kernel.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::future::pending;
use std::sync::Arc;

use common::{Log, Thread, in_kernel};
use ntcom_exec::{
    CancellationToken, NTSTATUS, TaskBuilder, TaskGroup, TaskTracker, default_tracker, spawn_dpc_task,
    try_finally, yield_now,
};
use ntsim::{Config, Hunt, Limits, hunt};

fn drain() {
    assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
}

fn unfinished() -> usize {
    default_tracker(TaskTracker::unfinished)
}

fn on_two_processors() -> Hunt {
    let limits = Limits { preemptions: Some(1), runs: 500, ..Limits::default() };
    hunt(Config { processors: 2, ..Config::default() }).seeds(200).explore(limits)
}

/// Spawns a task that joins the token, and has a cleanup of several polls.
fn member(token: &CancellationToken, log: &Log, entry: &'static str) {
    let log = log.clone();
    let cleanup = async move {
        yield_now().await;
        log.add(entry);
    };
    let body = async move { _ = try_finally(pending::<()>(), cleanup).await };
    spawn_dpc_task(token.run(body)).unwrap();
}

/// Z274. The cleanups run inside out, in any order of the spawns.
#[test]
fn a_request_reaches_the_children_before_the_parents() {
    on_two_processors().run(|kernel| {
        kernel.run_on(0, || {
            let log = Log::default();
            let root = CancellationToken::new().unwrap();
            let middle = root.child().unwrap();
            let leaf = middle.child().unwrap();
            member(&root, &log, "root");
            member(&leaf, &log, "leaf");
            member(&middle, &log, "middle");
            let other = Thread::spawn(move || root.cancel());
            drain();
            other.join();
            assert_eq!(log.take(), ["leaf", "middle", "root"]);
            drop((middle, leaf));
            assert_eq!(ntsim::live_blocks(), 0);
        })?;
        kernel.unload()
    });
}

#[test]
fn a_request_reaches_neither_parents_nor_siblings() {
    in_kernel(|| {
        let log = Log::default();
        let root = CancellationToken::new().unwrap();
        let (one, other) = (root.child().unwrap(), root.child().unwrap());
        member(&root, &log, "root");
        member(&one, &log, "one");
        member(&other, &log, "other");
        one.cancel();
        assert_eq!(log.take(), ["one"]);
        assert_eq!([&root, &one, &other].map(CancellationToken::is_cancelled), [false, true, false]);
        assert!(one.child().unwrap().is_cancelled(), "a child of a cancelled token");
        root.cancel();
        assert_eq!(log.take(), ["other", "root"]);
    });
}

/// A task that joins after the request gets it with its first poll.
#[test]
fn a_task_that_joins_late_is_cancelled() {
    in_kernel(|| {
        let log = Log::default();
        let token = CancellationToken::new().unwrap();
        token.cancel();
        member(&token, &log, "late");
        assert_eq!((log.take(), unfinished(), token.members()), (vec!["late"], 0, 0));
    });
}

/// A body that is dropped without a poll, or before the request, leaves the token.
#[test]
fn a_body_that_has_gone_holds_nothing_up() {
    in_kernel(|| {
        let log = Log::default();
        let root = CancellationToken::new().unwrap();
        let child = root.child().unwrap();
        let unpolled = child.run(pending::<()>());
        member(&root, &log, "root");
        root.cancel();
        assert_eq!((log.take(), root.members()), (vec![], 2));
        drop(unpolled);
        assert_eq!((log.take(), root.members()), (vec!["root"], 0));
        drop((child, root));
        assert_eq!(ntsim::live_blocks(), 0);
    });
}

/// Z275. Several tasks wait for a request that comes on another processor.
#[test]
fn every_wait_for_a_request_ends() {
    on_two_processors().run(|kernel| {
        kernel.run_on(0, || {
            let root = CancellationToken::new().unwrap();
            let child = root.child().unwrap();
            let other = Thread::spawn(move || root.cancel());
            for _ in 0..2 {
                let token = child.clone();
                spawn_dpc_task(async move { token.cancelled().await }).unwrap();
            }
            other.join();
            drain();
            drop(child);
            assert_eq!(ntsim::live_blocks(), 0);
        })?;
        kernel.unload()
    });
}

/// A wait that is dropped, polled or not, leaves nothing of its task in the token.
#[test]
fn a_dropped_wait_leaves_nothing_in_the_token() {
    in_kernel(|| {
        let token = CancellationToken::new().unwrap();
        let waits = token.clone();
        let before = ntsim::live_blocks();
        spawn_dpc_task(async move {
            drop(waits.cancelled());
            let mut wait = Box::pin(waits.cancelled());
            assert!(futures_util::poll!(wait.as_mut()).is_pending());
        })
        .unwrap();
        assert_eq!(ntsim::live_blocks(), before);
        token.cancel();
    });
}

#[test]
fn only_a_new_token_allocates() {
    in_kernel(|| {
        let allocations = || ntsim::counters().allocations;
        let start = allocations();
        let token = CancellationToken::new().unwrap();
        assert_eq!(allocations() - start, 1);
        let child = token.child().unwrap();
        assert_eq!(allocations() - start, 2);
        let waits = child.clone();
        spawn_dpc_task(child.run(async move { waits.joined().await })).unwrap();
        assert_eq!(allocations() - start, 3, "the task's block");
        token.cancel();
        assert_eq!((allocations() - start, unfinished()), (3, 0));
    });
}

#[test]
fn without_memory_there_is_no_token_and_no_group() {
    in_kernel(|| {
        let token = CancellationToken::new().unwrap();
        ntsim::fail_allocation(0);
        assert_eq!(token.child().err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
        ntsim::fail_allocation(0);
        assert_eq!(TaskGroup::new().err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
    });
}

/// Z276. A group is joined when the last of its bodies is gone.
#[test]
fn a_join_ends_when_all_bodies_are_gone() {
    on_two_processors().run(|kernel| {
        kernel.run_on(0, || {
            let group = TaskGroup::new().unwrap();
            let body = Arc::new(());
            for _ in 0..2 {
                let held = Arc::clone(&body);
                let body = async move {
                    let _held = held;
                    pending::<()>().await;
                };
                group.spawn(body).unwrap();
            }
            let token = group.token().clone();
            let left = Arc::clone(&body);
            spawn_dpc_task(async move {
                group.join().await;
                assert_eq!(Arc::strong_count(&left), 2, "all bodies of the group are gone");
            })
            .unwrap();
            let other = Thread::spawn(move || token.cancel());
            other.join();
            drain();
            assert_eq!(Arc::strong_count(&body), 1);
            assert_eq!(ntsim::live_blocks(), 0);
        })?;
        kernel.unload()
    });
}

#[test]
fn a_group_below_a_token_is_cancelled_with_it() {
    in_kernel(|| {
        let token = CancellationToken::new().unwrap();
        let group = TaskGroup::below(&token).unwrap();
        let joined = TaskBuilder::new().spawn_join(group.token().run(async { 7 })).unwrap();
        assert!(joined.is_finished());
        group.spawn(pending()).unwrap();
        group.spawn_with(TaskBuilder::new(), pending()).unwrap();
        assert_eq!((group.unfinished(), token.members()), (2, 2));
        token.cancel();
        assert_eq!((group.unfinished(), unfinished()), (0, 0));
    });
}

/// Z276. The waker of a join is called after the drop of the last body.
#[test]
fn a_join_is_woken_after_the_drop_of_the_last_body() {
    in_kernel(|| {
        let log = Log::default();
        let group = TaskGroup::new().unwrap();
        let whole = log.on_drop("body dropped");
        let body = async move {
            let _whole = whole;
            pending::<()>().await;
        };
        group.spawn(body).unwrap();
        let waker = common::logging_waker(&log, "woken");
        let mut join = Box::pin(group.join());
        let mut context = core::task::Context::from_waker(&waker);
        assert!(core::future::Future::poll(join.as_mut(), &mut context).is_pending());
        group.cancel_all();
        assert_eq!(log.take(), ["body dropped", "woken"]);
    });
}
