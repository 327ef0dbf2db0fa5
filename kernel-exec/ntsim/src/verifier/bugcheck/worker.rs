//! Bug checks about work items: 0xE1 WORKER_THREAD_RETURNED_AT_BAD_IRQL and 0xE4 WORKER_INVALID
//! (learn.microsoft.com/windows-hardware/drivers/debugger/, the page of each one).

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::{fmt::Display, ops::Range};

use super::violation;
use crate::verifier::{Violation, irql::irql_name};

const WORKER_THREAD_RETURNED_AT_BAD_IRQL: u32 = 0xE1;
const WORKER_INVALID: u32 = 0xE4;

/// The first parameter of 0xE4.
mod kind {
    pub(super) const FREED: u64 = 0;
    pub(super) const ALREADY_QUEUED: u64 = 1;
    pub(super) const DELETED_WHILE_QUEUED: u64 = 2;
    pub(super) const WRONG_OBJECT: u64 = 3;
    pub(super) const NO_SUCH_QUEUE: u64 = 6;
    pub(super) const INVALID: u64 = 7;
}

fn invalid(kind: u64, item: usize, third: u64, fourth: u64, rule: String) -> Box<Violation> {
    violation(WORKER_INVALID, [kind, item as u64, third, fourth], rule)
}

/// The driver freed a block with a queued work item in it.
pub(crate) fn freed_with_queued_item(
    block: impl Display,
    memory: &Range<usize>,
    item: usize,
) -> Box<Violation> {
    let at = item - memory.start;
    let rule = format!("{block} was freed with the work item at +{at:#x} in its queue");
    invalid(kind::FREED, item, memory.start as u64, memory.end as u64, rule)
}

/// The driver queued or initialised a work item that is queued.
pub(crate) fn already_queued(item: usize, name: impl Display, action: &str) -> Box<Violation> {
    let rule = format!("the work item {name} was {action} while it was queued");
    invalid(kind::ALREADY_QUEUED, item, 0, 0, rule)
}

/// The driver freed or uninitialised a work item that is queued.
pub(crate) fn deleted_while_queued(
    item: usize,
    name: impl Display,
    action: &str,
    routine: usize,
) -> Box<Violation> {
    let rule = format!("the work item {name} was {action} while it was queued");
    invalid(kind::DELETED_WHILE_QUEUED, item, routine as u64, 0, rule)
}

/// The driver initialised a work item for something that is neither a device nor the driver.
pub(crate) fn made_for_no_device(
    item: usize,
    name: impl Display,
    object: usize,
    object_name: impl Display,
) -> Box<Violation> {
    let rule =
        format!("the work item {name} was made for {object_name}, which is neither a device nor the driver");
    invalid(kind::WRONG_OBJECT, item, object as u64, 0, rule)
}

/// The driver freed a work item that it has initialised itself.
pub(crate) fn freed_but_not_allocated(item: usize, name: impl Display) -> Box<Violation> {
    let rule = format!("the work item {name} is from IoInitializeWorkItem, but was freed by IoFreeWorkItem");
    invalid(kind::WRONG_OBJECT, item, 0, 0, rule)
}

/// The driver uninitialised a work item that was allocated for it.
pub(crate) fn uninitialised_but_allocated(item: usize, name: impl Display) -> Box<Violation> {
    let rule =
        format!("the work item {name} is from IoAllocateWorkItem, but was passed to IoUninitializeWorkItem");
    invalid(kind::WRONG_OBJECT, item, 0, 0, rule)
}

/// The driver queued a work item to a queue that does not exist.
pub(crate) fn no_such_queue(item: usize, caller: &str, queue: i32) -> Box<Violation> {
    let rule = format!("{caller} with queue {queue}, which is not a WORK_QUEUE_TYPE");
    invalid(kind::NO_SUCH_QUEUE, item, queue as u64, 0, rule)
}

/// The driver used memory that is not a work item as one.
pub(crate) fn not_a_work_item(item: usize, name: impl Display) -> Box<Violation> {
    let rule =
        format!("{name} is used as a work item, but was not initialised as one, or was overwritten since");
    invalid(kind::INVALID, item, 0, 0, rule)
}

/// The driver queued a work item without a routine.
pub(crate) fn no_routine(item: usize, name: impl Display, caller: &str, queue: usize) -> Box<Violation> {
    let rule = format!("{caller}: the work item {name} has no routine");
    invalid(kind::INVALID, item, queue as u64, 0, rule)
}

/// A work item's routine returned at another IRQL than PASSIVE_LEVEL.
pub(crate) fn returned_at_bad_irql(routine: usize, irql: u8, context: usize, item: usize) -> Box<Violation> {
    let rule =
        format!("a work item's routine returned at IRQL {irql} ({}), not PASSIVE_LEVEL", irql_name(irql));
    let parameters = [routine as u64, irql.into(), context as u64, item as u64];
    violation(WORKER_THREAD_RETURNED_AT_BAD_IRQL, parameters, rule)
}
