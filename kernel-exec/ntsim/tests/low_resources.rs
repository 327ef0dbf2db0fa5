//! Systematic low resources
//! (learn.microsoft.com/windows-hardware/drivers/devtest/systematic-low-resource-simulation).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::RefCell, hint::black_box, ptr::null_mut};
use std::rc::Rc;

use common::{io::*, waiting::*, *};
use ntsim::{Config, Schedule, Simulation, Starvation, Stop, ddi, starve, types::*};

/// Returns whether an allocation succeeds.
#[inline(never)]
fn memory_by_one() -> bool {
    give_back(pool(POOL_FLAG_NON_PAGED, 8, TAG))
}

/// Returns whether an allocation on another call stack succeeds.
#[inline(never)]
fn memory_by_another() -> bool {
    give_back(pool(POOL_FLAG_PAGED, 24, TAG))
}

fn give_back(memory: *mut u8) -> bool {
    if memory.is_null() {
        return false;
    }
    free(memory);
    true
}

fn round(kernel: &mut Simulation, f: impl FnOnce() + 'static) -> Result<(), Stop> {
    kernel.run_on(0, f)?;
    kernel.unload()
}

fn hunt(f: impl Fn() + Clone + 'static) -> Starvation {
    starve(processors(1), Schedule::round_robin, |kernel| round(kernel, f.clone()))
}

#[test]
fn each_call_stack_fails_once_and_alone() {
    let rounds = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&rounds);
    let starved = hunt(move || {
        let mut memory = Vec::new();
        // `black_box` prevents unrolling, so that there are as many call stacks as calls in the
        // source.
        for _ in 0..black_box(2) {
            memory.push(memory_by_one());
            memory.push(memory_by_another());
        }
        memory.push(memory_by_one());
        seen.borrow_mut().push(memory);
    });
    assert!(starved.finding.is_none(), "{starved:?}");
    assert_eq!(starved.call_stacks, 3);
    let round = |failed: usize| (0..5).map(|call| call != failed).collect::<Vec<_>>();
    assert_eq!(*rounds.borrow(), [round(0), round(1), round(4), round(5)]);
}

unsafe extern "C" fn allocate_in_dpc(_: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {
    memory_by_one();
}

#[inline(never)]
fn run_at_lowering(dpc: *mut KDPC) {
    let before = raise_to_dpc_level();
    insert(dpc, 0, 0);
    lower(before);
}

#[test]
fn what_a_dpc_has_interrupted_is_not_its_caller() {
    let starved = hunt(|| {
        let dpc: *mut KDPC = Box::into_raw(Box::default());
        // SAFETY: the storage is freed below, after the DPC has run.
        unsafe { ddi::KeInitializeDpc(dpc, Some(allocate_in_dpc), null_mut()) };
        run_at_lowering(dpc);
        insert(dpc, 0, 0);
        // SAFETY: the box was leaked above, and the DPC has run.
        drop(unsafe { Box::from_raw(dpc) });
    });
    assert!(starved.finding.is_none(), "{starved:?}");
    assert_eq!(starved.call_stacks, 1);
}

#[test]
fn what_the_kernel_makes_fails_too() {
    let starved = hunt(|| {
        let Some(device) = Device::try_new(8) else { return };
        let item = WorkItem::try_new(device.0);
        if !item.0.is_null() {
            item.free();
        }
        device.delete();
    });
    assert!(starved.finding.is_none(), "{starved:?}");
    assert_eq!(starved.call_stacks, 2);
}

fn leaks_where_the_second_fails() {
    let first = pool(POOL_FLAG_NON_PAGED, 8, TAG);
    if first.is_null() {
        return;
    }
    if memory_by_another() {
        free(first);
    }
}

#[test]
fn a_finding_says_which_allocation_and_replays() {
    let finding = hunt(leaks_where_the_second_fails).finding.unwrap();
    assert_eq!(finding.allocation, Some(1));
    assert!(finding.callers.contains("memory_by_another"), "{}", finding.callers);
    assert!(finding.trace.to_string().contains("memory_by_another"));
    let mut kernel = Simulation::new(processors(1), Schedule::replay(finding.recording));
    ntsim::fail_allocation(finding.allocation.unwrap());
    assert_eq!(round(&mut kernel, leaks_where_the_second_fails), Err(finding.stop));
}

#[test]
fn what_is_wrong_without_any_failure_is_a_finding_too() {
    let starved = hunt(|| _ = pool(POOL_FLAG_NON_PAGED, 8, TAG));
    assert_eq!(starved.call_stacks, 1);
    let finding = starved.finding.unwrap();
    assert!(matches!(&finding.stop, Stop::BugCheck(bug) if (bug.code, bug.parameters[0]) == (0xC4, 0x62)));
    assert_eq!((finding.allocation, finding.callers.as_str()), (None, ""));
}

#[test]
fn a_thread_that_cannot_be_made_is_one_of_them() {
    let started = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&started);
    let starved = starve(Config::default(), Schedule::round_robin, |kernel| {
        let seen = Rc::clone(&seen);
        round(kernel, move || {
            let handle = spawn_with_handle(|| ());
            seen.borrow_mut().push(!handle.is_null());
            if !handle.is_null() {
                close(handle);
            }
        })
    });
    assert!(starved.finding.is_none(), "{starved:?}");
    assert_eq!(*started.borrow(), [false, true]);
}
