//! Bug check 0x133, DPC_WATCHDOG_VIOLATION: one constructor for each rule
//! (learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0x133-dpc-watchdog-violation).

extern crate alloc;

use alloc::{boxed::Box, format};

use super::violation;
use crate::verifier::Violation;

const DPC_WATCHDOG_VIOLATION: u32 = 0x133;

/// A DPC routine ran for longer than the limit; `tick` is the clock's period.
pub(crate) fn routine_too_long(time: u64, limit: u64, tick: u64) -> Box<Violation> {
    let rule = format!("a DPC routine ran for {time} units of 100 ns, of {limit} allowed");
    violation(DPC_WATCHDOG_VIOLATION, [0, time / tick, limit / tick, 0], rule)
}

/// A processor ran DPCs without a break for longer than the limit.
pub(crate) fn queue_too_long(time: u64, limit: u64, tick: u64) -> Box<Violation> {
    let rule =
        format!("the processor ran DPCs for {time} units of 100 ns without a break, of {limit} allowed");
    violation(DPC_WATCHDOG_VIOLATION, [1, limit / tick, 0, 0], rule)
}
