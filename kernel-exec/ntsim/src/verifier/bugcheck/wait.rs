//! Bug checks about a wait that must not be: 0x0C MAXIMUM_WAIT_OBJECTS_EXCEEDED and 0xB8
//! ATTEMPTED_SWITCH_FROM_DPC (learn.microsoft.com/windows-hardware/drivers/debugger/, the page of
//! each one).

extern crate alloc;

use alloc::{boxed::Box, format};

use super::violation;
use crate::verifier::Violation;

const MAXIMUM_WAIT_OBJECTS_EXCEEDED: u32 = 0x0C;
const ATTEMPTED_SWITCH_FROM_DPC: u32 = 0xB8;

/// A thread waited for more objects than the call has wait blocks for.
pub(crate) fn too_many_objects(count: u32, with_array: bool, limit: u32) -> Box<Violation> {
    let with = if with_array { "with an array of wait blocks" } else { "without an array of wait blocks" };
    let rule = format!("KeWaitForMultipleObjects for {count} objects; {with} {limit} are possible");
    violation(MAXIMUM_WAIT_OBJECTS_EXCEEDED, [0; 4], rule)
}

/// A DPC routine waited, on this thread.
pub(crate) fn in_dpc(caller: &str, thread: usize) -> Box<Violation> {
    let rule = format!("{caller} in a DPC routine, which must not wait");
    violation(ATTEMPTED_SWITCH_FROM_DPC, [thread as u64, 0, 0, 0], rule)
}
