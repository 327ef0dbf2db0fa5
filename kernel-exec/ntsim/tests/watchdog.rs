//! The calls that tell a processor its time at DISPATCH_LEVEL
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keshouldyieldprocessor and
//! nf-wdm-kequerydpcwatchdoginformation).
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
    Config, Schedule, Simulation, ddi,
    types::{KDPC_WATCHDOG_INFORMATION, STATUS_SUCCESS, STATUS_UNSUCCESSFUL},
};

fn should_yield() -> bool {
    // SAFETY: this runs inside a simulation run.
    let answer = unsafe { ddi::KeShouldYieldProcessor() };
    assert!(answer <= 1, "LOGICAL: 0 or 1");
    answer == 1
}

fn watchdog() -> (i32, KDPC_WATCHDOG_INFORMATION) {
    let mut information = KDPC_WATCHDOG_INFORMATION { Reserved: 7, ..Default::default() };
    // SAFETY: the pointer is valid for a write.
    let status = unsafe { ddi::KeQueryDpcWatchdogInformation(&raw mut information) };
    (status, information)
}

#[test]
fn a_dpc_is_advised_to_let_the_processor_go_after_a_while_of_the_drain() {
    fine(|| {
        // Two DPCs run in one drain. The second begins when the first has used up the time.
        let (first, second) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
        let answers = Rc::clone(&first);
        let one = Dpc::new(move || {
            let before = should_yield();
            ntsim::advance_time(1_000);
            answers.set(Some((before, should_yield())));
        });
        let answer = Rc::clone(&second);
        let two = Dpc::new(move || answer.set(Some(should_yield())));
        let irql = raise(DISPATCH);
        assert!(one.insert() && two.insert());
        lower(irql);
        assert_eq!((first.get(), second.get()), (Some((false, true)), Some(true)));
        assert!(two.insert());
        assert_eq!(second.get(), Some(false), "another drain");
        one.free();
        two.free();
    });
}

#[test]
fn a_thread_at_dispatch_level_is_advised_to_lower_the_irql_after_a_while() {
    fine(|| {
        ntsim::advance_time(5_000);
        let irql = raise(DISPATCH);
        assert!(!should_yield(), "what was before the raise does not count");
        ntsim::advance_time(1_000);
        assert!(should_yield());
        let higher = raise(5);
        assert!(should_yield(), "a raise from DISPATCH_LEVEL begins nothing anew");
        lower(higher);
        lower(irql);
        let irql = raise(DISPATCH);
        assert!(!should_yield());
        lower(irql);
    });
}

#[test]
fn the_time_is_the_configurations() {
    let config = Config { yield_after: 10_000, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let outcome = kernel.run_on(0, || {
        let irql = raise(DISPATCH);
        ntsim::advance_time(9_000);
        assert!(!should_yield());
        ntsim::advance_time(2_000);
        assert!(should_yield());
        lower(irql);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn below_dispatch_level_nothing_is_to_be_asked() {
    let bug = bug(|| _ = should_yield());
    assert_eq!((bug.code, bug.parameters), (0xC4, [0xE5, 0, 0, 0]));
    assert!(bug.rule.contains("KeShouldYieldProcessor"), "{}", bug.rule);
}

#[test]
fn the_watchdog_says_what_is_left_in_a_dpc_and_fails_below() {
    fine(|| {
        let (status, information) = watchdog();
        assert_eq!((status, information.Reserved), (STATUS_UNSUCCESSFUL, 7), "and writes nothing");
        let seen = Rc::new(Cell::new(None));
        let answer = Rc::clone(&seen);
        let busy = Dpc::new(|| ntsim::advance_time(1_000));
        let asks = Dpc::new(move || answer.set(Some(watchdog())));
        let irql = raise(DISPATCH);
        let (status, idle) = watchdog();
        assert_eq!(status, STATUS_SUCCESS, "no DPC runs, and this is DISPATCH_LEVEL");
        assert_eq!((idle.DpcTimeLimit, idle.DpcTimeCount), (1_000_000_000, 1_000_000_000));
        assert!(busy.insert() && asks.insert());
        lower(irql);
        let (status, information) = seen.get().unwrap();
        assert_eq!((status, information.Reserved), (STATUS_SUCCESS, 0));
        assert_eq!(information.DpcWatchdogLimit, 1_000_000_000);
        let (single, all) = (information.DpcTimeCount, information.DpcWatchdogCount);
        assert!(single < 1_000_000_000 && single > 999_999_900, "its own time: {single}");
        assert!(all < single - 999 && all > single - 1_100, "that of the drain: {all}, {single}");
        busy.free();
        asks.free();
    });
}

#[test]
fn a_watchdog_that_is_off_has_no_limits() {
    let config = Config { dpc_watchdog: 0, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let outcome = kernel.run_on(0, || {
        let dpc = Dpc::new(|| {
            let (_, information) = watchdog();
            assert_eq!((information.DpcTimeLimit, information.DpcWatchdogLimit), (0, 0));
        });
        assert!(dpc.insert());
        dpc.free();
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn the_time_of_a_drain_is_told_in_dpcs_only() {
    fine(|| {
        assert_eq!(ntsim::drain(), None);
        let seen = Rc::new(Cell::new(None));
        let inside = Rc::clone(&seen);
        let dpc = Dpc::new(move || {
            ntsim::advance_time(500);
            inside.set(ntsim::drain().map(|drain| drain.time));
        });
        assert!(dpc.insert());
        assert!(matches!(seen.get(), Some(500..600)), "{seen:?}");
        dpc.free();
    });
}
