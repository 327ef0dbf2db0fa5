//! Violations about a processor's IRQL: its changes, and calls at a wrong one.

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::fmt::Display;

use super::detected;
use crate::verifier::{Violation, irql::irql_name};

const RAISED_TO_LOWER: u64 = 0x30;
const LOWERED_TO_HIGHER: u64 = 0x31;
const WAIT: u64 = 0x3B;
const SET_EVENT: u64 = 0x80;
const CALL: u64 = 0xE5;

/// The driver raised IRQL to a lower one, or to none.
pub(crate) fn raised_to_lower(from: u8, to: u8) -> Box<Violation> {
    let (old, new) = (irql_name(from), irql_name(to));
    let rule =
        format!("IRQL was to be raised from {from} ({old}) to {to} ({new}), which is lower or not an IRQL");
    detected([RAISED_TO_LOWER, from.into(), to.into(), 0], rule)
}

/// The driver lowered IRQL to a higher one.
pub(crate) fn lowered_to_higher(from: u8, to: u8) -> Box<Violation> {
    let (old, new) = (irql_name(from), irql_name(to));
    let rule = format!("IRQL was to be lowered from {from} ({old}) to {to} ({new}), which is higher");
    detected([LOWERED_TO_HIGHER, from.into(), to.into(), 0], rule)
}

/// A DPC routine lowered IRQL below DISPATCH_LEVEL.
pub(crate) fn lowered_in_dpc(from: u8, to: u8) -> Box<Violation> {
    let rule = format!("a DPC routine lowered IRQL to {to}, below DISPATCH_LEVEL");
    detected([LOWERED_TO_HIGHER, from.into(), to.into(), 1], rule)
}

/// A thread waited above APC_LEVEL.
pub(crate) fn wait_too_high(caller: &str, irql: u8, object: usize, timeout: usize) -> Box<Violation> {
    let rule = format!("{caller} at IRQL {irql}: a thread waits at IRQL ≤ APC_LEVEL only");
    detected([WAIT, irql.into(), object as u64, timeout as u64], rule)
}

/// The driver set an event above DISPATCH_LEVEL.
pub(crate) fn event_set_too_high(irql: u8, event: usize) -> Box<Violation> {
    let rule = format!("KeSetEvent may be called at IRQL ≤ DISPATCH_LEVEL only, but was called at {irql}");
    detected([SET_EVENT, irql.into(), event as u64, 0], rule)
}

fn call(irql: u8, rule: String) -> Box<Violation> {
    detected([CALL, irql.into(), 0, 0], rule)
}

/// The driver made a call above the highest IRQL that its page states.
pub(crate) fn call_too_high(caller: &str, irql: u8, highest: u8) -> Box<Violation> {
    call(irql, format!("{caller} was called at IRQL {irql}, not ≤ {}", irql_name(highest)))
}

/// The driver made a call below DISPATCH_LEVEL that is for DISPATCH_LEVEL and above.
pub(crate) fn call_too_low(caller: &str, irql: u8) -> Box<Violation> {
    let name = irql_name(irql);
    let rule =
        format!("{caller} may be called at IRQL ≥ DISPATCH_LEVEL only, but was called at {irql} ({name})");
    call(irql, rule)
}

/// The driver printed characters of 16 bits above PASSIVE_LEVEL.
pub(crate) fn wide_text_too_high(caller: &str, irql: u8, directive: impl Display) -> Box<Violation> {
    let rule =
        format!("{caller} with {directive} may be called at PASSIVE_LEVEL only, but was called at {irql}");
    call(irql, rule)
}

/// The driver woke a task above DISPATCH_LEVEL.
pub(crate) fn wake_too_high(woken: usize, name: impl Display, irql: u8) -> Box<Violation> {
    let rule = format!("{name} was woken at IRQL {irql}, not ≤ DISPATCH_LEVEL");
    detected([CALL, irql.into(), woken as u64, 0], rule)
}
