//! Ends runs in which the driver has used more of a stack than it may.

extern crate alloc;

use alloc::{string::String, vec::Vec};

use super::stack::{MULTIPLE, limit, size};
use crate::{
    engine::machine::Machine, kernel::thread::ThreadName, verifier::bugcheck::exception::stack_overflow,
};

/// Ends the run because the driver has used more bytes of a stack than the limit.
#[cold]
pub(crate) fn stack_overrun(machine: &Machine, depth: usize) -> ! {
    let limit = limit(machine.config.get().stack);
    let what = alloc::format!("has used {depth} bytes of its kernel stack, which has {limit}");
    double_fault(machine, &what, machine.backtrace())
}

/// Ends the run because the driver has written beyond its stack, between two kernel calls.
#[cold]
pub(crate) fn stack_overrun_unseen(machine: &Machine) -> ! {
    let limit = limit(machine.config.get().stack);
    let what = alloc::format!(
        "has used more than the {limit} bytes of its kernel stack, in a routine that made no kernel call there"
    );
    double_fault(machine, &what, machine.backtrace())
}

/// Ends the run because the driver has run into the guard below its stack.
pub(crate) fn guard_touched(machine: &Machine, backtrace: Vec<String>) -> ! {
    let limit = limit(machine.config.get().stack);
    let most = size(machine.config.get().stack);
    let what = alloc::format!("has run off its kernel stack, which has {limit} bytes: of the host's, {most}");
    double_fault(machine, &what, backtrace)
}

fn double_fault(machine: &Machine, what: &str, backtrace: Vec<String>) -> ! {
    let owner = if machine.cpu().in_dpc.get() {
        alloc::format!("a DPC routine on processor {}", machine.current.get())
    } else {
        alloc::format!("{}", ThreadName::of(machine.thread()))
    };
    let multiple = match MULTIPLE {
        1 => String::new(),
        _ => alloc::format!(" times {MULTIPLE}, for a build that is not optimised"),
    };
    let rule = alloc::format!("{owner} {what} (Config::stack{multiple})");
    machine.bug_check_with(stack_overflow(rule), backtrace)
}
