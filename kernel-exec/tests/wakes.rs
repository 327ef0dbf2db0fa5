//! Tests that the simulated kernel checks each wake for IRQL ≤ DISPATCH_LEVEL, whether or not it
//! has anything to queue.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::task::Waker;

use common::Event;
use ntcom_exec::{CancelHandle, Signal, spawn_dpc_task_cancellable};
use ntsim::{Config, Schedule, Simulation, Stop, ddi};

/// A waiting task, with its handle, its waker and a signal.
struct Waiting {
    task: CancelHandle,
    waker: Waker,
    signal: Signal,
}

/// Spawns a task that waits, and calls `f` with it at an IRQL.
fn at(irql: u8, f: impl FnOnce(&Waiting) + 'static) -> Result<(), Stop> {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run_on(0, move || {
        let event = Event::default();
        let task = spawn_dpc_task_cancellable(event.wait()).unwrap();
        let waiting = Waiting { task, waker: event.take_waker().unwrap(), signal: Signal::new() };
        // SAFETY: called in a run.
        let before = unsafe { ddi::KfRaiseIrql(irql) };
        f(&waiting);
        // SAFETY: `before` is the value that the raise returned.
        unsafe { ddi::KeLowerIrql(before) };
        waiting.task.cancel();
    })?;
    kernel.unload()
}

fn only_up_to_dispatch_level(f: impl FnOnce(&Waiting) + Clone + 'static) {
    for irql in 0..=2 {
        at(irql, f.clone()).unwrap_or_else(|stop| panic!("{irql}: {stop}"));
    }
    match at(3, f) {
        Err(Stop::BugCheck(bug)) => assert_eq!((bug.code, &bug.parameters[..2]), (0xC4, &[0xE5, 3][..])),
        other => panic!("{other:?}"),
    }
}

#[test]
fn by_reference() {
    only_up_to_dispatch_level(|waiting| waiting.waker.wake_by_ref());
}

#[test]
fn by_value() {
    only_up_to_dispatch_level(|waiting| {
        let waker = waiting.waker.clone();
        waker.wake();
    });
}

#[test]
fn a_wake_that_changes_nothing() {
    only_up_to_dispatch_level(|waiting| {
        waiting.task.cancel();
        waiting.waker.wake_by_ref();
    });
}

#[test]
fn a_cancel() {
    only_up_to_dispatch_level(|waiting| waiting.task.cancel());
}

#[test]
fn a_signal_without_a_waiter() {
    only_up_to_dispatch_level(|waiting| waiting.signal.set());
}
