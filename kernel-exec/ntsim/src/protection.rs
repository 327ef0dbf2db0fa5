//! Pages of the arena that cannot be accessed, and their faults.
//!
//! With special pool, a plain access to freed memory, behind a block, or to paged pool at
//! DISPATCH_LEVEL is a page fault. [`crate::fault`] turns it into NT's bug check.

use core::cell::Cell;
use std::boxed::Box;

use crate::{host_pages, kernel::pool::PAGE};

/// The use of a page of the arena, which decides about plain accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// Open to any access.
    Open,
    /// The guard behind a block.
    Guard,
    /// Part of a freed block.
    Freed,
    /// Part of a block of paged pool, closed until it is accessed below DISPATCH_LEVEL.
    PagedOut,
    /// Part of a block of paged pool that has been accessed.
    PagedIn,
}

/// The pages of an arena.
pub(crate) struct Pages {
    pages: Box<[Cell<Page>]>,
    /// The number of pages that are `PagedIn`.
    paged_in: Cell<usize>,
}

impl Pages {
    /// The pages of an arena of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        let pages = (0..size / PAGE).map(|_| Cell::new(Page::Open)).collect();
        Self { pages, paged_in: Cell::new(0) }
    }

    /// The use of the page with the byte at `offset` of the arena.
    pub(crate) fn of(&self, offset: usize) -> Page {
        self.pages.get(offset / PAGE).map_or(Page::Open, Cell::get)
    }

    /// Changes the use of a range's pages. `base` is the arena's address, which is the start of a
    /// page.
    pub(crate) fn set(&self, base: *mut u8, offset: usize, size: usize, to: Page) {
        if size == 0 {
            return;
        }
        let range = offset / PAGE..(offset + size).div_ceil(PAGE);
        for page in self.pages.get(range.clone()).unwrap_or_default() {
            let before = page.replace(to);
            let difference =
                usize::from(to == Page::PagedIn).wrapping_sub(usize::from(before == Page::PagedIn));
            self.paged_in.set(self.paged_in.get().wrapping_add(difference));
        }
        host_pages::protect(
            base.wrapping_add(range.start * PAGE),
            range.len() * PAGE,
            matches!(to, Page::Open | Page::PagedIn),
        );
    }

    /// Opens the closed pages of the first `used` bytes.
    pub(crate) fn reset(&self, base: *mut u8, used: usize) {
        let used = self.pages.get(..used.div_ceil(PAGE)).unwrap_or(&self.pages);
        if used.iter().any(|page| page.get() != Page::Open) {
            self.set(base, 0, used.len() * PAGE, Page::Open);
        }
    }

    /// Whether any page of paged pool is open.
    #[inline(always)]
    pub(crate) fn any_paged_in(&self) -> bool {
        self.paged_in.get() != 0
    }

    /// Closes all paged pool.
    #[cold]
    pub(crate) fn page_out(&self, base: *mut u8) {
        for (number, _) in self.pages.iter().enumerate().filter(|(_, page)| page.get() == Page::PagedIn) {
            self.set(base, number * PAGE, PAGE, Page::PagedOut);
        }
    }
}
