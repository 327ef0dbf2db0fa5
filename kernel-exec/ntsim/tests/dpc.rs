//! DPC rules (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keinsertqueuedpc and
//! learn.microsoft.com/windows-hardware/drivers/kernel/organization-of-dpc-queues).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::*;
use ntsim::{
    Schedule, Simulation, Stop,
    types::{_KDPC_IMPORTANCE::*, KDPC, PVOID, STATUS_INVALID_PARAMETER},
};

#[test]
fn below_dispatch_level_it_runs_before_the_insertion_returns() {
    fine(|| {
        let log = Log::default();
        let in_dpc = log.clone();
        let dpc = Dpc::with_arguments(move |first, second| {
            in_dpc.add(format!("routine {first} {second} at {} dpc {}", ntsim::irql(), ntsim::in_dpc()));
        });
        assert!(dpc.insert_with(5, 7));
        log.add(format!("returned at {} dpc {}", ntsim::irql(), ntsim::in_dpc()));
        dpc.free();
        assert_eq!(log.lines(), ["routine 5 7 at 2 dpc true", "returned at 0 dpc false"]);
    });
}

#[test]
fn at_dispatch_level_it_is_held_off_until_irql_drops_below() {
    fine(|| {
        let log = Log::default();
        let in_dpc = log.clone();
        let dpc = Dpc::new(move || in_dpc.add("routine"));
        let before = raise(15);
        assert!(dpc.insert());
        lower(DISPATCH);
        ntsim::preemption_point();
        log.add("still at DISPATCH_LEVEL");
        lower(before);
        log.add("lowered");
        dpc.free();
        assert_eq!(log.lines(), ["still at DISPATCH_LEVEL", "routine", "lowered"]);
    });
}

#[test]
fn inserting_a_queued_dpc_changes_nothing() {
    fine(|| {
        let log = Log::default();
        let in_dpc = log.clone();
        let dpc = Dpc::with_arguments(move |first, _| in_dpc.add(first.to_string()));
        let before = raise_to_dpc_level();
        assert!(dpc.insert_with(1, 0));
        assert!(!dpc.insert_with(2, 0));
        lower(before);
        dpc.free();
        assert_eq!(log.lines(), ["1"], "the first arguments win, and it runs once");
    });
}

#[test]
fn it_leaves_its_queue_before_its_routine_runs() {
    fine(|| {
        let runs = Rc::new(Cell::new(0));
        let slot = Rc::new(Cell::new(None::<Dpc>));
        let (counted, myself) = (Rc::clone(&runs), Rc::clone(&slot));
        let dpc = Dpc::new(move || {
            counted.set(counted.get() + 1);
            if counted.get() < 3 {
                // A DPC that inserts itself does not yield, because it runs again in the same
                // drain.
                assert!(myself.get().unwrap().insert());
            }
        });
        slot.set(Some(dpc));
        dpc.insert();
        assert_eq!(runs.get(), 3);
        dpc.free();
    });
}

#[test]
fn high_importance_goes_to_the_head_the_others_to_the_tail() {
    fine(|| {
        let log = Log::default();
        let named = |name: &'static str| {
            let log = log.clone();
            Dpc::new(move || log.add(name))
        };
        let (medium, low) = (named("medium"), named("low").importance(LowImportance));
        let (high, medium_high) =
            (named("high").importance(HighImportance), named("medium high").importance(MediumHighImportance));
        let before = raise_to_dpc_level();
        for dpc in [medium, low, medium_high, high] {
            dpc.insert();
        }
        lower(before);
        assert_eq!(log.lines(), ["high", "medium", "low", "medium high"]);
        for dpc in [medium, low, medium_high, high] {
            dpc.free();
        }
    });
}

#[test]
fn low_importance_on_the_own_processor_is_now_or_later() {
    let mut seen = [false; 2];
    for byte in [0, 1] {
        let mut kernel = Simulation::new(processors(1), Schedule::bytes(vec![byte]));
        let now = Rc::new(Cell::new(false));
        let result = Rc::clone(&now);
        let run = kernel.run_on(0, move || {
            let ran = Rc::new(Cell::new(false));
            let in_dpc = Rc::clone(&ran);
            let dpc = Dpc::new(move || in_dpc.set(true)).importance(LowImportance);
            dpc.insert();
            result.set(ran.get());
            lower(raise_to_dpc_level());
            assert!(ran.get(), "later is when IRQL drops");
            dpc.free();
        });
        run.unwrap();
        seen[usize::from(now.get())] = true;
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn a_late_dpc_does_not_wait_for_ever() {
    let mut kernel = Simulation::new(processors(1), Schedule::bytes(vec![0]));
    let run = kernel.run_on(0, || {
        let ran = Rc::new(Cell::new(false));
        let in_dpc = Rc::clone(&ran);
        let dpc = Dpc::new(move || in_dpc.set(true)).importance(LowImportance);
        dpc.insert();
        assert!(!ran.get());
        while !ran.get() {
            ntsim::preemption_point();
        }
        dpc.free();
    });
    run.unwrap();
    assert!(kernel.virtual_time() >= TICK);
}

#[test]
fn an_idle_processor_runs_what_targets_it() {
    for importance in [LowImportance, MediumImportance, HighImportance, MediumHighImportance] {
        let mut kernel = Simulation::new(processors(3), Schedule::round_robin());
        let log = Log::default();
        let shared = log.clone();
        let run = kernel.run_on(0, move || {
            let in_dpc = shared.clone();
            let dpc = Dpc::new(move || in_dpc.add(format!("on {}", processor_number())));
            dpc.importance(importance).target(2).insert();
        });
        run.unwrap();
        assert_eq!(log.lines(), ["on 2"]);
        assert!(kernel.unload().is_err(), "the DPC was never freed");
    }
}

#[test]
fn high_importance_interrupts_another_processor_at_its_next_point() {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(1));
    let slot = Rc::new(Cell::new(None::<Dpc>));
    let (give, take) = (Rc::clone(&slot), slot);
    let log = Log::default();
    let busy = log.clone();
    let run = kernel
        .programs()
        .on(0, move || {
            let in_dpc = log.clone();
            let dpc = Dpc::new(move || in_dpc.add("routine")).importance(HighImportance).target(1);
            give.set(Some(dpc));
            dpc.insert();
        })
        .on(1, move || {
            while busy.lines().is_empty() {
                ntsim::preemption_point();
            }
            take.get().unwrap().free();
        })
        .run();
    run.unwrap();
    assert!(kernel.virtual_time() < TICK, "it did not wait for a tick");
    kernel.unload().unwrap();
}

#[test]
fn overlapped_runs_on_two_processors_happen() {
    let overlapped = (0..200).any(|seed| {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let (inside, overlap) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (slot, seen) = (Rc::new(Cell::new(None::<Dpc>)), Rc::clone(&overlap));
        let queue = |slot: Rc<Cell<Option<Dpc>>>| {
            program(move || {
                while slot.get().is_none() {
                    ntsim::preemption_point();
                }
                slot.get().unwrap().insert();
            })
        };
        let (first, second) = (Rc::clone(&slot), Rc::clone(&slot));
        let make = program(move || {
            let dpc = Dpc::new(move || {
                inside.set(inside.get() + 1);
                for _ in 0..20 {
                    ntsim::preemption_point();
                }
                overlap.set(overlap.get() || inside.get() == 2);
                inside.set(inside.get() - 1);
            });
            slot.set(Some(dpc));
        });
        kernel.run_on(0, make).unwrap();
        kernel.programs().on(0, queue(first)).on(1, queue(second)).run().unwrap();
        seen.get()
    });
    assert!(overlapped);
}

#[test]
fn a_target_is_checked_and_does_not_move_a_queued_dpc() {
    let mut kernel = Simulation::new(processors(2), Schedule::round_robin());
    let log = Log::default();
    let shared = log.clone();
    let run = kernel.run_on(0, move || {
        let dpc = Dpc::new(move || shared.add(format!("on {}", ntsim::current_processor())));
        assert_eq!(dpc.try_target(2), STATUS_INVALID_PARAMETER);
        let before = raise_to_dpc_level();
        dpc.insert();
        dpc.target(1);
        lower(before);
        dpc.free();
    });
    run.unwrap();
    assert_eq!(log.lines(), ["on 0"]);
}

#[test]
fn a_dpc_that_was_not_initialised_is_refused() {
    let memory = || insert(object(), 0, 0);
    assert_eq!(code(move || _ = memory()), (0xC7, 1));
}

#[test]
fn initialising_a_queued_dpc_is_refused() {
    let again = |queued: bool| {
        move || {
            let dpc = Dpc::new(|| ());
            let before = raise_to_dpc_level();
            if queued {
                dpc.insert();
            }
            dpc.initialize();
            lower(before);
            dpc.free();
        }
    };
    assert_eq!(code(again(true)), (0xC7, 1));
    fine(again(false));
}

#[test]
fn pool_that_holds_a_queued_dpc_must_not_be_freed() {
    let bug = bug(|| {
        let dpc = Dpc::new(|| ());
        raise_to_dpc_level();
        dpc.insert();
        dpc.free();
    });
    assert_eq!((bug.code, bug.parameters[0]), (0xC7, 1));
    assert!(
        bug.rule.contains("block0 (64 bytes, tag 'Test') was freed with the DPC at +0x0"),
        "{}",
        bug.rule
    );
}

#[test]
fn a_queued_dpc_is_seen_wherever_in_a_block_it_is() {
    unsafe extern "C" fn nothing(_: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {}
    let used = |at: usize, freed_queued: bool| {
        move || {
            let block = allocate(256);
            let dpc: *mut KDPC = block.wrapping_add(at).cast();
            // SAFETY: the address is in the block.
            unsafe { ntsim::ddi::KeInitializeDpc(dpc, Some(nothing), core::ptr::null_mut()) };
            let before = raise_to_dpc_level();
            insert(dpc, 0, 0);
            if freed_queued {
                free(block);
            }
            lower(before);
            free(block);
        }
    };
    for at in [0, 16, 0x70, 192] {
        let bug = bug(used(at, true));
        assert_eq!((bug.code, bug.parameters[0]), (0xC7, 1));
        assert!(bug.rule.contains(&format!("with the DPC at +{at:#x} in")), "{}", bug.rule);
        fine(used(at, false));
    }
}

#[test]
fn a_dpc_in_freed_pool_is_refused() {
    let used = |freed: bool| {
        move || {
            let dpc = Dpc::new(|| ());
            if freed {
                free(dpc.dpc);
            }
            dpc.insert();
            dpc.free();
        }
    };
    let bug = bug(used(true));
    assert_eq!((bug.code, bug.parameters[0]), (0xC7, 1));
    assert!(bug.rule.contains("freed by processor 0"), "{}", bug.rule);
    fine(used(false));
}

#[test]
fn a_dpc_that_is_overwritten_while_queued_is_noticed() {
    assert_eq!(
        code(|| {
            let dpc = Dpc::new(|| ());
            let before = raise_to_dpc_level();
            dpc.insert();
            // SAFETY: the block is live and as large as a KDPC.
            unsafe { dpc.dpc.write(KDPC::default()) };
            lower(before);
        }),
        (0xC7, 1)
    );
}

#[test]
fn a_routine_returns_at_the_irql_it_was_called_at() {
    assert_eq!(code(|| _ = Dpc::new(|| _ = raise(5)).insert()), (0xC8, 5 << 16 | 2 << 8 | 2));
    fine(|| {
        let dpc = Dpc::new(|| lower(raise(5).min(5)));
        dpc.insert();
        dpc.free();
    });
}

#[test]
fn a_routine_must_not_go_below_dispatch_level() {
    let bug = bug(|| _ = Dpc::new(|| lower(0)).insert());
    assert_eq!((bug.code, bug.parameters), (0xC4, [0x31, 2, 0, 1]));
}

#[test]
fn a_routine_that_never_stops_reinserting_meets_the_watchdog() {
    let config = ntsim::Config { dpc_watchdog: 5_000, ..processors(1) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let slot = Rc::new(Cell::new(None::<Dpc>));
    let stop = kernel.run_on(0, move || {
        let myself = Rc::clone(&slot);
        let dpc = Dpc::new(move || _ = myself.get().unwrap().insert());
        slot.set(Some(dpc));
        dpc.insert();
    });
    let Err(Stop::BugCheck(bug)) = stop else { panic!("{stop:?}") };
    assert_eq!((bug.code, bug.parameters[0]), (0x133, 1));
    assert!(kernel.counters().steps < 6_000, "{:?}", kernel.counters());
}

#[test]
fn a_routine_that_takes_too_long_meets_the_watchdog() {
    let routine = |time: u64| {
        move || {
            let dpc = Dpc::new(move || ntsim::advance_time(time));
            dpc.insert();
            dpc.free();
        }
    };
    assert_eq!(code(routine(2_000_000_000)), (0x133, 0));
    fine(routine(1_000));
}

#[test]
fn a_routine_that_keeps_a_spin_lock_is_refused() {
    assert_eq!(
        code(|| {
            let lock = Lock::new();
            Dpc::new(move || lock.acquire_at_dpc_level()).insert();
        }),
        (0xC4, 0x1006)
    );
}
