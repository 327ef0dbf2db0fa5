//! Bug checks about freed memory: 0xCC PAGE_FAULT_IN_FREED_SPECIAL_POOL and 0xCD
//! PAGE_FAULT_BEYOND_END_OF_ALLOCATION (learn.microsoft.com/windows-hardware/drivers/debugger/, the
//! page of each one).

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::{fmt::Display, ops::Range};

use super::violation;
use crate::verifier::Violation;

const PAGE_FAULT_IN_FREED_SPECIAL_POOL: u32 = 0xCC;
const PAGE_FAULT_BEYOND_END_OF_ALLOCATION: u32 = 0xCD;

const READ: u64 = 0;
const WRITE: u64 = 1;

fn freed(address: u64, access: u64, rule: String) -> Box<Violation> {
    violation(PAGE_FAULT_IN_FREED_SPECIAL_POOL, [address, access, 0, 0], rule)
}

/// The words for an access.
fn words(write: bool) -> &'static str {
    if write { "written to" } else { "read" }
}

/// The driver read or wrote a page of a freed block; `place` is the byte in the block.
pub(crate) fn page_accessed(address: usize, write: bool, place: &str) -> Box<Violation> {
    freed(address as u64, write.into(), format!("freed pool was {}{place}", words(write)))
}

/// The driver read or wrote the page behind a block.
pub(crate) fn page_behind_accessed(address: usize, write: bool, place: &str) -> Box<Violation> {
    let rule = format!("memory behind a block was {}{place}", words(write));
    violation(PAGE_FAULT_BEYOND_END_OF_ALLOCATION, [address as u64, write.into(), 0, 0], rule)
}

/// The driver wrote to a block after it had freed it.
pub(crate) fn written_after_free(address: u64, block: impl Display, at: usize) -> Box<Violation> {
    freed(address, WRITE, format!("{block} was written to at +{at:#x} after it was freed"))
}

/// The driver freed a block with a lookaside list in it.
pub(crate) fn freed_with_lookaside_list(
    block: impl Display,
    memory: &Range<usize>,
    list: usize,
) -> Box<Violation> {
    let at = list - memory.start;
    freed(list as u64, WRITE, format!("{block} was freed with the lookaside list at +{at:#x}"))
}

/// The driver freed a block with an object in it for which a thread waits.
pub(crate) fn freed_with_awaited_object(
    block: impl Display,
    memory: &Range<usize>,
    object: usize,
    thread: impl Display,
) -> Box<Violation> {
    let at = object - memory.start;
    let rule = format!("{block} was freed while {thread} waits for the object at +{at:#x}");
    freed(object as u64, WRITE, rule)
}

/// The driver waited for a thread to which it has no reference.
pub(crate) fn awaited_thread_released(address: usize, thread: impl Display) -> Box<Violation> {
    let rule = format!("{thread} was waited for after the last reference to it was released");
    freed(address as u64, READ, rule)
}

fn lookaside(list: usize, name: impl Display, what: &str) -> Box<Violation> {
    freed(list as u64, WRITE, format!("{name} {what}"))
}

/// The driver initialised a lookaside list that is one already.
pub(crate) fn lookaside_list_initialised_again(list: usize, name: impl Display) -> Box<Violation> {
    lookaside(list, name, "was initialised, but is a lookaside list already")
}

/// The driver used memory that is not a lookaside list as one.
pub(crate) fn not_a_lookaside_list(list: usize, name: impl Display) -> Box<Violation> {
    lookaside(list, name, "is used as a lookaside list, but is not one")
}

/// The driver deleted a lookaside list with entries in use.
pub(crate) fn lookaside_list_deleted_in_use(list: usize, name: impl Display) -> Box<Violation> {
    lookaside(list, name, "is a lookaside list that was deleted with entries in use")
}
