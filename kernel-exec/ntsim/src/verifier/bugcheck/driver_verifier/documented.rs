//! Violations of rules that only a call's page or the language states, with first parameters of
//! ntsim's own. `Machine::documented` asks whether the pages' rules are on.

extern crate alloc;

use alloc::{boxed::Box, format};
use core::fmt::Display;

use super::detected;
use crate::verifier::{
    Violation,
    bugcheck::numbers::{
        ABOVE_ITS_IRQL, MISALIGNED, NO_WAIT, POOL_FLAGS, PRECONDITION, SPIN_LOCK_HELD, USER_WAIT,
    },
    irql::irql_name,
};

/// The driver made a call above the IRQL that its page states.
pub(crate) fn above_its_irql(caller: &str, irql: u8, highest: u8) -> Box<Violation> {
    let rule = format!(
        "{caller} was called at IRQL {irql}, not ≤ {} as its page says; NT does not check this",
        irql_name(highest)
    );
    detected([ABOVE_ITS_IRQL, irql.into(), highest.into(), 0], rule)
}

/// The driver called code of other drivers while its processor held a spin lock.
pub(crate) fn spin_lock_held(
    caller: &str,
    lock: usize,
    name: impl Display,
    processor: usize,
) -> Box<Violation> {
    let rule = format!(
        "{caller} was called by processor {processor}, which holds the spin lock {name}: release it first"
    );
    detected([SPIN_LOCK_HELD, lock as u64, processor as u64, 0], rule)
}

/// The driver requested pool with flags that name no kind of pool or several.
pub(crate) fn pool_kinds(caller: &str, flags: u64, size: u64, tag: u32, kinds: u32) -> Box<Violation> {
    let rule = format!(
        "{caller}: NT returns NULL for the flags {flags:#x}, because {kinds} of them name a kind of pool, not one"
    );
    detected([POOL_FLAGS, flags, size, tag.into()], rule)
}

/// The driver requested pool with required flags that NT does not know.
pub(crate) fn unknown_pool_flags(
    caller: &str,
    flags: u64,
    size: u64,
    tag: u32,
    unknown: u64,
) -> Box<Violation> {
    let rule =
        format!("{caller}: NT returns NULL for the flags {flags:#x}, because NT does not know {unknown:#x}");
    detected([POOL_FLAGS, flags, size, tag.into()], rule)
}

/// The driver made a call between a release with `Wait` = TRUE and the wait that must come next.
pub(crate) fn no_wait_after_release(caller: &str, irql: u8, before: u8) -> Box<Violation> {
    let rule = format!(
        "{caller} was called after a release with Wait = TRUE, which a KeWaitXxx call must follow immediately"
    );
    detected([NO_WAIT, irql.into(), before.into(), 0], rule)
}

/// A thread waited in UserMode for a mutex.
pub(crate) fn user_wait_for_mutex(caller: &str, mutex: usize, name: impl Display) -> Box<Violation> {
    let rule = format!("{caller} with WaitMode UserMode for a mutex, which takes KernelMode: {name}");
    detected([USER_WAIT, mutex as u64, 0, 0], rule)
}

/// A thread waited in UserMode with an object or wait blocks on its stack.
pub(crate) fn user_wait_on_stack(caller: &str, address: usize, name: impl Display) -> Box<Violation> {
    let rule = format!(
        "{caller} with WaitMode UserMode with something on the thread's stack, which may be swapped out meanwhile: {name}"
    );
    detected([USER_WAIT, address as u64, 0, 0], rule)
}

/// The driver dereferenced a pointer that is not aligned, as a check of Rust's found at `code`.
pub(crate) fn misaligned(what: impl Display, address: u64, required: u64, code: u64) -> Box<Violation> {
    detected([MISALIGNED, address, required, code], format!("{what}"))
}

/// The driver did something undefined in Rust, as another check found at `code`.
pub(crate) fn undefined_behaviour(what: impl Display, code: u64) -> Box<Violation> {
    detected([PRECONDITION, code, 0, 0], format!("{what}"))
}
