//! Bug check 0xCE, DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS
//! (learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0xce--driver-unloaded-without-cancelling-pending-operations).

extern crate alloc;

use alloc::{boxed::Box, format};

use super::violation;
use crate::verifier::Violation;

const DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS: u32 = 0xCE;

/// The driver was unloaded while something of its own, at this address, was pending.
pub(crate) fn pending(address: usize, what: &str) -> Box<Violation> {
    let rule = format!("the driver was unloaded while {what}");
    violation(DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS, [address as u64, 0, 0, 0], rule)
}
