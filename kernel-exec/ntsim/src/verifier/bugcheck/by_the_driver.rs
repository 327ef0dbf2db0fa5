//! The driver's own bug check.

extern crate alloc;

use alloc::{boxed::Box, string::String};

use super::violation;
use crate::verifier::Violation;

/// The driver called KeBugCheckEx.
pub(crate) fn called(code: u32, parameters: [u64; 4]) -> Box<Violation> {
    violation(code, parameters, String::from("the driver called KeBugCheckEx"))
}
