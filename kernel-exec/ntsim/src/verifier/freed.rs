//! Objects that must not be in freed memory because a thread waits for them, holds them, or has
//! queued them. DPCs and timers have a fast path of their own.

use core::ops::Range;

use super::{
    Checked,
    bugcheck::{driver_verifier::locks, freed_memory, worker},
    memory::describe,
};
use crate::{
    engine::machine::Machine,
    kernel::{pool::Block, thread::ThreadName},
};

/// A violation if an object that the kernel still needs is in this block, at these addresses.
/// Otherwise the lock order of locks in the block is forgotten.
#[cold]
pub(crate) fn check_objects_in(machine: &Machine, block: &Block, range: Range<usize>) -> Checked<()> {
    let mut kernel = machine.kernel.borrow_mut();
    let list = kernel.lookaside.find_in(range.clone());
    let remove_lock = kernel.tags.find_in(range.clone());
    let item = kernel.work.find_in(range.clone());
    let waited_for = kernel.waits.find_in(range.clone());
    let held = kernel.mutexes.find_in(range.clone());
    kernel.order.forget(range.clone());
    drop(kernel);
    // Most frees find nothing, so the text is made only when it is needed.
    let described = || describe(machine, block);
    if let Some(list) = list {
        return Err(freed_memory::freed_with_lookaside_list(described(), &range, list));
    }
    if let Some(lock) = remove_lock {
        return Err(locks::freed_with_remove_lock(described(), &range, lock));
    }
    if let Some(item) = item {
        return Err(worker::freed_with_queued_item(described(), &range, item.address));
    }
    if let Some((thread, object)) = waited_for {
        let thread = ThreadName::of(thread);
        return Err(freed_memory::freed_with_awaited_object(described(), &range, object, thread));
    }
    if let Some(held) = held {
        let (by, owner) = (ThreadName::of(held.thread), machine.thread_address(held.thread));
        return Err(locks::freed_with_mutex(described(), &range, held.address, by, owner));
    }
    Ok(())
}
