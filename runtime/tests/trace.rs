//! Tests that log records reach the debugger if the sink's level admits them. There is one test,
//! because the image has one sink.
#![allow(clippy::unwrap_used, reason = "tests say what they mean")]

use core::fmt::Write as _;

use ntcom::trace::{Level, Line, set_sink};
use ntsim::{Config, Schedule, Simulation};

ntcom::debugger_sink!(static DEBUGGER = unsafe { ntsim::ddi::DbgPrintEx }, Level::Info);

struct Never;
impl core::fmt::Display for Never {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        unreachable!("what does not matter is not formatted")
    }
}

#[test]
fn what_matters_is_printed_and_what_does_not_is_not_even_formatted() {
    let mut kernel = Simulation::new(Config { trace: true, ..Config::default() }, Schedule::round_robin());
    let program = || {
        ntcom::log!(Level::Error, "before there is a sink: {}", Never);
        set_sink(&DEBUGGER);
        ntcom::log!(Level::Debug, "{}", Never);
        let before = ntsim::counters().allocations;
        // SAFETY: this runs at PASSIVE_LEVEL, and the IRQL is lowered below.
        let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
        let channel = 3;
        ntcom::log!(Level::Warn, "channel {channel} is 100 % {}", "slow");
        // SAFETY: `irql` is the level that the raise returned.
        unsafe { ntsim::ddi::KeLowerIrql(irql) };
        ntcom::log!(Level::Info, "{}", "x".repeat(1000));
        assert_eq!(ntsim::counters().allocations, before);
    };
    kernel.run_on(0, program).unwrap();
    let trace = kernel.trace().to_string();
    assert!(trace.contains("trace: channel 3 is 100 % slow"), "{trace}");
    assert!(trace.contains(&"x".repeat(376)) && !trace.contains(&"x".repeat(377)), "{trace}");
}

#[test]
fn a_line_is_cut_between_characters_and_has_no_null_inside() {
    let mut line = Line::new();
    write!(line, "a\0b").unwrap();
    assert_eq!(line.as_c_str(), c"a b");
    for _ in 0..200 {
        write!(line, "é").unwrap();
    }
    let text = line.as_c_str().to_str().unwrap();
    assert_eq!((text.len(), text.chars().last()), (383, Some('é')));
}

#[test]
fn nothing_follows_what_has_been_cut_off() {
    let mut line = Line::new();
    write!(line, "{}é, y", "x".repeat(382)).unwrap();
    line.write_str("z").unwrap();
    assert_eq!(line.as_c_str().to_str().unwrap(), "x".repeat(382));
}
