//! Bug checks of an exception without a handler: 0x1E KMODE_EXCEPTION_NOT_HANDLED, 0x3B
//! SYSTEM_SERVICE_EXCEPTION, 0x7E SYSTEM_THREAD_EXCEPTION_NOT_HANDLED and 0x7F
//! UNEXPECTED_KERNEL_MODE_TRAP.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/debugger/, the page of each one.

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::fmt::Display;

use super::violation;
use crate::verifier::Violation;

const KMODE_EXCEPTION_NOT_HANDLED: u32 = 0x1E;
const SYSTEM_SERVICE_EXCEPTION: u32 = 0x3B;
const SYSTEM_THREAD_EXCEPTION_NOT_HANDLED: u32 = 0x7E;
const UNEXPECTED_KERNEL_MODE_TRAP: u32 = 0x7F;

/// The trap of a fault during the handling of a fault.
const DOUBLE_FAULT: u64 = 8;

/// The code in which an exception was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raised {
    InSystemThread,
    InSystemService,
    Elsewhere,
}

/// A kernel call raised an exception with this status.
pub(crate) fn raised_by_call(status: i32, what: &str) -> Box<Violation> {
    let status = status.cast_unsigned();
    let rule = format!("{what}: exception {status:#x} was raised and not handled");
    violation(KMODE_EXCEPTION_NOT_HANDLED, [status.into(), 0, 0, 0], rule)
}

/// The driver's code raised an exception at the address `code`.
pub(crate) fn not_handled(
    raised: Raised,
    exception: u32,
    code: u64,
    parameters: [u64; 2],
    what: impl Display,
) -> Box<Violation> {
    let exception = u64::from(exception);
    let rule = format!("{what}: exception {exception:#x} was not handled");
    let [first, second] = parameters;
    match raised {
        Raised::InSystemThread => {
            violation(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, [exception, code, 0, 0], rule)
        }
        Raised::InSystemService => violation(SYSTEM_SERVICE_EXCEPTION, [exception, code, 0, 0], rule),
        Raised::Elsewhere => violation(KMODE_EXCEPTION_NOT_HANDLED, [exception, code, first, second], rule),
    }
}

/// The driver used more of a kernel stack than there is.
pub(crate) fn stack_overflow(rule: String) -> Box<Violation> {
    violation(UNEXPECTED_KERNEL_MODE_TRAP, [DOUBLE_FAULT, 0, 0, 0], rule)
}
