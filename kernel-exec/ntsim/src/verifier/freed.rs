//! Objects that must not be in freed memory because a thread waits for them, holds them, or has
//! queued them. DPCs and timers have a fast path of their own.

extern crate alloc;

use core::ops::Range;

use super::{Checked, memory::describe, violation};
use crate::{
    engine::machine::Machine,
    kernel::{pool::Block, thread::ThreadName},
};

impl Machine {
    /// A violation if an object that the kernel still needs is in this block, at these addresses.
    /// Otherwise the lock order of locks in the block is forgotten.
    #[cold]
    pub(crate) fn check_objects_in(&self, block: &Block, range: Range<usize>) -> Checked<()> {
        let mut kernel = self.kernel.borrow_mut();
        let list = kernel.lookaside.find_in(range.clone());
        let remove_lock = kernel.tags.find_in(range.clone());
        let item = kernel.work.find_in(range.clone());
        let waited_for = kernel.waits.find_in(range.clone());
        let held = kernel.mutexes.find_in(range.clone());
        kernel.order.forget(range.clone());
        drop(kernel);
        let at = |object: usize| object - range.start;
        // Most frees find nothing, so the text is made only when it is needed.
        let described = || describe(block);
        if let Some(list) = list {
            let rule =
                alloc::format!("{} was freed with the lookaside list at +{:#x}", described(), at(list));
            return Err(violation(0xCC, [list as u64, 1, 0, 0], rule));
        }
        if let Some(lock) = remove_lock {
            let rule =
                alloc::format!("{} was freed with the remove lock at +{:#x} held", described(), at(lock));
            return Err(violation(0xC4, [0x1006, lock as u64, 0, 0], rule));
        }
        if let Some(item) = item {
            let rule = alloc::format!(
                "{} was freed with the work item at +{:#x} in its queue",
                described(),
                at(item.address)
            );
            let bounds = [range.start as u64, range.end as u64];
            return Err(violation(0xE4, [0, item.address as u64, bounds[0], bounds[1]], rule));
        }
        if let Some((thread, object)) = waited_for {
            let thread = ThreadName::of(thread);
            let rule = alloc::format!(
                "{} was freed while {thread} waits for the object at +{:#x}",
                described(),
                at(object)
            );
            return Err(violation(0xCC, [object as u64, 1, 0, 0], rule));
        }
        if let Some(held) = held {
            let by = ThreadName::of(held.thread);
            let rule = alloc::format!(
                "{} was freed with the mutex at +{:#x} held by {by}",
                described(),
                at(held.address)
            );
            let owner = self.thread_address(held.thread) as u64;
            return Err(violation(0xC4, [0x1006, held.address as u64, owner, 0], rule));
        }
        Ok(())
    }
}
