//! Violations about spin locks, fast mutexes, mutexes and remove locks.

extern crate alloc;

use alloc::{boxed::Box, format, string::String};
use core::{fmt::Display, ops::Range};

use super::detected;
use crate::verifier::Violation;

const ACQUIRED_BY_HOLDER: u64 = 0x1000;
const OPPOSITE_ORDER: u64 = 0x1001;
const NOT_A_LOCK: u64 = 0x1002;
const RELEASED_BY_ANOTHER: u64 = 0x1004;
const INITIALISED_WHILE_HELD: u64 = 0x1005;
const STILL_HELD: u64 = 0x1006;
const NOT_HELD: u64 = 0x1007;

/// A call for a spin lock, by its rule on IRQL. Its number is the first parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpinLockCall {
    /// Acquires the lock and raises IRQL to DISPATCH_LEVEL.
    AcquireAndRaise = 0x42,
    /// Releases the lock and lowers IRQL.
    ReleaseAndLower = 0x32,
    /// Acquires the lock at DISPATCH_LEVEL or above.
    AcquireAtDispatch = 0x40,
    /// Releases the lock at DISPATCH_LEVEL or above.
    ReleaseFromDispatch = 0x41,
}

/// A call for a fast mutex, by its rule on IRQL. Its number is the first parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FastMutexCall {
    Acquire = 0x33,
    Release = 0x34,
}

/// The driver made a call for a spin lock at a wrong IRQL.
pub(crate) fn spin_lock_call_irql(
    call: SpinLockCall,
    irql: u8,
    lock: usize,
    caller: &str,
    name: impl Display,
) -> Box<Violation> {
    let range = match call {
        SpinLockCall::AcquireAndRaise => "at IRQL ≤ DISPATCH_LEVEL",
        SpinLockCall::ReleaseAndLower => "at DISPATCH_LEVEL",
        SpinLockCall::AcquireAtDispatch | SpinLockCall::ReleaseFromDispatch => "at IRQL ≥ DISPATCH_LEVEL",
    };
    let rule = format!("{caller} for {name} may be called {range} only, but was called at {irql}");
    detected([call as u64, irql.into(), lock as u64, 0], rule)
}

/// The driver made a call for a fast mutex at a wrong IRQL.
pub(crate) fn fast_mutex_call_irql(
    call: FastMutexCall,
    irql: u8,
    mutex: usize,
    caller: &str,
    name: impl Display,
) -> Box<Violation> {
    let range = match call {
        FastMutexCall::Acquire => "at IRQL ≤ APC_LEVEL",
        FastMutexCall::Release => "at APC_LEVEL",
    };
    let rule = format!("{caller} for {name} may be called {range} only, but was called at {irql}");
    detected([call as u64, irql.into(), mutex as u64, 0], rule)
}

/// A processor acquired a spin lock that it holds.
pub(crate) fn spin_lock_acquired_by_holder(
    lock: usize,
    name: impl Display,
    processor: usize,
) -> Box<Violation> {
    let rule = format!(
        "spin lock {name} was acquired by processor {processor}, which holds it already: spin locks are not recursive"
    );
    detected([ACQUIRED_BY_HOLDER, lock as u64, 0, 0], rule)
}

/// A thread acquired a fast mutex that it holds.
pub(crate) fn fast_mutex_acquired_by_holder(
    mutex: usize,
    name: impl Display,
    thread: impl Display,
) -> Box<Violation> {
    let rule = format!("fast mutex {name} was acquired by {thread}, which holds it already");
    detected([ACQUIRED_BY_HOLDER, mutex as u64, 0, 0], rule)
}

/// A processor acquired two spin locks against an earlier order.
pub(crate) fn opposite_order(
    lock: usize,
    name: impl Display,
    held: usize,
    held_name: impl Display,
) -> Box<Violation> {
    let rule = format!(
        "spin lock {name} was acquired while {held_name} was held, but they were once acquired in the opposite order"
    );
    detected([OPPOSITE_ORDER, lock as u64, held as u64, 0], rule)
}

/// The driver used a word that is not a spin lock as one.
pub(crate) fn not_a_spin_lock(lock: usize, name: impl Display, word: u64) -> Box<Violation> {
    let rule = format!(
        "no processor holds spin lock {name}, but its word is {word:#x}: not initialised, or overwritten"
    );
    detected([NOT_A_LOCK, lock as u64, 0, 0], rule)
}

/// A processor released a spin lock that another processor holds.
pub(crate) fn spin_lock_of_another(
    lock: usize,
    name: impl Display,
    processor: usize,
    holder: usize,
) -> Box<Violation> {
    let rule =
        format!("spin lock {name} was released by processor {processor}, but processor {holder} holds it");
    detected([RELEASED_BY_ANOTHER, lock as u64, holder as u64, processor as u64], rule)
}

/// A thread released a fast mutex that another thread holds. `threads` are the addresses of the
/// holder and of the releasing thread.
pub(crate) fn fast_mutex_of_another(
    mutex: usize,
    name: impl Display,
    releasing: impl Display,
    holder: impl Display,
    threads: [usize; 2],
) -> Box<Violation> {
    let rule = format!("fast mutex {name} was released by {releasing}, but {holder} holds it");
    let [holder, releasing] = threads;
    detected([RELEASED_BY_ANOTHER, mutex as u64, holder as u64, releasing as u64], rule)
}

fn held_lock_initialised(address: usize, rule: String) -> Box<Violation> {
    detected([INITIALISED_WHILE_HELD, address as u64, 0, 0], rule)
}

/// The driver initialised a spin lock that a processor held.
pub(crate) fn held_spin_lock_initialised(lock: usize, name: impl Display, holder: usize) -> Box<Violation> {
    let rule = format!("spin lock {name} was initialised while processor {holder} held it");
    held_lock_initialised(lock, rule)
}

/// The driver initialised a fast mutex that a thread held.
pub(crate) fn held_fast_mutex_initialised(
    mutex: usize,
    name: impl Display,
    holder: impl Display,
) -> Box<Violation> {
    held_lock_initialised(mutex, format!("fast mutex {name} was initialised while {holder} held it"))
}

/// The driver initialised a mutex that a thread held.
pub(crate) fn held_mutex_initialised(
    mutex: usize,
    name: impl Display,
    holder: impl Display,
) -> Box<Violation> {
    held_lock_initialised(mutex, format!("mutex {name} was initialised while {holder} held it"))
}

/// The violation for a lock that should have been released by now; the owner is a processor's
/// number, a thread's address, or 0.
fn still_held(lock: usize, owner: usize, rule: String) -> Box<Violation> {
    detected([STILL_HELD, lock as u64, owner as u64, 0], rule)
}

/// A routine of the driver, such as `a DPC routine`, returned with a spin lock.
pub(crate) fn returned_with_spin_lock(
    routine: &str,
    lock: usize,
    name: impl Display,
    processor: usize,
) -> Box<Violation> {
    still_held(lock, processor, format!("{routine} returned holding the spin lock {name}"))
}

/// A cancel routine returned with the cancel spin lock.
pub(crate) fn returned_with_cancel_lock(lock: usize, processor: usize) -> Box<Violation> {
    let rule = String::from("a cancel routine returned without releasing the cancel spin lock");
    still_held(lock, processor, rule)
}

/// The driver was unloaded while a processor held one of its spin locks.
pub(crate) fn unloaded_with_spin_lock(lock: usize, name: impl Display, processor: usize) -> Box<Violation> {
    let rule = format!("the driver was unloaded while processor {processor} held the spin lock {name}");
    still_held(lock, processor, rule)
}

/// The driver freed a block with a held spin lock in it.
pub(crate) fn freed_with_spin_lock(
    block: impl Display,
    memory: &Range<usize>,
    lock: usize,
    processor: usize,
) -> Box<Violation> {
    let at = lock - memory.start;
    let rule = format!("{block} was freed with the spin lock at +{at:#x} held by processor {processor}");
    still_held(lock, processor, rule)
}

/// The driver freed a block with a held mutex in it; `owner` is the thread's address.
pub(crate) fn freed_with_mutex(
    block: impl Display,
    memory: &Range<usize>,
    mutex: usize,
    thread: impl Display,
    owner: usize,
) -> Box<Violation> {
    let at = mutex - memory.start;
    still_held(mutex, owner, format!("{block} was freed with the mutex at +{at:#x} held by {thread}"))
}

/// The driver freed a block with a held remove lock in it.
pub(crate) fn freed_with_remove_lock(
    block: impl Display,
    memory: &Range<usize>,
    lock: usize,
) -> Box<Violation> {
    let at = lock - memory.start;
    still_held(lock, 0, format!("{block} was freed with the remove lock at +{at:#x} held"))
}

fn not_held(address: usize, rule: String) -> Box<Violation> {
    detected([NOT_HELD, address as u64, 0, 0], rule)
}

/// The driver released a spin lock that no processor holds.
pub(crate) fn spin_lock_not_held(lock: usize, name: impl Display) -> Box<Violation> {
    not_held(lock, format!("spin lock {name} was released, but no processor holds it"))
}

/// The driver released a spin lock with another queue handle than it acquired it with.
pub(crate) fn other_queue_handle(
    lock: usize,
    name: impl Display,
    acquired_with: impl Display,
    released_with: impl Display,
) -> Box<Violation> {
    let rule = format!(
        "spin lock {name} was acquired with the queue handle {acquired_with}, but released with {released_with}"
    );
    not_held(lock, rule)
}

/// The driver released a fast mutex that no thread holds.
pub(crate) fn fast_mutex_not_held(mutex: usize, name: impl Display) -> Box<Violation> {
    not_held(mutex, format!("fast mutex {name} was released, but no thread holds it"))
}
