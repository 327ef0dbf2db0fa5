//! Bug check 0xC7, TIMER_OR_DPC_INVALID: one constructor for each rule
//! (learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0xc7--timer-or-dpc-invalid).

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::{fmt::Display, ops::Range};

use super::violation;
use crate::verifier::Violation;

const TIMER_OR_DPC_INVALID: u32 = 0xC7;
/// The bytes of a KTIMER, and of a KDPC.
const OBJECT_SIZE: u64 = 64;

/// The object that the rule is about, with its number in the first parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Timer = 0,
    Dpc = 1,
}

/// The first parameter for a DPC's routine.
const ROUTINE: u64 = 2;

/// The violation for an object at an address, where the object itself is the memory checked.
fn object(kind: Object, address: usize, rule: String) -> Box<Violation> {
    let start = address as u64;
    violation(TIMER_OR_DPC_INVALID, [kind as u64, start, start, start + OBJECT_SIZE], rule)
}

/// The violation for an object in a larger range of memory.
fn object_in(kind: Object, address: usize, memory: &Range<usize>, rule: String) -> Box<Violation> {
    let parameters = [kind as u64, address as u64, memory.start as u64, memory.end as u64];
    violation(TIMER_OR_DPC_INVALID, parameters, rule)
}

/// The driver used memory that is not a DPC as one.
pub(crate) fn not_a_dpc(address: usize, name: impl Display) -> Box<Violation> {
    let rule =
        format!("{name} is used as a DPC, but KeInitializeDpc has not made it one, or it was overwritten");
    object(Object::Dpc, address, rule)
}

/// The driver used memory that is not a timer as one.
pub(crate) fn not_a_timer(address: usize, name: impl Display) -> Box<Violation> {
    let rule = format!(
        "{name} is used as a timer, but KeInitializeTimer(Ex) has not made it one, or it was overwritten"
    );
    object(Object::Timer, address, rule)
}

/// The driver overwrote an object while it was queued.
pub(crate) fn overwritten_while_queued(kind: Object, address: usize, name: impl Display) -> Box<Violation> {
    let what = match kind {
        Object::Timer => "timer",
        Object::Dpc => "DPC",
    };
    object(kind, address, format!("the {what} {name} was overwritten while it was queued"))
}

/// The driver initialised a timer that was set.
pub(crate) fn set_timer_initialized(address: usize, name: impl Display) -> Box<Violation> {
    object(Object::Timer, address, format!("a timer was initialised while it was set: {name}"))
}

/// The driver initialised a timer for which a thread waits.
pub(crate) fn awaited_timer_initialized(
    address: usize,
    thread: impl Display,
    name: impl Display,
) -> Box<Violation> {
    let rule = format!("a timer was initialised while {thread} waits for it: {name}");
    object(Object::Timer, address, rule)
}

/// The driver set a timer with a DPC that it had queued by hand.
pub(crate) fn queued_dpc_used_with_timer(address: usize, name: impl Display) -> Box<Violation> {
    let rule = format!("the DPC {name} is used with a timer, but was queued by hand before");
    object(Object::Dpc, address, rule)
}

/// The driver queued a DPC that it uses with a timer.
pub(crate) fn timer_dpc_queued_by_hand(address: usize, name: impl Display) -> Box<Violation> {
    let rule = format!("the DPC {name} was queued by hand, but is used with a timer");
    object(Object::Dpc, address, rule)
}

/// The driver initialised a DPC without a routine.
pub(crate) fn dpc_without_routine(address: usize, name: impl Display) -> Box<Violation> {
    let start = address as u64;
    let rule = format!("the DPC {name} was initialised without a routine");
    violation(TIMER_OR_DPC_INVALID, [ROUTINE, 0, start, start + OBJECT_SIZE], rule)
}

/// The driver did something to a DPC that no queue may hold at that time.
pub(crate) fn dpc_in_queue(
    action: &str,
    processor: impl Display,
    address: usize,
    name: impl Display,
) -> Box<Violation> {
    let rule = format!("{action} while it was in processor {processor}'s queue: {name}");
    object(Object::Dpc, address, rule)
}

/// The driver did something to a DPC that no set timer may use at that time.
pub(crate) fn dpc_of_set_timer(action: &str, address: usize, timer: impl Display) -> Box<Violation> {
    let rule = format!("{action} while the timer {timer} that uses it was set");
    object(Object::Dpc, address, rule)
}

/// The driver freed a block with a queued DPC in it.
pub(crate) fn freed_with_queued_dpc(
    block: impl Display,
    memory: &Range<usize>,
    dpc: usize,
    processor: impl Display,
) -> Box<Violation> {
    let at = dpc - memory.start;
    let rule = format!("{block} was freed with the DPC at +{at:#x} in processor {processor}'s queue");
    object_in(Object::Dpc, dpc, memory, rule)
}

/// The driver freed a block with a set timer in it.
pub(crate) fn freed_with_set_timer(
    block: impl Display,
    memory: &Range<usize>,
    timer: usize,
) -> Box<Violation> {
    let at = timer - memory.start;
    object_in(Object::Timer, timer, memory, format!("{block} was freed with the timer at +{at:#x} set"))
}

/// The driver freed a block with the DPC of a set timer in it; the timer is elsewhere.
pub(crate) fn freed_with_dpc_of_set_timer(
    block: impl Display,
    memory: &Range<usize>,
    timer: usize,
    dpc: usize,
) -> Box<Violation> {
    let at = dpc - memory.start;
    let rule = format!("{block} was freed with the DPC of a set timer at +{at:#x}");
    object_in(Object::Timer, timer, memory, rule)
}

/// The driver used an object in freed memory.
pub(crate) fn in_freed_memory(
    kind: Object,
    address: usize,
    memory: &Range<usize>,
    name: impl Display,
    place: impl Display,
) -> Box<Violation> {
    object_in(kind, address, memory, format!("{name} in freed pool memory: {place}"))
}
