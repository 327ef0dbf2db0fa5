//! Periodic and coalescable timers, the system clock, and KeFlushQueuedDpcs
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kesettimerex`,
//! `nf-wdm-kesetcoalescabletimer`, `nf-wdm-kequerysystemtimeprecise`, `nf-wdm-keflushqueueddpcs`).
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
use ntsim::{
    Config, Schedule, Simulation, Stop,
    types::{_KDPC_IMPORTANCE, STATUS_SUCCESS},
};

const SECOND: u64 = 10_000_000;

#[test]
fn a_periodic_timer_expires_again_and_again_until_it_is_cancelled() {
    fine(|| {
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        let (timer, dpc) = (Timer::new(), Dpc::new(move || counted.set(counted.get() + 1)));
        assert!(!timer.set_periodic(-1, 100, Some(dpc)));
        delay(-(SECOND as i64) - ONE.abs());
        assert!((9..=12).contains(&count.get()), "{}", count.get());
        assert!(timer.signalled());
        assert!(timer.cancel(), "a periodic timer is always set");
        assert!(!timer.cancel());
        flush_dpcs();
        let last = count.get();
        delay(-(SECOND as i64));
        assert_eq!(count.get(), last);
        timer.free();
        dpc.free();
    });
}

#[test]
fn a_period_does_not_drift() {
    fine(|| {
        let timer = Timer::synchronization();
        let start = interrupt_time();
        timer.set_periodic(-(SECOND as i64), 1_000, None);
        for _ in 0..100 {
            assert_eq!(wait(&timer, None), STATUS_SUCCESS);
        }
        let passed = interrupt_time() - start;
        assert!((100 * SECOND - TICK..=100 * SECOND + 2 * TICK).contains(&passed), "{passed}");
        timer.cancel();
        timer.free();
    });
}

#[test]
fn the_period_of_a_late_timer_begins_when_it_expires() {
    fine(|| {
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        let (timer, dpc) = (Timer::new(), Dpc::new(move || counted.set(counted.get() + 1)));
        let expired_in = |half_seconds: i64| {
            let before = count.get();
            delay(-(SECOND as i64) / 2 * half_seconds);
            count.get() - before
        };
        expired_in(20);
        timer.set_periodic(0, 1_000, Some(dpc));
        assert_eq!(count.get(), 1, "0 is an absolute time, of ten seconds ago");
        assert_eq!(expired_in(5), 2);
        timer.set_periodic(system_time() + 100 * SECOND as i64, 1_000, Some(dpc));
        assert_eq!(expired_in(5), 0);
        ntsim::set_system_time(1_000 * SECOND);
        assert_eq!(count.get(), 4, "now it has passed");
        assert_eq!(expired_in(5), 2);
        timer.cancel();
        flush_dpcs();
        timer.free();
        dpc.free();
    });
}

#[test]
fn setting_a_periodic_timer_as_one_shot_stops_the_period() {
    fine(|| {
        let timer = Timer::synchronization();
        timer.set_periodic(-1, 50, None);
        wait(&timer, None);
        assert!(timer.set(-1, None), "it was set");
        wait(&timer, None);
        assert_eq!(wait(&timer, Some(-(SECOND as i64))), ntsim::types::STATUS_TIMEOUT);
        assert!(!timer.cancel());
        timer.free();
    });
}

#[test]
fn a_periodic_timers_dpc_that_is_still_queued_is_not_queued_again() {
    fine(|| {
        let count = Rc::new(Cell::new(0));
        let counted = Rc::clone(&count);
        let (timer, dpc) = (Timer::new(), Dpc::new(move || counted.set(counted.get() + 1)));
        timer.set_periodic(-1, 16, Some(dpc));
        let before = raise_to_dpc_level();
        for _ in 0..10 {
            ntsim::advance_time(TICK);
        }
        assert_eq!(count.get(), 0);
        lower(before);
        assert!(count.get() >= 1);
        timer.cancel();
        flush_dpcs();
        timer.free();
        dpc.free();
    });
}

#[test]
fn a_periodic_timers_dpc_may_run_on_two_processors_at_once() {
    let mut both = false;
    for seed in 0..200 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let (inside, seen) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (running, result) = (Rc::clone(&inside), Rc::clone(&seen));
        let run = kernel.run_on(0, move || {
            let (timer, first) = (Timer::new(), Cell::new(true));
            let slot = Rc::new(Cell::new(None::<Dpc>));
            let myself = Rc::clone(&slot);
            let dpc = Dpc::new(move || {
                running.set(running.get() + 1);
                result.set(result.get() || running.get() == 2);
                if first.replace(false) {
                    myself.get().unwrap().target(1);
                    ntsim::advance_time(TICK);
                }
                for _ in 0..10 {
                    ntsim::preemption_point();
                }
                running.set(running.get() - 1);
            });
            slot.set(Some(dpc));
            timer.set_periodic(-1, 1, Some(dpc));
            delay(4 * ONE);
            timer.cancel();
            flush_dpcs();
        });
        run.unwrap();
        both |= seen.get();
    }
    assert!(both);
}

#[test]
fn freeing_a_periodic_timer_in_its_routine_is_refused_and_a_one_shot_is_not() {
    let frees = |period: i32| {
        move || {
            let timer = Timer::new();
            let dpc = Dpc::new(move || timer.free());
            timer.set_periodic(-1, period, Some(dpc));
            delay(3 * ONE);
            dpc.free();
        }
    };
    assert_eq!(code(frees(100)), (0xC7, 0));
    fine(frees(0));
}

#[test]
fn a_run_does_not_wait_for_periodic_timers_and_unload_refuses_them() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let slot = Rc::new(Cell::new(None::<Timer>));
    let made = Rc::clone(&slot);
    let load = program(move || {
        let timer = Timer::new();
        timer.set_periodic(-1, 10, None);
        made.set(Some(timer));
    });
    kernel.run_on(0, load).unwrap();
    let timer = slot.get().unwrap();
    kernel.run_on(0, move || assert_eq!(wait(&timer, None), STATUS_SUCCESS)).unwrap();
    let stop = kernel.unload_with(0, program(|| ())).unwrap_err();
    assert_eq!(stop.bug_check().unwrap().code, 0xCE);
}

#[test]
fn waiting_beside_a_periodic_timer_for_ever_meets_the_step_limit() {
    let config = Config { step_limit: 10_000, ..processors(1) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let run = kernel.run_on(0, || {
        Timer::new().set_periodic(-1, 10, None);
        wait(&Event::notification(), None);
    });
    assert!(matches!(run, Err(Stop::StepLimit { .. })), "{run:?}");
}

#[test]
fn a_negative_period_and_an_endless_delay_are_refused() {
    for refused in [
        alone(|| _ = Timer::new().set_periodic(-1, -1, None)),
        alone(|| _ = Timer::new().set_coalescable(-1, 0, u32::MAX)),
    ] {
        assert!(matches!(refused, Err(Stop::Failure { oracle: "not supported", .. })), "{refused:?}");
    }
}

#[test]
fn a_coalescable_timer_is_late_by_its_tolerance_at_most() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut kernel = Simulation::new(processors(1), Schedule::seed(seed));
        let passed = Rc::new(Cell::new(0));
        let result = Rc::clone(&passed);
        let run = kernel.run_on(0, move || {
            let (timer, start) = (Timer::new(), interrupt_time());
            timer.set_coalescable(-(SECOND as i64), 0, 1_000);
            wait(&timer, None);
            result.set(interrupt_time() - start);
            timer.free();
        });
        run.and_then(|()| kernel.unload()).unwrap();
        assert!((SECOND - TICK..=2 * SECOND + 2 * TICK).contains(&passed.get()), "{}", passed.get());
        seen.insert(passed.get() / (SECOND / 4));
    }
    assert!(seen.len() >= 4, "{seen:?}");
}

#[test]
fn a_coalescable_timer_without_tolerance_is_a_timer() {
    let trace = |coalescable: bool| {
        let mut kernel = Simulation::new(processors(1), Schedule::seed(8));
        kernel
            .run_on(0, move || {
                let timer = Timer::new();
                if coalescable {
                    timer.set_coalescable(-1, 10, 0);
                } else {
                    timer.set_periodic(-1, 10, None);
                }
                delay(5 * ONE);
                timer.cancel();
            })
            .unwrap();
        kernel.recording()
    };
    assert_eq!(trace(true), trace(false));
}

#[test]
fn absolute_times_follow_the_system_clock_and_relative_ones_do_not() {
    fine(|| {
        let day = 24 * 3_600 * SECOND;
        let (absolute, relative) = (Timer::new(), Timer::new());
        assert!(system_time() < SECOND as i64);
        absolute.set((system_time() as u64 + day) as i64, None);
        relative.set(-(day as i64), None);
        ntsim::set_system_time(day - SECOND);
        assert!(system_time() >= (day - SECOND) as i64);
        delay(-(SECOND as i64) + 5 * ONE);
        assert!(absolute.signalled(), "a second later it is tomorrow");
        assert!(!relative.signalled());
        absolute.set(system_time() + SECOND as i64, None);
        ntsim::set_system_time(0);
        delay(-(10 * SECOND as i64));
        assert!(!absolute.signalled(), "the clock was set back");
        ntsim::set_system_time(2 * day);
        assert!(absolute.signalled(), "its time has passed in the call");
        assert!(!absolute.cancel() && relative.cancel());
        absolute.free();
        relative.free();
    });
}

#[test]
fn the_time_out_of_a_wait_follows_the_system_clock() {
    fine(|| {
        let event = Event::notification();
        let waiter = Thread::spawn(move || {
            assert_eq!(wait(&event, Some((100 * SECOND) as i64)), ntsim::types::STATUS_TIMEOUT);
        });
        delay(ONE);
        ntsim::set_system_time(200 * SECOND);
        let before = interrupt_time();
        waiter.join();
        assert!(interrupt_time() - before < SECOND);
        event.free();
    });
}

#[test]
fn flushing_waits_for_dpcs_that_were_queued_on_every_processor() {
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(3), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let done = Rc::new(Cell::new(0));
            let dpcs = [0, 1, 2].map(|processor| {
                let done = Rc::clone(&done);
                let dpc = Dpc::new(move || {
                    for _ in 0..10 {
                        ntsim::preemption_point();
                    }
                    done.set(done.get() + 1);
                });
                dpc.target(processor).importance(_KDPC_IMPORTANCE::LowImportance)
            });
            dpcs.iter().for_each(|dpc| _ = dpc.insert());
            flush_dpcs();
            assert_eq!(done.get(), 3);
            flush_dpcs();
            dpcs.into_iter().for_each(Dpc::free);
        });
        run.and_then(|()| kernel.unload()).unwrap();
    }
}

#[test]
fn flushing_after_a_cancel_that_came_too_late_proves_the_end_of_the_routine() {
    for seed in 0..200 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let (timer, dpc) = (Timer::new(), Dpc::new(ntsim::preemption_point));
            timer.set(-1, Some(dpc.target(1)));
            ntsim::advance_time(TICK);
            timer.cancel();
            flush_dpcs();
            timer.free();
            dpc.free();
        });
        run.and_then(|()| kernel.unload())
            .unwrap_or_else(|stop| panic!("{seed}: {stop}\n{}", kernel.trace()));
    }
}

#[test]
fn flushing_does_not_wait_for_a_dpc_that_was_removed() {
    for seed in 0..50 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let dpc = Dpc::new(|| ()).target(1);
            let remover = Thread::spawn(move || _ = dpc.remove());
            dpc.insert();
            flush_dpcs();
            remover.join();
            dpc.free();
        });
        run.unwrap();
    }
}

#[test]
fn flushing_is_for_passive_level() {
    assert_eq!(code(|| _ = (raise(1), flush_dpcs())), (0xC4, 0xE5));
    assert_eq!(code(|| _ = Dpc::new(flush_dpcs).insert()), (0xC4, 0xE5));
}
