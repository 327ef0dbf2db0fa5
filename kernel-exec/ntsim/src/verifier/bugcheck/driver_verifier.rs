//! Bug check 0xC4, DRIVER_VERIFIER_DETECTED_VIOLATION: a constructor for each rule, by its subject.
//!
//! Documentation:
//! learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0xc4--driver-verifier-detected-violation.

pub(crate) mod documented;
pub(crate) mod irql;
pub(crate) mod locks;
pub(crate) mod objects;
pub(crate) mod pool;

extern crate alloc;

use alloc::{boxed::Box, string::String};

use super::violation;
use crate::verifier::Violation;

const DRIVER_VERIFIER_DETECTED_VIOLATION: u32 = 0xC4;

/// A violation with these parameters, the first of which names the rule.
fn detected(parameters: [u64; 4], rule: String) -> Box<Violation> {
    violation(DRIVER_VERIFIER_DETECTED_VIOLATION, parameters, rule)
}
