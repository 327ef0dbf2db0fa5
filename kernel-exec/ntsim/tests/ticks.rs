//! The length of the clock's ticks, and the expiry of timers and time-outs at them
//! (learn.microsoft.com/windows-hardware/drivers/kernel/timer-accuracy).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::{collections::BTreeSet, rc::Rc};

use common::{waiting::*, *};
use ntsim::{Config, Schedule, Simulation};

const TICKS: [u64; 4] = [1_000, 5_000, 156_250, 10_000_000];

/// Returns the results of a program that measures with a clock of this tick, for many seeds.
fn measured(tick: u64, measure: impl Fn() -> u64 + Clone + 'static) -> BTreeSet<u64> {
    let one = |seed| {
        let config = Config { tick, step_time: 0, ..processors(1) };
        let mut kernel = Simulation::new(config, Schedule::seed(seed));
        let (result, measure) = (Rc::new(Cell::new(0)), measure.clone());
        let outcome = Rc::clone(&result);
        let run = kernel.run_on(0, move || outcome.set(measure()));
        run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("{stop}"));
        result.get()
    };
    (0..30).map(one).collect()
}

fn now() -> u64 {
    let mut counter = 0;
    // SAFETY: the argument is valid.
    unsafe { ntsim::ddi::KeQueryInterruptTimePrecise(&raw mut counter) }
}

#[test]
fn a_delay_ends_at_the_first_tick_after_its_time() {
    for tick in TICKS {
        let delayed = measured(tick, move || {
            // The program first waits for a tick.
            delay(-1);
            let before = now();
            delay(-(3 * tick as i64));
            now() - before
        });
        assert_eq!(delayed, BTreeSet::from([3 * tick]), "{tick}");
        let part = measured(tick, move || {
            delay(-1);
            let before = now();
            delay(-(2 * tick as i64 + 1));
            now() - before
        });
        assert_eq!(part, BTreeSet::from([3 * tick]), "{tick}");
    }
}

#[test]
fn where_in_the_period_the_ticks_are_is_a_choice_of_the_schedule() {
    for tick in TICKS {
        let first = measured(tick, || {
            delay(-1);
            now()
        });
        assert!(first.len() > 3 && first.iter().all(|time| *time <= tick), "{first:?}");
    }
}

#[test]
fn a_timer_has_expired_when_the_clock_was_advanced_by_its_time_and_two_ticks() {
    for tick in TICKS {
        let expired = measured(tick, move || {
            let timer = Timer::new();
            timer.set(-70_000, None);
            ntsim::advance_time(70_000 + 2 * tick);
            let signalled = timer.signalled();
            timer.free();
            signalled.into()
        });
        assert_eq!(expired, BTreeSet::from([1]));
    }
}

#[test]
#[should_panic(expected = "Config::tick is 999 units of 100 ns, not 1,000 to 10,000,000")]
fn a_tick_that_is_too_short_is_refused() {
    Simulation::new(Config { tick: 999, ..Config::default() }, Schedule::round_robin());
}
