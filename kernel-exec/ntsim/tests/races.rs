//! Preemption finds races that need two processors, and only with two.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use std::rc::Rc;

use common::*;
use ntsim::{
    Schedule, Simulation, Stop,
    sync::{AtomicPtr, AtomicUsize, Ordering, UnsafeCell},
};

/// Returns whether two increments, each a load and a store, lose one.
fn loses_an_update(count: usize, seed: u64) -> bool {
    let mut kernel = Simulation::new(processors(count), Schedule::seed(seed));
    let counter = Rc::new(AtomicUsize::new(0));
    let increment = |times: usize| {
        let counter = Rc::clone(&counter);
        program(move || {
            for _ in 0..times {
                counter.store(counter.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
        })
    };
    let programs = match count {
        1 => vec![(0, increment(2))],
        _ => vec![(0, increment(1)), (1, increment(1))],
    };
    kernel.run(programs).unwrap();
    counter.load(Ordering::SeqCst) != 2
}

#[test]
fn a_lost_update_is_found_by_some_seed_with_two_processors() {
    assert!((1..200).any(|seed| loses_an_update(2, seed)));
    assert!((1..200).any(|seed| !loses_an_update(2, seed)));
}

#[test]
fn with_one_processor_nothing_is_lost() {
    assert!(!(1..200).any(|seed| loses_an_update(1, seed)));
}

#[test]
fn a_read_modify_write_loses_nothing() {
    for seed in 1..200 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let counter = Rc::new(AtomicUsize::new(0));
        let increment = || {
            let counter = Rc::clone(&counter);
            program(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| Some(old + 1)).unwrap();
            })
        };
        kernel.programs().on(0, increment()).on(1, increment()).run().unwrap();
        assert_eq!(counter.load(Ordering::SeqCst), 4);
    }
}

#[test]
fn operations_are_counted() {
    fine(|| {
        let atomic = AtomicUsize::new(3);
        assert_eq!(atomic.swap(4, Ordering::SeqCst), 3);
        assert_eq!(atomic.compare_exchange(5, 6, Ordering::SeqCst, Ordering::SeqCst), Err(4));
        assert_eq!(atomic.compare_exchange_weak(4, 6, Ordering::SeqCst, Ordering::SeqCst), Ok(4));
        assert_eq!(atomic.fetch_sub(1, Ordering::SeqCst), 6);
        assert_eq!(atomic.fetch_or(8, Ordering::SeqCst), 5);
        assert_eq!(atomic.fetch_and(12, Ordering::SeqCst), 13);
        atomic.store(1, Ordering::SeqCst);
        assert_eq!(atomic.load(Ordering::SeqCst), 1);
        let pointer = AtomicPtr::new(core::ptr::null_mut::<u8>());
        assert!(pointer.load(Ordering::SeqCst).is_null());
        let counters = ntsim::counters();
        assert_eq!((counters.rmw, counters.loads, counters.stores, counters.kernel_calls), (6, 2, 1, 0));
        assert_eq!(counters.steps, 9);
    });
}

/// Runs two processors that access a cell, each mutably or not.
fn two_accesses(seed: u64, mutable: [bool; 2]) -> Result<(), Stop> {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
    let cell = Rc::new(UnsafeCell::new(0));
    let access = |mutable: bool| {
        let cell = Rc::clone(&cell);
        program(move || {
            if mutable {
                // SAFETY: accesses that overlap end the run before their closures.
                cell.with_mut(|value| unsafe { *value += 1 });
            } else {
                // SAFETY: accesses that overlap end the run before their closures.
                cell.with(|value| _ = unsafe { *value });
            }
        })
    };
    kernel.programs().on(0, access(mutable[0])).on(1, access(mutable[1])).run()
}

#[test]
fn overlapping_accesses_of_two_processors_are_a_data_race_if_one_writes() {
    for mutable in [[true, true], [true, false], [false, true]] {
        let stop = (1..200).find_map(|seed| two_accesses(seed, mutable).err());
        let Some(Stop::Failure { oracle: "data race", message, .. }) = stop else {
            panic!("{mutable:?}: {stop:?}")
        };
        assert!(message.contains("processor 0") && message.contains("processor 1"), "{message}");
    }
    assert!((1..200).all(|seed| two_accesses(seed, [false, false]).is_ok()));
}

#[test]
fn accesses_under_a_lock_are_no_race() {
    for seed in 1..100 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let cell = Rc::new(UnsafeCell::new((0, None::<Lock>)));
        let make = Rc::clone(&cell);
        // SAFETY: only one program runs.
        kernel.run_on(0, move || make.with_mut(|value| unsafe { (*value).1 = Some(Lock::new()) })).unwrap();
        // SAFETY: no program runs.
        let lock = cell.with(|value| unsafe { (*value).1 }).unwrap();
        let access = || {
            let cell = Rc::clone(&cell);
            program(move || {
                let before = lock.acquire();
                // SAFETY: this processor holds the lock.
                cell.with_mut(|value| unsafe { (*value).0 += 1 });
                lock.release(before);
            })
        };
        kernel.programs().on(0, access()).on(1, access()).run().unwrap();
    }
}

#[test]
fn a_write_inside_an_access_of_the_same_processor_is_aliasing() {
    let nested = |outer_mutable: bool, inner_mutable: bool| {
        alone(move || {
            let cell = UnsafeCell::new(0);
            let inner = || if inner_mutable { cell.with_mut(|_| ()) } else { cell.with(|_| ()) };
            if outer_mutable { cell.with_mut(|_| inner()) } else { cell.with(|_| inner()) }
        })
    };
    assert!(nested(false, false).is_ok());
    for (outer, inner) in [(true, true), (true, false), (false, true)] {
        let stop = nested(outer, inner).unwrap_err();
        assert!(matches!(stop, Stop::Failure { oracle: "aliasing", .. }), "{stop}");
    }
}

#[test]
fn a_dpc_on_top_of_a_write_is_aliasing() {
    let found = (0..200).any(|seed| {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let cell = Rc::new(UnsafeCell::new(0));
        let (written, in_dpc) = (Rc::clone(&cell), cell);
        let write = program(move || {
            for _ in 0..10 {
                written.with_mut(|_| ());
            }
        });
        let interrupt = program(move || {
            let dpc = Dpc::new(move || in_dpc.with(|_| ()));
            dpc.importance(ntsim::types::_KDPC_IMPORTANCE::HighImportance).target(0).insert();
        });
        let stop = kernel.programs().on(0, write).on(1, interrupt).run().err();
        matches!(stop, Some(Stop::Failure { oracle: "aliasing", .. }))
    });
    assert!(found);
}

/// The one byte past the end of such a cell is in no block.
#[test]
fn a_cell_of_nothing_may_end_its_block() {
    alone(|| {
        let size = size_of::<UnsafeCell<()>>();
        assert!(size.is_multiple_of(16), "as large as what pool gives");
        let cell: *mut UnsafeCell<()> = allocate(size as u64).cast();
        // SAFETY: the memory was just allocated and is 16-byte aligned.
        unsafe { cell.write(UnsafeCell::new(())) };
        // SAFETY: the cell was just written, and is freed after this access.
        unsafe { &*cell }.with_mut(|_| ());
        free(cell);
    })
    .unwrap();
}

#[test]
fn an_access_that_a_stop_left_behind_does_not_count_later() {
    let cell = Rc::new(UnsafeCell::new(0));
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let left = Rc::clone(&cell);
    let stop = kernel.run_on(0, move || left.with_mut(|_| ntsim::fail("test", "stop".into())));
    assert!(stop.is_err());
    kernel.reset(processors(1), Schedule::round_robin());
    kernel.run_on(0, move || cell.with_mut(|_| ())).unwrap();
}

#[test]
fn outside_a_run_they_are_plain() {
    let atomic = AtomicUsize::new(1);
    assert_eq!(atomic.fetch_add(1, Ordering::SeqCst), 1);
    let cell = UnsafeCell::new(5);
    assert!(!ntsim::is_active());
    cell.with_mut(|_| cell.with_mut(|_| ()));
    assert_eq!((atomic.into_inner(), cell.into_inner()), (2, 5));
}
