//! Stops that say where in the driver an object was made, set, queued, freed or waited for.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::{waiting::*, *};
use ntsim::{Config, Schedule, Simulation, Stop, ddi, sync::UnsafeCell, types::*};

/// Returns a simulation of two processors that records the place of each event.
fn kernel(schedule: Schedule) -> Simulation {
    Simulation::new(Config { callers: true, ..processors(2) }, schedule)
}

/// Runs a program and unloads, which must end early. Returns the stop's text.
fn left(f: impl FnOnce() + 'static) -> String {
    let mut kernel = kernel(Schedule::round_robin());
    kernel.run_on(0, f).and_then(|()| kernel.unload()).unwrap_err().to_string()
}

#[test]
fn an_unload_says_where_the_timer_was_set() {
    let place = Rc::new(Cell::new(0));
    let set = Rc::clone(&place);
    let stop = left(move || {
        let timer = Timer::new();
        // SAFETY: the block has the size of a timer.
        ntsim::name(unsafe { &*timer.0 }, "retry");
        let due = LARGE_INTEGER { QuadPart: ONE };
        set.set(line!() + 2);
        // SAFETY: the timer is initialised, and has no DPC.
        unsafe { ddi::KeSetTimerEx(timer.0, due, 1000, core::ptr::null_mut()) };
    });
    let said = format!("unloaded while the timer `retry` was set at places.rs:{}", place.get());
    assert!(stop.contains(&said), "{stop}");
}

#[test]
fn a_leak_says_where_the_block_was_allocated() {
    let stop = left(|| {
        // SAFETY: this runs inside a simulation run.
        unsafe { ddi::ExAllocatePool2(POOL_FLAG_NON_PAGED, 24, TAG) };
    });
    let place = format!(" at places.rs:{}", line!() - 2);
    assert!(stop.contains(&format!("(24 bytes, tag 'Test', allocated{place})")), "{stop}");
}

#[test]
fn a_second_free_says_where_the_first_one_was() {
    let stop = left(|| {
        let block = allocate(8);
        // SAFETY: the block is not used any more.
        unsafe { ddi::ExFreePoolWithTag(block.cast(), TAG) };
        free(block);
    });
    let first = line!() - 3;
    let (_, said) = stop.split_once("freed by processor 0 at step ").expect(&stop);
    assert!(said.contains(&format!(" at places.rs:{first})")), "{stop}");
}

#[test]
fn a_race_says_where_the_other_processor_is() {
    let race = |seed| {
        let mut kernel = kernel(Schedule::seed(seed));
        let cell = Rc::new(UnsafeCell::new(0));
        let (one, other) = (Rc::clone(&cell), cell);
        let write = move || one.with_mut(|_| ntsim::preemption_point());
        let read = move || other.with(|_| ntsim::preemption_point());
        kernel.programs().on(0, write).on(1, read).run().err()
    };
    let stop = (1..100).find_map(race).unwrap().to_string();
    let (write, read) = (line!() - 5, line!() - 4);
    let said = [
        format!("while processor 0 is in with_mut at places.rs:{write}"),
        format!("while processor 1 is in with at places.rs:{read}"),
    ];
    assert!(said.iter().any(|said| stop.contains(said)), "{stop}");
}

#[test]
fn a_deadlock_says_where_each_thread_waits() {
    let mut kernel = kernel(Schedule::round_robin());
    let stop = kernel.run_on(0, || {
        let event = Event::notification();
        Thread::spawn(move || _ = wait(&event, None)).join();
    });
    let Err(Stop::Deadlock { waits }) = stop else { panic!("{stop:?}") };
    assert!(!waits.is_empty());
    for wait in waits {
        let place = wait.place.clone().unwrap_or_default();
        assert!(place.starts_with("waiting.rs:"), "{wait}");
        assert!(wait.to_string().ends_with(&format!("  [{place}]")), "{wait}");
    }
}

#[test]
fn a_run_without_callers_names_no_places() {
    let stop = alone(|| {
        let block = allocate(8);
        free(block);
        free(block);
    });
    assert!(!stop.unwrap_err().to_string().contains(" at mod.rs"));
}

#[test]
fn a_label_is_not_for_the_next_block_at_the_address() {
    let config = Config { callers: true, pool_size: 64 << 10, ..processors(1) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let run = kernel.run_on(0, || {
        let block = allocate(64);
        // SAFETY: the block has eight bytes.
        ntsim::name(unsafe { &*block.cast::<u64>() }, "old");
        free(block);
        // The pool gives freed blocks only when it has no others.
        for _ in 0..10_000 {
            let other = pool(POOL_FLAG_NON_PAGED, 64, TAG);
            let is_same = other == block;
            free(other);
            if is_same {
                return;
            }
        }
        panic!("the address is not used again");
    });
    run.unwrap();
    let trace = kernel.trace().to_string();
    let uses = trace.lines().filter(|line| line.contains("`old`"));
    assert!(uses.clone().all(|line| line.contains("ExFree") || line.contains("ExAlloc")), "{trace}");
    assert_eq!(uses.count(), 1, "the free of the first block");
}

#[test]
fn a_timeline_has_the_waits_of_threads() {
    let mut kernel = kernel(Schedule::round_robin());
    kernel
        .run_on(0, || {
            let event = Event::notification();
            let waiter = Thread::spawn(move || _ = wait(&event, None));
            delay(10 * ONE);
            event.set();
            waiter.join();
            event.free();
        })
        .unwrap();
    let folder = std::env::temp_dir().join(format!("ntsim-places-{}", std::process::id()));
    let path = folder.join("deep/waits.html");
    kernel.write_timeline(&path).unwrap();
    let page = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(page.contains("<title>waits</title>"));
    assert!(page.contains(r#"{"kind":"thread","bars":[{"#), "{page}");
    assert!(page.contains(r#""state":"waiting","label":"program 0 waits for KeDelayExecutionThread"}"#));
    assert!(page.contains(r#""place":"waiting.rs:"#));
}
