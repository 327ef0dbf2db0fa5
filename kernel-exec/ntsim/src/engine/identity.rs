//! Which atomics the program has used, as a hash that does not depend on the host's addresses.
//!
//! An atomic in pool is known by the number of its block, and in it by when it was first used; one
//! in a static by when it was first used of all in statics. Neither depends on the build, nor on
//! where the host's allocator puts anything. Memory that ntsim does not manage, such as the host's
//! heap and the stacks, may be used again for another object, without a word: atomics there have no
//! identity.

use core::cell::{Cell, RefCell};

use rustc_hash::FxHashMap;

/// Atomics that are found in one look.
pub(super) const RECENT: usize = 64;
/// The space of statics; others are the numbers of blocks.
pub(super) const STATICS: u32 = u32::MAX;

/// What is known of an address.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// 0: nothing.
    pub(super) address: usize,
    pub(super) identity: u64,
}

/// The atomics that were used.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(super) hash: Cell<u64>,
    pub(super) recent: [Cell<Known>; RECENT],
    pub(super) numbers: RefCell<Numbers>,
}

/// Numbers of atomics in their spaces.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By space, and by the place in it.
    atomics: FxHashMap<(u32, usize), u32>,
    /// How many a space has.
    counts: FxHashMap<u32, u32>,
}

impl Numbers {
    pub(super) fn of(&mut self, space: u32, place: usize) -> u32 {
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

/// Adds a number to a hash (by the multiplication of FxHash).
#[inline(always)]
pub(crate) fn mixed(hash: u64, number: u64) -> u64 {
    (hash.rotate_left(5) ^ number).wrapping_mul(0x517C_C1B7_2722_0A95)
}
