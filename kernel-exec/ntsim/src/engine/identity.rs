//! A hash of the atomics that the program has used. It does not depend on the host's addresses.
//!
//! The identity of an atomic in pool is the number of its block and its rank by first use in that
//! block. The identity of an atomic in a static is its rank by first use among all statics. Neither
//! depends on the build or on the host's allocator. Atomics elsewhere have no identity, because the
//! host may use its heap and the stacks again for another object without notice.

use core::cell::{Cell, RefCell};

use rustc_hash::FxHashMap;

/// The number of atomics in the table of recent lookups.
pub(super) const RECENT: usize = 64;
/// The space of statics. Any other space is the number of a block.
pub(super) const STATICS: u32 = u32::MAX;

/// The identity of the atomic at an address.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RecentAtomic {
    /// 0 in an entry that is not used.
    pub(super) address: usize,
    pub(super) identity: u64,
}

/// The hash of the atomics that the program has used, with their identities.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(super) hash: Cell<u64>,
    pub(super) recent: [Cell<RecentAtomic>; RECENT],
    pub(super) numbers: RefCell<AtomicRanks>,
}

/// The ranks of atomics in their spaces.
#[derive(Debug, Default)]
pub(super) struct AtomicRanks {
    /// The rank, by space and place in the space.
    atomics: FxHashMap<(u32, usize), u32>,
    /// The number of atomics of each space.
    counts: FxHashMap<u32, u32>,
}

impl AtomicRanks {
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
            recent: [const { Cell::new(RecentAtomic { address: 0, identity: 0 }) }; RECENT],
            numbers: RefCell::default(),
        }
    }
}

impl Identities {
    /// Forgets all atomics, for a new run.
    pub(crate) fn reset(&self) {
        self.hash.set(0);
        self.forget_places();
        let mut numbers = self.numbers.borrow_mut();
        numbers.atomics.clear();
        numbers.counts.clear();
    }

    /// Forgets the addresses, because another block may have one now.
    pub(crate) fn forget_places(&self) {
        for known in &self.recent {
            known.set(RecentAtomic::default());
        }
    }

    /// Returns the hash of the atomics so far, in their order.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.get()
    }
}

/// Adds a number to a hash (by the multiplication of FxHash).
#[inline(always)]
pub(crate) fn mixed(hash: u64, number: u64) -> u64 {
    (hash.rotate_left(5) ^ number).wrapping_mul(0x517C_C1B7_2722_0A95)
}
