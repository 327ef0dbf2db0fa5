//! The tags that remove locks are held with.

extern crate alloc;

use alloc::vec::Vec;

/// All acquisitions, each with the lock's address and the tag.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    held: Vec<(usize, usize)>,
}

impl Tags {
    pub(crate) fn reset(&mut self) {
        if !self.held.is_empty() {
            self.held.clear();
        }
    }

    /// Returns whether no lock is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(crate) fn acquire(&mut self, lock: usize, tag: usize) {
        self.held.push((lock, tag));
    }

    /// Removes one acquisition. Returns false if there is none.
    pub(crate) fn release(&mut self, lock: usize, tag: usize) -> bool {
        let found = self.held.iter().position(|held| *held == (lock, tag));
        if let Some(position) = found {
            self.held.swap_remove(position);
        }
        found.is_some()
    }

    /// Returns whether a lock is held with any tag.
    pub(crate) fn is_held(&self, lock: usize) -> bool {
        self.find_in(lock..lock + 1).is_some()
    }

    /// Returns the first held lock in an address range.
    pub(crate) fn find_in(&self, range: core::ops::Range<usize>) -> Option<usize> {
        self.held.iter().map(|(lock, _)| *lock).find(|lock| range.contains(lock))
    }
}
