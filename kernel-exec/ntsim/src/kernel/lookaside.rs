//! Which lookaside lists there are, and whose entries are in use.

extern crate alloc;

use alloc::vec::Vec;

/// All lists and entries. Freed entries go back to pool at once, so that their use is noticed.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    lists: Vec<usize>,
    /// The entry's address and its list's.
    entries: Vec<(usize, usize)>,
}

impl Lists {
    pub(crate) fn reset(&mut self) {
        if !self.lists.is_empty() || !self.entries.is_empty() {
            self.lists.clear();
            self.entries.clear();
        }
    }

    /// Whether there is no list.
    pub(crate) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Whether there is a list at an address.
    pub(crate) fn contains(&self, list: usize) -> bool {
        self.lists.contains(&list)
    }

    pub(crate) fn add(&mut self, list: usize) {
        self.lists.push(list);
    }

    /// The list is gone. Its entries in use stay pool.
    pub(crate) fn remove(&mut self, list: usize) {
        self.lists.retain(|other| *other != list);
        self.entries.retain(|(_, other)| *other != list);
    }

    pub(crate) fn allocate(&mut self, entry: usize, list: usize) {
        self.entries.push((entry, list));
    }

    /// An entry is given back; false where it is not in use, or not this list's.
    pub(crate) fn free(&mut self, entry: usize, list: usize) -> bool {
        let found = self.entries.iter().position(|other| *other == (entry, list));
        if let Some(position) = found {
            self.entries.swap_remove(position);
        }
        found.is_some()
    }

    /// How many of a list's entries are in use.
    pub(crate) fn in_use(&self, list: usize) -> usize {
        self.entries.iter().filter(|(_, other)| *other == list).count()
    }

    /// The first list in an address range.
    pub(crate) fn find_in(&self, range: core::ops::Range<usize>) -> Option<usize> {
        self.lists.iter().copied().find(|list| range.contains(list))
    }
}
