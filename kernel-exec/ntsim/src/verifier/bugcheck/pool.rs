//! Bug checks about pool: 0xC1 SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION and 0xC2 BAD_POOL_CALLER
//! (learn.microsoft.com/windows-hardware/drivers/debugger/, the page of each one).

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::fmt::Display;

use super::violation;
use crate::{trace::value::Tag, verifier::Violation};

const SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION: u32 = 0xC1;
const BAD_POOL_CALLER: u32 = 0xC2;

/// The fourth parameter of 0xC1: the place of the byte that was written.
const BEFORE_BLOCK: u64 = 0x23;
const BEHIND_BLOCK: u64 = 0x24;

/// The driver wrote before the start of a block.
pub(crate) fn written_before(
    block: u64,
    byte: u64,
    described: impl Display,
    distance: usize,
) -> Box<Violation> {
    let rule = format!("{described} was written to {distance} bytes before its start");
    violation(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, [block, byte, 0, BEFORE_BLOCK], rule)
}

/// The driver wrote behind the end of a block.
pub(crate) fn written_behind(
    block: u64,
    byte: u64,
    described: impl Display,
    distance: usize,
) -> Box<Violation> {
    let rule = format!("{described} was written to {distance} bytes behind its end");
    violation(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, [block, byte, 0, BEHIND_BLOCK], rule)
}

fn not_a_block(address: usize, rule: String) -> Box<Violation> {
    violation(BAD_POOL_CALLER, [0x46, address as u64, 0, 0], rule)
}

/// The driver freed an address inside a block.
pub(crate) fn freed_inside(address: usize, block: impl Display) -> Box<Violation> {
    not_a_block(address, format!("an address inside {block}, not its start, was freed to pool"))
}

/// The driver freed an address that is not a block's.
pub(crate) fn freed_no_block(address: usize, name: impl Display) -> Box<Violation> {
    not_a_block(address, format!("{name}, which is not the address of a block, was freed to pool"))
}

/// The driver freed a block that belongs to the kernel.
pub(crate) fn freed_kernels_block(address: usize, block: impl Display) -> Box<Violation> {
    let rule = format!("{block} belongs to the kernel and was freed to pool by the driver");
    not_a_block(address, rule)
}

/// The driver freed an entry to a lookaside list that it is not from.
pub(crate) fn not_a_lookaside_entry(entry: usize, name: impl Display, list: impl Display) -> Box<Violation> {
    let rule = format!("{name} was freed to the lookaside list {list}, but is not an entry of it in use");
    not_a_block(entry, rule)
}

/// The driver freed a block twice.
pub(crate) fn freed_again(address: usize, tag: u32, block: impl Display) -> Box<Violation> {
    let rule = format!("{block} was freed again");
    violation(BAD_POOL_CALLER, [0x07, 0, tag.into(), address as u64], rule)
}

/// The driver freed a block with another tag than it was allocated with.
pub(crate) fn freed_with_wrong_tag(
    address: usize,
    tag: u32,
    wrong: u32,
    block: impl Display,
) -> Box<Violation> {
    let rule = format!("{block} was freed with the wrong tag, {}", Tag(wrong));
    violation(BAD_POOL_CALLER, [0x0A, address as u64, tag.into(), wrong.into()], rule)
}

/// The driver called ExAllocatePoolWithTag with a tag of zero.
pub(crate) fn tag_of_zero(pool_type: u64, size: u64) -> Box<Violation> {
    let rule = format!("ExAllocatePoolWithTag for {size} bytes with a tag of zero");
    violation(BAD_POOL_CALLER, [0x9B, pool_type, size, 0], rule)
}
