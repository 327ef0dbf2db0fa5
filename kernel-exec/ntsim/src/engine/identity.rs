//! Which atomics the program has used, as a hash that does not depend on the host's addresses.
//!
//! An atomic in pool is known by the number of its block, and in it by when it was first used; one
//! in a static by when it was first used of all in statics. Neither depends on the build, nor on
//! where the host's allocator puts anything. Memory that ntsim does not manage, such as the host's
//! heap and the stacks, may be used again for another object, without a word: atomics there have no
//! identity.

use core::cell::{Cell, RefCell};

use rustc_hash::FxHashMap;

use super::{machine::Machine, schedule::mixed};
use crate::image_range::in_image;

/// Atomics that are found in one look.
const RECENT: usize = 64;
/// The space of statics; others are the numbers of blocks.
const STATICS: u32 = u32::MAX;

/// What is known of an address.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// 0: nothing.
    address: usize,
    identity: u64,
}

/// The atomics that were used.
#[derive(Debug)]
pub(crate) struct Identities {
    hash: Cell<u64>,
    recent: [Cell<Known>; RECENT],
    numbers: RefCell<Numbers>,
}

/// Numbers of atomics in their spaces.
#[derive(Debug, Default)]
struct Numbers {
    /// By space, and by the place in it.
    atomics: FxHashMap<(u32, usize), u32>,
    /// How many a space has.
    counts: FxHashMap<u32, u32>,
}

impl Numbers {
    fn of(&mut self, space: u32, place: usize) -> u32 {
        *self.atomics.entry((space, place)).or_insert_with(|| {
            let count = self.counts.entry(space).or_default();
            *count += 1;
            *count
        })
    }
}

impl Default for Identities {
    fn default() -> Self {
        Self {
            hash: Cell::new(0),
            recent: [const { Cell::new(Known { address: 0, identity: 0 }) }; RECENT],
            numbers: RefCell::default(),
        }
    }
}

impl Identities {
    /// As new.
    pub(crate) fn reset(&self) {
        self.hash.set(0);
        self.forget_places();
        let mut numbers = self.numbers.borrow_mut();
        numbers.atomics.clear();
        numbers.counts.clear();
    }

    /// An address may be another block's now.
    pub(crate) fn forget_places(&self) {
        for known in &self.recent {
            known.set(Known::default());
        }
    }

    /// The hash of the atomics so far, in their order.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.get()
    }
}

impl Machine {
    /// An atomic at an address is used.
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
            known = Known { address, identity: self.identity(address) };
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
