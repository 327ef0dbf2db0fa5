//! Rust's own checks, which find undefined behaviour before the processor does.
//!
//! In a build with debug assertions the compiler checks a pointer before each `*pointer`, and core
//! checks the arguments of many unsafe functions. A check that fails panics without unwinding: std
//! calls the panic hook and then `abort`. A driver on NT has no such check, so the failure ends the
//! run here, as the fault would.
//!
//! The thread cannot leave its coroutine inside of the hook, because std holds a lock while the
//! hook runs. So `FailedCheck` keeps the finding, and the hook returns. The handler of the signal
//! that `abort` sends then makes the thread leave its coroutine, as after a fault. POSIX allows a
//! handler of that signal not to return.

extern crate alloc;

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::any::Any;
use std::{
    panic::{PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook},
    path::Path,
    sync::Once,
};

use super::{
    cause::Access,
    frames::{MAX_FRAMES, is_own, lines_of},
    state::CheckFailure,
};
use crate::{
    engine::machine::{Machine, active},
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

/// Puts ntsim's hook in front of the present one, once in a process. A hook that is set later
/// replaces it.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    if cfg!(not(panic = "unwind")) || std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            let machine = active();
            if !machine.is_some_and(|machine| machine.note_check(panic)) {
                before(panic);
            }
            if let Some(machine) = machine {
                // The frames of a panic that the driver catches are not its own.
                machine.now.disturb();
            }
        }));
    });
}

/// The message of a panic.
fn message(payload: &dyn Any) -> Option<&str> {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Whether the panic that runs the hook cannot unwind. std's own answer is not stable, and any code
/// may panic with such a message.
fn cannot_unwind() -> bool {
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

/// Takes the panic that runs the hook out of std's count, because that panic never ends. std counts
/// the end of a panic that a hook raises, but not its beginning. Returns whether this thread has no
/// other panic.
fn forget_panic() -> bool {
    let caught = catch_unwind(|| resume_unwind(Box::new(())));
    caught.is_err() && !std::thread::panicking()
}

/// The numbers in a message, such as `0x8`.
fn numbers(message: &str) -> impl Iterator<Item = u64> {
    message.split_whitespace().filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
}

impl Machine {
    /// Keeps the finding of a check in the driver's code. Returns false for any other panic.
    fn note_check(&self, panic: &PanicHookInfo<'_>) -> bool {
        let Some(message) = message(panic.payload()) else { return false };
        let of_a_check = message == NULL
            || message.starts_with(ALIGNMENT)
            || OTHERS.iter().any(|o| message.starts_with(o));
        let here = core::ptr::from_ref(&message).addr();
        if !of_a_check || !self.is_on_stack(here) || !self.can_leave() || !cannot_unwind() || !forget_panic()
        {
            return false;
        }
        let (mut code, mut backtrace) = (0, Vec::new());
        self.walk(|frame| {
            lines_of(frame.ip().addr(), &mut backtrace);
            if code == 0 && !backtrace.is_empty() {
                code = frame.ip().addr() as u64;
            }
            backtrace.len() < MAX_FRAMES
        });
        let place = panic.location().filter(|place| !is_own(Path::new(place.file())));
        let place = place.map(ToString::to_string).or_else(|| backtrace.first().cloned());
        let place = place.unwrap_or_default();
        let found = CheckFailure { message: String::from(message), place, code, backtrace };
        self.exit_stack.failed_check().0.replace(Some(found));
        true
    }

    /// Ends the run with the finding of a check.
    pub(super) fn check_failed(&self) -> ! {
        let found = self.exit_stack.failed_check().0.take();
        // The handler of the signal has seen that there is a finding.
        let Some(found) = found else { std::process::abort() };
        let violation = self.violation_of(&found);
        self.bug_check_with(violation, found.backtrace)
    }

    fn violation_of(&self, CheckFailure { message, place, code, .. }: &CheckFailure) -> Box<Violation> {
        if message == NULL {
            let mut violation = self.bad_access(0, Access::Unknown, false, *code);
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
            return documented::misaligned(what, address, required, *code);
        }
        documented::undefined_behaviour(what, *code)
    }
}
