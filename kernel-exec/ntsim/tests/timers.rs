//! Timer rules (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kesettimer,
//! `nf-wdm-kecanceltimer`).
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::*;
use ntsim::{Config, Schedule, Simulation};

#[test]
fn a_timer_is_set_set_again_and_cancelled() {
    fine(|| {
        let timer = Timer::new();
        assert!(!timer.cancel(), "not set");
        assert!(!timer.set(-1_000, None));
        assert!(timer.set(-2_000, None), "set again: cancelled implicitly");
        assert!(timer.cancel());
        assert!(!timer.cancel());
        assert!(!timer.signalled());
        timer.free();
    });
}

#[test]
fn it_expires_at_a_clock_tick_and_then_is_signalled() {
    fine(|| {
        let timer = Timer::new();
        timer.set(-10, None);
        assert!(!timer.signalled());
        ntsim::advance_time(TICK);
        assert!(timer.signalled());
        assert!(!timer.cancel(), "it has expired");
        assert!(!timer.set(-10, None), "it was not set");
        assert!(!timer.signalled(), "setting resets the state");
        timer.cancel();
        timer.free();
    });
}

#[test]
fn its_dpc_runs_at_dispatch_level_on_the_processor_that_set_it() {
    let mut kernel = Simulation::new(processors(2), Schedule::round_robin());
    let log = Log::default();
    let shared = log.clone();
    let run = kernel.run_on(1, move || {
        let timer = Timer::new();
        let dpc =
            Dpc::new(move || shared.add(format!("on {} at {}", ntsim::current_processor(), ntsim::irql())));
        timer.set(-1, Some(dpc));
    });
    run.unwrap();
    assert_eq!(log.lines(), ["on 1 at 2"]);
}

#[test]
fn its_dpc_runs_on_the_processor_that_the_dpc_targets() {
    let mut kernel = Simulation::new(processors(3), Schedule::round_robin());
    let log = Log::default();
    let shared = log.clone();
    let run = kernel.run_on(0, move || {
        let timer = Timer::new();
        let dpc = Dpc::new(move || shared.add(format!("on {}", ntsim::current_processor()))).target(2);
        timer.set(-1, Some(dpc));
    });
    run.unwrap();
    assert_eq!(log.lines(), ["on 2"]);
}

#[test]
fn while_nothing_can_run_the_clock_jumps_to_the_next_timer() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let hour = 36_000_000_000_i64;
    kernel
        .run_on(0, move || {
            let (timer, late) = (Timer::new(), Timer::new());
            timer.set(-hour, None);
            late.set(-2 * hour, None);
        })
        .unwrap();
    let time = kernel.virtual_time();
    assert!(time >= 2 * hour as u64 && time < 2 * hour as u64 + 2 * TICK, "{time}");
    assert!(kernel.counters().steps < 100);
}

#[test]
fn relative_time_counts_from_the_last_tick_and_may_be_a_period_early() {
    let mut earliest = u64::MAX;
    for byte in 0..16 {
        let mut kernel = Simulation::new(processors(1), Schedule::bytes(vec![byte]));
        let shortest = Rc::new(Cell::new(0));
        let measured = Rc::clone(&shortest);
        kernel
            .run_on(0, move || {
                let timer = Timer::new();
                ntsim::advance_time(10 * TICK - 1_000);
                let start = interrupt_time();
                timer.set(-(TICK.cast_signed()), None);
                while !timer.signalled() {
                    ntsim::advance_time(100);
                }
                measured.set(interrupt_time() - start);
                timer.free();
            })
            .unwrap();
        earliest = earliest.min(shortest.get());
        assert!(shortest.get() <= 2 * TICK);
    }
    assert!(earliest < TICK, "{earliest}");
}

#[test]
fn absolute_time_is_the_clock_of_the_simulation() {
    fine(|| {
        let timer = Timer::new();
        timer.set((5 * TICK).cast_signed(), None);
        ntsim::advance_time(4 * TICK);
        assert!(!timer.signalled());
        ntsim::advance_time(TICK);
        assert!(timer.signalled());
        timer.free();
    });
}

#[test]
fn an_absolute_time_that_has_passed_is_due_in_the_call() {
    fine(|| {
        ntsim::advance_time(TICK);
        for due in [0, TICK.cast_signed()] {
            let ran = Rc::new(Cell::new(false));
            let in_dpc = Rc::clone(&ran);
            let (timer, dpc) = (Timer::new(), Dpc::new(move || in_dpc.set(true)));
            assert!(!timer.set(due, Some(dpc)));
            assert!(timer.signalled() && ran.get());
            let before = raise_to_dpc_level();
            ran.set(false);
            timer.set(due, Some(dpc));
            assert!(timer.signalled() && !ran.get(), "the DPC waits for a lower IRQL");
            lower(before);
            assert!(ran.get());
            timer.free();
            dpc.free();
        }
    });
}

#[test]
fn cancelling_after_expiry_is_false_and_the_dpc_still_runs() {
    fine(|| {
        let ran = Rc::new(Cell::new(false));
        let in_dpc = Rc::clone(&ran);
        let (timer, dpc) = (Timer::new(), Dpc::new(move || in_dpc.set(true)));
        let before = raise_to_dpc_level();
        timer.set(-1, Some(dpc));
        ntsim::advance_time(TICK);
        assert!(!timer.cancel());
        assert!(!ran.get());
        lower(before);
        assert!(ran.get());
        timer.free();
        dpc.free();
    });
}

#[test]
fn cancelling_before_expiry_is_true_and_the_dpc_never_runs() {
    fine(|| {
        let (timer, dpc) = (Timer::new(), Dpc::new(|| ntsim::fail("test", "ran".into())));
        timer.set(-1, Some(dpc));
        assert!(timer.cancel());
        ntsim::advance_time(3 * TICK);
        timer.free();
        dpc.free();
    });
}

#[test]
fn between_expiry_and_call_its_dpc_may_be_in_no_queue() {
    let mut seen = [false; 2];
    for byte in [0, 1] {
        // The first byte chooses the tick's phase.
        let mut kernel = Simulation::new(processors(1), Schedule::bytes(vec![0, byte]));
        let removed = Rc::new(Cell::new(None));
        let (found, ran) = (Rc::clone(&removed), Rc::new(Cell::new(false)));
        let in_dpc = Rc::clone(&ran);
        let run = kernel.run_on(0, move || {
            let (timer, dpc) = (Timer::new(), Dpc::new(move || in_dpc.set(true)));
            let before = raise_to_dpc_level();
            timer.set(-1, Some(dpc));
            ntsim::advance_time(TICK);
            found.set(Some(dpc.remove()));
            lower(before);
            timer.free();
            dpc.free();
        });
        run.unwrap();
        let removed = removed.get().unwrap();
        assert_eq!(ran.get(), !removed, "FALSE proves nothing");
        seen[usize::from(removed)] = true;
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn a_one_shots_routine_may_free_the_timer() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let run = kernel.run_on(0, || {
        let timer = Timer::new();
        let slot = Rc::new(Cell::new(None::<Dpc>));
        let myself = Rc::clone(&slot);
        let dpc = Dpc::new(move || {
            timer.free();
            free(myself.get().unwrap().dpc);
        });
        slot.set(Some(dpc));
        timer.set(-1, Some(dpc));
    });
    run.and_then(|()| kernel.unload()).unwrap();
}

#[test]
fn a_timer_that_was_not_initialised_is_refused() {
    assert_eq!(code(|| _ = Timer(object()).set(-1, None)), (0xC7, 0));
}

#[test]
fn initialising_a_set_timer_is_refused() {
    let again = |set: bool| {
        move || {
            let timer = Timer::new();
            if set {
                timer.set(-1, None);
            }
            timer.initialize();
            timer.free();
        }
    };
    assert_eq!(code(again(true)), (0xC7, 0));
    fine(again(false));
}

#[test]
fn pool_that_holds_a_set_timer_must_not_be_freed() {
    let freed = |cancelled: bool| {
        move || {
            let timer = Timer::new();
            timer.set(-1_000_000, None);
            if cancelled {
                assert!(timer.cancel());
            }
            timer.free();
        }
    };
    assert_eq!(code(freed(false)), (0xC7, 0));
    fine(freed(true));
}

#[test]
fn pool_that_holds_a_set_timers_dpc_must_not_be_freed() {
    let bug = bug(|| {
        let (timer, dpc) = (Timer::new(), Dpc::new(|| ()));
        timer.set(-1_000_000, Some(dpc));
        dpc.free();
    });
    assert_eq!(bug.code, 0xC7);
    assert!(bug.rule.contains("the DPC of a set timer"), "{}", bug.rule);
}

#[test]
fn a_timers_dpc_is_not_also_queued_by_hand() {
    let by_hand_after = || {
        let (timer, dpc) = (Timer::new(), Dpc::new(|| ()));
        timer.set(-1, Some(dpc));
        dpc.insert();
    };
    let by_hand_before = || {
        let (timer, dpc) = (Timer::new(), Dpc::new(|| ()));
        dpc.insert();
        timer.set(-1, Some(dpc));
    };
    assert_eq!(code(by_hand_after), (0xC7, 1));
    assert_eq!(code(by_hand_before), (0xC7, 1));
    fine(|| {
        let (timer, dpc) = (Timer::new(), Dpc::new(|| ()));
        dpc.insert();
        dpc.initialize();
        timer.set(-1, Some(dpc));
        ntsim::advance_time(2 * TICK);
        timer.free();
        dpc.free();
    });
}

/// A driver sets its timer again in its timer's DPC, without end.
#[test]
fn a_run_waits_for_timers_no_longer_than_it_is_told() {
    let config = Config { linger: 10 * TICK, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::seed(1));
    let expired = Rc::new(Cell::new(0));
    let timer = Rc::new(Cell::new(None));
    let (count, set) = (Rc::clone(&expired), Rc::clone(&timer));
    let start = move || {
        let timer = Timer::new();
        set.set(Some(timer));
        let again = Rc::new(Cell::new(None));
        let inside = Rc::clone(&again);
        let dpc = Dpc::new(move || {
            count.set(count.get() + 1);
            timer.set(-(TICK as i64), inside.get());
        });
        again.set(Some(dpc));
        timer.set(-(TICK as i64), Some(dpc));
    };
    kernel.run_on(0, start).unwrap();
    let after_first = expired.get();
    assert!((4..=10).contains(&after_first), "{after_first} times in 10 ticks");
    kernel.run_on(0, || ()).unwrap();
    assert!(expired.get() > after_first, "the next run goes on with it");
    assert_eq!(kernel.unload().unwrap_err().bug_check().unwrap().code, 0xCE);
}

#[test]
fn a_timer_that_is_overwritten_while_set_is_noticed_when_it_is_set_or_cancelled() {
    for cancel in [false, true] {
        let bug = bug(move || {
            let timer = Timer::new();
            timer.set(-1_000, None);
            // SAFETY: both blocks are live and as large as a KTIMER.
            unsafe { timer.0.copy_from_nonoverlapping(Timer::new().0, 1) };
            if cancel { _ = timer.cancel() } else { _ = timer.set(-2_000, None) }
        });
        assert_eq!((bug.code, bug.parameters[0]), (0xC7, 0));
        assert!(bug.rule.contains("overwritten while it was queued"), "{}", bug.rule);
    }
}

#[test]
fn timers_that_are_cancelled_hold_no_run_up() {
    fine(|| {
        let timers: Vec<_> = (0..6).map(|_| Timer::new()).collect();
        for (timer, tick) in timers.iter().zip(1..) {
            timer.set(-(tick * TICK as i64), None);
        }
        for timer in &timers[1..4] {
            assert!(timer.cancel());
        }
        ntsim::advance_time(10 * TICK);
        let signalled: Vec<_> = timers.iter().map(|timer| timer.signalled()).collect();
        assert_eq!(signalled, [true, false, false, false, true, true]);
        timers.into_iter().for_each(Timer::free);
    });
}
