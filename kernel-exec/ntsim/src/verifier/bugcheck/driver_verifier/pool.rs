//! Violations about pool: its requests, its frees, and leaks.

extern crate alloc;

use alloc::{boxed::Box, format};
use core::fmt::Display;

use super::detected;
use crate::{trace::value::Tag, verifier::Violation};

const ZERO_BYTES: u64 = 0;
const PAGED_REQUEST_IRQL: u64 = 0x01;
const REQUEST_IRQL: u64 = 0x02;
const PAGED_FREE_IRQL: u64 = 0x11;
const FREE_IRQL: u64 = 0x12;
const LEAK: u64 = 0x62;

/// The driver requested zero bytes.
pub(crate) fn zero_bytes(caller: &str, irql: u8, paged: bool, tag: u32) -> Box<Violation> {
    let rule = format!("{caller}: zero bytes were requested with tag {}", Tag(tag));
    detected([ZERO_BYTES, irql.into(), paged.into(), 0], rule)
}

/// The driver requested paged pool above APC_LEVEL.
pub(crate) fn paged_request_too_high(caller: &str, irql: u8, size: u64) -> Box<Violation> {
    let rule = format!("{caller}: paged pool was requested at IRQL {irql}, not ≤ APC_LEVEL");
    detected([PAGED_REQUEST_IRQL, irql.into(), 1, size], rule)
}

/// The driver requested pool above DISPATCH_LEVEL.
pub(crate) fn request_too_high(caller: &str, irql: u8, paged: bool, size: u64) -> Box<Violation> {
    let rule = format!("{caller}: pool was requested at IRQL {irql}, not ≤ DISPATCH_LEVEL");
    detected([REQUEST_IRQL, irql.into(), paged.into(), size], rule)
}

/// The driver freed paged pool above APC_LEVEL.
pub(crate) fn paged_free_too_high(address: usize, irql: u8, block: impl Display) -> Box<Violation> {
    let rule = format!("{block} of paged pool was freed at IRQL {irql}, not ≤ APC_LEVEL");
    detected([PAGED_FREE_IRQL, irql.into(), 1, address as u64], rule)
}

/// The driver freed pool above DISPATCH_LEVEL.
pub(crate) fn free_too_high(address: usize, irql: u8, block: impl Display) -> Box<Violation> {
    let rule = format!("{block} was freed at IRQL {irql}, not ≤ DISPATCH_LEVEL");
    detected([FREE_IRQL, irql.into(), 0, address as u64], rule)
}

/// The name of all drivers.
static NAME: &str = "driver\0";

/// The driver was unloaded and had not freed all its blocks.
pub(crate) fn leaked(count: usize, first: impl Display) -> Box<Violation> {
    let rule =
        format!("the driver was unloaded and has leaked {count} pool allocation(s), the first being {first}");
    detected([LEAK, NAME.as_ptr() as u64, 0, count as u64], rule)
}
