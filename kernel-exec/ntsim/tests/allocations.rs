//! The number of allocations that a run makes on the host does not depend on its length.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers too")]

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
};
use std::alloc::System;

use ntsim::{Config, Program, Schedule, Simulation};

struct Counting;

std::thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work; the count beside it does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on to the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `memory` and `layout` is passed on to the system's
        // allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_switch_allocates_nothing() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let mut run = |points: u64| {
        let config = Config { processors: 3, step_limit: 10_000_000, ..Config::default() };
        kernel.reset(config, Schedule::seed(1));
        let spin = || -> Program { Box::new(move || (0..points).for_each(|_| ntsim::preemption_point())) };
        let before = COUNT.get();
        kernel.programs().on(0, spin()).on(1, spin()).on(2, spin()).run().unwrap();
        (COUNT.get() - before, kernel.counters().switches)
    };
    // The longest run is first, so that the list of decisions grows only there.
    run(100_000);
    let (short, few) = run(100);
    let (long, many) = run(100_000);
    assert!(many > few + 10_000, "{few} and {many} switches");
    assert_eq!(short, long);
}
