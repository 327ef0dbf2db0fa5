//! Bug check 0xC8, IRQL_UNEXPECTED_VALUE: one constructor for each routine that returned at another
//! IRQL (learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0xc8--irql-unexpected-value).

extern crate alloc;

use alloc::{boxed::Box, format, string::String};

use super::violation;
use crate::verifier::{Violation, irql::irql_name};

const IRQL_UNEXPECTED_VALUE: u32 = 0xC8;
const DISPATCH: u8 = 2;

/// The violation with the IRQL found, the IRQL expected, and an identifier.
fn unexpected(found: u8, expected: u8, identifier: u64, rule: String) -> Box<Violation> {
    let parameter = u64::from(found) << 16 | u64::from(expected) << 8 | identifier;
    violation(IRQL_UNEXPECTED_VALUE, [parameter, 0, 0, 0], rule)
}

/// A DPC routine returned at another IRQL than DISPATCH_LEVEL.
pub(crate) fn dpc_routine(irql: u8) -> Box<Violation> {
    let name = irql_name(irql);
    let rule = format!("a DPC routine was called at DISPATCH_LEVEL and returned at IRQL {irql} ({name})");
    unexpected(irql, DISPATCH, 2, rule)
}

/// A program or thread, as `what` names it, returned at another IRQL than PASSIVE_LEVEL.
pub(crate) fn thread(what: &str, irql: u8) -> Box<Violation> {
    let rule = format!("a {what} returned at IRQL {irql} ({}), not PASSIVE_LEVEL", irql_name(irql));
    unexpected(irql, 0, 2, rule)
}

/// A provider's enable callback returned at another IRQL than PASSIVE_LEVEL.
pub(crate) fn enable_callback(irql: u8) -> Box<Violation> {
    let name = irql_name(irql);
    let rule =
        format!("an ETW enable callback was called at PASSIVE_LEVEL and returned at IRQL {irql} ({name})");
    unexpected(irql, 0, 2, rule)
}

/// A completion routine returned at another IRQL than it was called at.
pub(crate) fn completion_routine(before: u8, after: u8) -> Box<Violation> {
    let rule = format!("a completion routine was called at IRQL {before} and returned at {after}");
    unexpected(after, before, 0, rule)
}

/// A cancel routine returned at another IRQL than the IRP's CancelIrql.
pub(crate) fn cancel_routine(before: u8, after: u8) -> Box<Violation> {
    let name = irql_name(after);
    let rule =
        format!("a cancel routine returned at IRQL {after} ({name}), but the IRP's CancelIrql was {before}");
    unexpected(after, before, 2, rule)
}
