//! Lookaside lists, and their entries in use.

extern crate alloc;

use alloc::vec::Vec;

/// All lists and entries. Freed entries go back to pool at once, so that their use is noticed.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    lists: Vec<usize>,
    /// The addresses of each entry in use and of its list.
    entries: Vec<(usize, usize)>,
}

impl Lists {
    pub(crate) fn reset(&mut self) {
        if !self.lists.is_empty() || !self.entries.is_empty() {
            self.lists.clear();
            self.entries.clear();
        }
    }

    /// Returns whether there is no list.
    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Returns whether there is a list at an address.
    pub(crate) fn contains(&self, list: usize) -> bool {
        self.lists.contains(&list)
    }

    pub(crate) fn add(&mut self, list: usize) {
        self.lists.push(list);
    }

    /// Removes a list. Its entries in use stay in pool.
    pub(crate) fn remove(&mut self, list: usize) {
        self.lists.retain(|other| *other != list);
        self.entries.retain(|(_, other)| *other != list);
    }

    pub(crate) fn allocate(&mut self, entry: usize, list: usize) {
        self.entries.push((entry, list));
    }

    /// Removes an entry from those in use. Returns false if it is not in use, or not this list's.
    pub(crate) fn free(&mut self, entry: usize, list: usize) -> bool {
        let found = self.entries.iter().position(|other| *other == (entry, list));
        if let Some(position) = found {
            self.entries.swap_remove(position);
        }
        found.is_some()
    }

    /// Returns how many of a list's entries are in use.
    pub(crate) fn in_use(&self, list: usize) -> usize {
        self.entries.iter().filter(|(_, other)| *other == list).count()
    }

    /// Returns the first list in an address range.
    pub(crate) fn find_in(&self, range: core::ops::Range<usize>) -> Option<usize> {
        self.lists.iter().copied().find(|list| range.contains(list))
    }
}
