//! Special pool and forced IRQL checking
//! (learn.microsoft.com/windows-hardware/drivers/devtest/special-pool and `force-irql-checking`).
//! Without AddressSanitizer only these see plain accesses.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "sanitizer")))]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, hint::black_box};
use std::rc::Rc;

use common::{waiting::*, *};
use ntsim::{BugCheck, Config, Program, Schedule, Simulation, Stop, types::*};

fn special(count: usize) -> Config {
    Config { special_pool: true, ..processors(count) }
}

fn run(programs: Vec<(usize, Program)>, seed: u64) -> Result<(), Stop> {
    let mut kernel = Simulation::new(special(2), Schedule::seed(seed));
    kernel.run(programs)?;
    kernel.unload()
}

fn good(f: impl FnOnce() + 'static) {
    run(vec![(0, program(f))], 1).unwrap_or_else(|stop| panic!("{stop}"));
}

fn fault(f: impl FnOnce() + 'static) -> BugCheck {
    match run(vec![(0, program(f))], 1) {
        Err(Stop::BugCheck(bug)) => bug,
        other => panic!("no bug check, but {other:?}"),
    }
}

fn read(memory: *mut u8, distance: usize) {
    black_box(peek(memory, distance));
}

#[test]
fn freed_memory_cannot_be_read_or_written() {
    let read_freed = fault(|| {
        let memory = allocate(100);
        free(memory);
        read(memory, 40);
    });
    assert_eq!((read_freed.code, read_freed.parameters[1]), (0xCC, 0));
    assert!(
        read_freed.rule.contains("freed pool was read at +0x28 of block0 (100 bytes"),
        "{}",
        read_freed.rule
    );
    let written = fault(|| {
        let memory = allocate(100);
        free(memory);
        poke(memory, 99);
    });
    assert_eq!((written.code, written.parameters[1]), (0xCC, 1));
}

#[test]
fn memory_behind_a_block_cannot_be_touched() {
    for size in [16, 32, 4096, 8000] {
        good(move || {
            let memory = allocate(size);
            poke(memory, 0);
            poke(memory, size as isize - 1);
            read(memory, size as usize - 1);
            free(memory);
        });
        // A block larger than a page begins with a page, so the guard page follows the last of its
        // pages.
        let end = size.next_multiple_of(16).next_multiple_of(if size > 4096 { 4096 } else { 16 });
        let bug = fault(move || read(allocate(size), end as usize));
        assert_eq!((bug.code, bug.parameters[1]), (0xCD, 0), "{size}");
        let bug = fault(move || poke(allocate(size), end as isize));
        assert_eq!((bug.code, bug.parameters[1]), (0xCD, 1), "{size}");
    }
}

#[test]
fn what_is_behind_an_odd_block_in_its_page_is_seen_at_its_free() {
    let bug = fault(|| {
        let memory = allocate(20);
        poke(memory, 20);
        free(memory);
    });
    assert_eq!((bug.code, bug.parameters[3]), (0xC1, 0x24));
    let bug = fault(|| {
        let memory = allocate(20);
        poke(memory, -1);
        free(memory);
    });
    assert_eq!((bug.code, bug.parameters[3]), (0xC1, 0x23));
}

fn paged() -> *mut u8 {
    pool(POOL_FLAG_PAGED, 64, TAG)
}

#[test]
fn paged_pool_is_for_low_irql() {
    good(|| {
        let (memory, other) = (paged(), paged());
        let before = raise(1);
        poke(memory, 0);
        lower(before);
        let before = raise_to_dpc_level();
        lower(before);
        read(memory, 0);
        poke(other, 63);
        free(memory);
        free(other);
    });
    let bug = fault(|| {
        let memory = paged();
        poke(memory, 0);
        raise_to_dpc_level();
        read(memory, 0);
    });
    assert_eq!((bug.code, bug.parameters[1], bug.parameters[2]), (0xD1, 2, 0));
    let in_dpc = fault(|| {
        let memory = paged();
        poke(memory, 0);
        let dpc = Dpc::new(move || poke(memory, 0));
        dpc.insert();
    });
    assert_eq!((in_dpc.code, in_dpc.parameters[1], in_dpc.parameters[2]), (0xD1, 2, 1));
}

#[test]
fn paged_pool_is_closed_by_the_irql_of_the_running_processor() {
    let high_faults = |high: bool, seed: u64| {
        let shared = Rc::new(Cell::new(core::ptr::null_mut()));
        let (mine, yours) = (Rc::clone(&shared), shared);
        let low = move || {
            mine.set(paged());
            for _ in 0..20 {
                poke(mine.get(), 1);
                ntsim::preemption_point();
            }
        };
        let other = move || {
            let before = raise_to_dpc_level();
            for _ in 0..20 {
                ntsim::preemption_point();
                if high && !yours.get().is_null() {
                    read(yours.get(), 1);
                }
            }
            lower(before);
        };
        let mut kernel = Simulation::new(special(2), Schedule::seed(seed));
        kernel.programs().on(0, low).on(1, other).run()
    };
    let mut found = 0;
    for seed in 0..20 {
        high_faults(false, seed).unwrap();
        found += u32::from(matches!(high_faults(true, seed), Err(Stop::BugCheck(bug)) if bug.code == 0xD1));
    }
    assert!(found > 10, "{found} of 20");
}

#[test]
fn memory_is_used_again_when_there_is_no_other() {
    good(|| {
        for round in 0..3_000_u32 {
            let memory = allocate(64);
            poke(memory, 0);
            free(memory);
            assert!(!memory.is_null(), "{round}");
        }
    });
}

#[test]
fn a_reset_opens_everything() {
    let mut kernel = Simulation::new(special(1), Schedule::round_robin());
    for round in 0..3 {
        let config = if round == 1 { processors(1) } else { special(1) };
        kernel.reset(config, Schedule::round_robin());
        let run = kernel.run_on(0, || {
            let memory = allocate(64);
            free(memory);
            let memory = paged();
            free(memory);
            allocate(9_000);
        });
        run.unwrap();
        assert!(matches!(kernel.unload(), Err(Stop::BugCheck(bug)) if bug.parameters[0] == 0x62));
    }
}

#[test]
fn it_works_on_the_stacks_of_other_threads() {
    let bug = fault(|| {
        let memory = allocate(64);
        free(memory);
        Thread::spawn(move || read(memory, 0)).join();
    });
    assert_eq!(bug.code, 0xCC);
    let in_another_thread_of_the_host = std::thread::spawn(|| {
        let mut bugs = Vec::new();
        for _ in 0..10 {
            bugs.push(fault(|| {
                let memory = allocate(64);
                free(memory);
                poke(memory, 0);
            }));
        }
        bugs.iter().all(|bug| bug.code == 0xCC)
    });
    assert!(in_another_thread_of_the_host.join().unwrap());
}
