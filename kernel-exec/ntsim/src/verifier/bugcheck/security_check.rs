//! Bug check 0x139, KERNEL_SECURITY_CHECK_FAILURE: one constructor for each rule
//! (learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0x139--kernel-security-check-failure).
//!
//! The first parameter is the code of a fast failure.

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::fmt::Display;

use super::violation;
use crate::verifier::Violation;

const KERNEL_SECURITY_CHECK_FAILURE: u32 = 0x139;
/// A list entry of an object was corrupted.
const CORRUPT_LIST_ENTRY: u64 = 3;
/// A reference count was used wrongly.
const INVALID_REFERENCE_COUNT: u64 = 14;

fn corrupt_list(rule: String) -> Box<Violation> {
    violation(KERNEL_SECURITY_CHECK_FAILURE, [CORRUPT_LIST_ENTRY, 0, 0, 0], rule)
}

fn reference_count(rule: String) -> Box<Violation> {
    violation(KERNEL_SECURITY_CHECK_FAILURE, [INVALID_REFERENCE_COUNT, 0, 0, 0], rule)
}

/// Whether a violation is this bug check.
pub(crate) fn is(violation: &Violation) -> bool {
    violation.code == KERNEL_SECURITY_CHECK_FAILURE
}

/// The driver executed `int 29h` with a code.
pub(crate) fn fast_fail(code: u64) -> Box<Violation> {
    let rule = format!("the driver has failed fast with code {code}");
    violation(KERNEL_SECURITY_CHECK_FAILURE, [code, 0, 0, 0], rule)
}

/// The driver used memory as an object, such as `a mutex`, that it has not initialised.
pub(crate) fn not_initialised(name: impl Display, what: &str) -> Box<Violation> {
    corrupt_list(format!(
        "{name} is used as {what}, but was not initialised as one, or was moved or overwritten since"
    ))
}

/// The driver used an object of one kind as another.
pub(crate) fn wrong_kind(name: impl Display, is: &str, used_as: &str) -> Box<Violation> {
    corrupt_list(format!("{name} is a {is}, but is used as {used_as}"))
}

/// The driver initialised an object for which a thread waits.
pub(crate) fn awaited_object_initialised(
    kind: &str,
    name: impl Display,
    thread: impl Display,
) -> Box<Violation> {
    corrupt_list(format!("{kind} {name} was initialised while {thread} waits for it"))
}

/// The driver released a remove lock with a tag that it did not acquire it with.
pub(crate) fn remove_lock_tag_not_held(lock: impl Display, tag: impl Display) -> Box<Violation> {
    reference_count(format!("remove lock {lock} was released with the tag {tag}, but not acquired with it"))
}

/// The driver waited for the release of a remove lock for the second time.
pub(crate) fn remove_lock_awaited_twice(lock: impl Display) -> Box<Violation> {
    reference_count(format!("remove lock {lock} was waited for twice"))
}

/// The driver initialised a remove lock that was held.
pub(crate) fn held_remove_lock_initialised(lock: impl Display) -> Box<Violation> {
    reference_count(format!("remove lock {lock} was initialised while it was held"))
}

/// The driver used rundown protection against its protocol.
pub(crate) fn rundown(name: impl Display, what: &str) -> Box<Violation> {
    reference_count(format!("rundown protection {name}: {what}"))
}
