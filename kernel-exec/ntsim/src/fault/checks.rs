//! Rust's own checks, which find undefined behaviour before the processor does.
//!
//! In a build with debug assertions the compiler checks a pointer before each `*pointer`, and core
//! checks the arguments of many unsafe functions. A check that fails panics without unwinding. A
//! driver on NT has no such check, so the failure ends the run as the fault would (`panics`).

extern crate alloc;

use alloc::boxed::Box;

use super::cause::Access;
use crate::{
    engine::machine::Machine,
    verifier::{Violation, bugcheck::driver_verifier::documented},
};

/// The beginnings of the messages of checks that fail.
const NULL: &str = "null pointer dereference occurred";
const ALIGNMENT: &str = "misaligned pointer dereference: ";
const OTHERS: [&str; 3] = [
    "unsafe precondition(s) violated: ",
    "trying to construct an enum from an invalid value",
    // This message is for values that are uninhabited or not initialised.
    "attempted to ",
];
/// The beginnings of the names of core's functions that panic without unwinding.
const WITHOUT_UNWINDING: [&str; 4] = [
    "core::panicking::panic_nounwind",
    "core::panicking::panic_null_pointer_dereference",
    "core::panicking::panic_misaligned_pointer_dereference",
    "core::panicking::panic_invalid_enum_construction",
];
/// The largest number of frames between the hook and the check.
const FRAMES: usize = 64;

/// Whether the panic with this message, which runs the hook, is a check's.
pub(super) fn is_check(message: &str) -> bool {
    let known =
        message == NULL || message.starts_with(ALIGNMENT) || OTHERS.iter().any(|o| message.starts_with(o));
    known && cannot_unwind()
}

/// Whether the panic that runs the hook cannot unwind. std's own answer is not stable, and any code
/// may panic with such a message.
pub(super) fn cannot_unwind() -> bool {
    let (mut found, mut frames) = (false, 0);
    backtrace::trace(|frame| {
        backtrace::resolve_frame(frame, |symbol| {
            let name = symbol.name().map(|name| alloc::format!("{name:#}")).unwrap_or_default();
            found |= WITHOUT_UNWINDING.iter().any(|function| name.starts_with(function));
        });
        frames += 1;
        !found && frames < FRAMES
    });
    found
}

/// The numbers in a message, such as `0x8`.
fn numbers(message: &str) -> impl Iterator<Item = u64> {
    message.split_whitespace().filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
}

impl Machine {
    /// The violation that a check has found at an address of the driver's code, and at a place in
    /// its source.
    pub(super) fn violation_of(&self, message: &str, place: &str, code: u64) -> Box<Violation> {
        if message == NULL {
            let mut violation = self.bad_access(0, Access::Unknown, false, code);
            violation.rule.push_str(&alloc::format!(
                "; Rust's check has found it at {place}, before the access: it does not tell a read from a write, \
                 nor the offset of a field"
            ));
            return violation;
        }
        let what = alloc::format!("{}{message}: undefined behaviour in Rust, at {place}", self.callee());
        if message.starts_with(ALIGNMENT) {
            let mut numbers = numbers(message);
            let (required, address) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            return documented::misaligned(what, address, required, code);
        }
        documented::undefined_behaviour(what, code)
    }
}
