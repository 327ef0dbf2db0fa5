//! Kernel calls and atomics between two runs, and beyond a simulation.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, panic::AssertUnwindSafe};
use std::{panic::catch_unwind, rc::Rc};

use common::{waiting::*, *};
use ntsim::{
    Schedule, Simulation, Stop,
    sync::{AtomicUsize, Ordering},
};

/// A simulation, and what a run of it has made, which is over.
fn after_a_run<T: 'static>(make: impl FnOnce() -> T + 'static) -> (Simulation, T) {
    let made = Rc::new(Cell::new(None));
    let out = Rc::clone(&made);
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, move || out.set(Some(make()))).unwrap();
    (kernel, made.take().unwrap())
}

fn message(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    let text = panic.downcast_ref::<&str>().copied();
    text.map(String::from).or_else(|| panic.downcast_ref::<String>().cloned()).unwrap()
}

fn load(memory: *const u8) -> usize {
    // SAFETY: pool of this kernel; or it is not, and the atomic says so before it is touched.
    unsafe { &*memory.cast::<AtomicUsize>() }.load(Ordering::Relaxed)
}

#[test]
fn pool_is_freed_between_two_runs() {
    let (mut kernel, block) = after_a_run(|| allocate(16));
    assert_eq!(load(block), 0);
    free(block);
    assert_eq!(kernel.counters().live_blocks, 0);
    kernel.run(Vec::new()).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn a_free_that_is_wrong_is_the_next_runs_finding() {
    let (mut kernel, block) = after_a_run(|| allocate(16));
    free(block);
    free(block);
    let stop = kernel.run(Vec::new()).unwrap_err();
    let bug = stop.bug_check().unwrap();
    assert_eq!((bug.code, bug.parameters[0]), (0xC2, 7), "{bug}");
    assert!(bug.rule.contains("between two runs"), "{bug}");
    kernel.reset(processors(1), Schedule::round_robin());
    kernel.run(Vec::new()).unwrap();
}

#[test]
fn a_call_that_lets_a_thread_go_on_is_reported() {
    let set = |event: &Event| _ = event.set();
    let (mut kernel, event) = after_a_run(Event::notification);
    set(&event);
    let Err(Stop::Failure { oracle: "between runs", message: said, .. }) = kernel.unload() else { panic!() };
    assert!(said.contains("KeSetEvent called outside a simulation run, between two runs"), "{said}");
    assert!(said.contains("between_runs.rs:"), "{said}");
    drop(kernel);

    let (mut kernel, event) = after_a_run(Event::notification);
    set(&event);
    let said = message(|| kernel.reset(processors(1), Schedule::round_robin()));
    assert!(said.contains("KeSetEvent called"), "{said}");
    drop(kernel);

    let (kernel, event) = after_a_run(Event::notification);
    set(&event);
    let said = message(|| drop(kernel));
    assert!(said.contains("KeSetEvent called"), "{said}");
}

#[test]
fn after_a_stop_nothing_is_done_or_reported() {
    let (mut kernel, (block, event)) = after_a_run(|| (allocate(16), Event::notification()));
    kernel.run_on(0, || ntsim::fail("test", String::new())).unwrap_err();
    free(block);
    event.set();
    kernel.reset(processors(1), Schedule::round_robin());
    kernel.run(Vec::new()).unwrap();
}

#[test]
fn an_atomic_from_before_a_reset_is_refused() {
    let (mut kernel, block) = after_a_run(|| allocate(16));
    kernel.reset(processors(1), Schedule::round_robin());
    let said = message(|| _ = load(block));
    assert!(said.contains("kept beyond the reset of its simulation"), "{said}");
}

#[test]
fn an_atomic_of_an_ended_kernel_is_refused_however_many_follow() {
    let (kernel, block) = after_a_run(|| allocate(16));
    drop(kernel);
    for _ in 0..600 {
        drop(Simulation::new(processors(1), Schedule::round_robin()));
    }
    let said = message(|| _ = load(block));
    assert!(said.contains("the pool of a simulated kernel that has ended"), "{said}");
}
