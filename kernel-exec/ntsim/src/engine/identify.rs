//! Adds the atomics that the program uses to the machine's hash of them.

use super::{
    identity::{RECENT, RecentAtomic, STATICS, mixed},
    machine::Machine,
};
use crate::image_range::in_image;

impl Machine {
    /// Adds the atomic at an address to the hash.
    #[inline(always)]
    pub(crate) fn identify(&self, address: usize) {
        if self.arena.offset(address).is_none() && !in_image(address) {
            return;
        }
        let objects = &self.identities;
        let [first, ..] = &objects.recent;
        let recent = objects.recent.get((address >> 2) % RECENT).unwrap_or(first);
        let mut known = recent.get();
        if known.address != address {
            known = RecentAtomic { address, identity: self.identity(address) };
            recent.set(known);
        }
        objects.hash.set(mixed(objects.hash.get(), known.identity));
    }

    #[cold]
    #[inline(never)]
    fn identity(&self, address: usize) -> u64 {
        let (space, place) = match self.arena.offset(address) {
            None => (STATICS, address),
            Some(offset) => {
                let kernel = self.kernel.borrow();
                kernel
                    .pool
                    .find(offset)
                    .map_or((STATICS - 1, 0), |block| (block.number, offset - block.offset))
            }
        };
        let number = self.identities.numbers.borrow_mut().of(space, place);
        u64::from(space) << 32 | u64::from(number)
    }
}
