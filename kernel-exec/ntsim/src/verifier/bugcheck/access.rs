//! Bug checks about an access to memory.
//!
//! They are 0x0A IRQL_NOT_LESS_OR_EQUAL, 0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL, 0x50
//! PAGE_FAULT_IN_NONPAGED_AREA, 0xBE ATTEMPTED_WRITE_TO_READONLY_MEMORY and 0xFC
//! ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/debugger/, the page of each one.

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::fmt::Display;

use super::violation;
use crate::verifier::Violation;

const IRQL_NOT_LESS_OR_EQUAL: u32 = 0x0A;
const DRIVER_IRQL_NOT_LESS_OR_EQUAL: u32 = 0xD1;
const PAGE_FAULT_IN_NONPAGED_AREA: u32 = 0x50;
const ATTEMPTED_WRITE_TO_READONLY_MEMORY: u32 = 0xBE;
const ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY: u32 = 0xFC;

/// The number of an execution in the third parameter of 0xD1.
const EXECUTE: u64 = 8;

/// The driver used memory that an object must not be in; `rule` says what and where.
pub(crate) fn bad_memory(address: usize, irql: u8, write: bool, rule: String) -> Box<Violation> {
    violation(DRIVER_IRQL_NOT_LESS_OR_EQUAL, [address as u64, irql.into(), write.into(), 0], rule)
}

/// The driver accessed a page of paged pool at DISPATCH_LEVEL or above.
pub(crate) fn paged_pool(address: usize, irql: u8, write: bool, place: &str) -> Box<Violation> {
    let what = if write { "written to" } else { "read" };
    let rule = format!("paged pool was {what} at IRQL {irql}{place}");
    violation(DRIVER_IRQL_NOT_LESS_OR_EQUAL, [address as u64, irql.into(), write.into(), 0], rule)
}

/// The driver used the handle of an ETW provider that is not registered.
pub(crate) fn no_registered_provider(
    handle: u64,
    irql: u8,
    caller: &str,
    name: impl Display,
) -> Box<Violation> {
    let rule = format!("{caller}: the handle {name} belongs to no registered provider");
    violation(DRIVER_IRQL_NOT_LESS_OR_EQUAL, [handle, irql.into(), 0, 0], rule)
}

/// The kernel called a null routine of the driver at DISPATCH_LEVEL or above.
pub(crate) fn null_routine(irql: u8, rule: String) -> Box<Violation> {
    violation(DRIVER_IRQL_NOT_LESS_OR_EQUAL, [0, irql.into(), EXECUTE, 0], rule)
}

/// An access faulted at DISPATCH_LEVEL or above, in a kernel call or in the driver's code.
pub(crate) fn fault_at_dispatch(
    [address, access, code]: [u64; 3],
    irql: u8,
    in_call: bool,
    what: impl Display,
) -> Box<Violation> {
    let number = if in_call { IRQL_NOT_LESS_OR_EQUAL } else { DRIVER_IRQL_NOT_LESS_OR_EQUAL };
    violation(number, [address, irql.into(), access, code], format!("{what} at IRQL {irql}"))
}

/// An access below DISPATCH_LEVEL faulted in the system's range of addresses.
pub(crate) fn fault_in_system_range(address: u64, access: u64, code: u64, rule: String) -> Box<Violation> {
    violation(PAGE_FAULT_IN_NONPAGED_AREA, [address, access, code, 0], rule)
}

/// The driver wrote to memory that is read-only.
pub(crate) fn write_to_read_only(address: u64, what: impl Display) -> Box<Violation> {
    let rule = format!("{what}: it is read-only");
    violation(ATTEMPTED_WRITE_TO_READONLY_MEMORY, [address, 0, 0, 0], rule)
}

/// The driver executed memory that is data.
pub(crate) fn execution_of_data(address: u64, what: impl Display) -> Box<Violation> {
    violation(ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, [address, 0, 0, 0], format!("{what}: it is data"))
}
