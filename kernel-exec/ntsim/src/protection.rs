//! Pages of the arena that cannot be touched, and what happens when they are.
//!
//! With special pool a plain access to freed memory, behind a block, or to paged pool at
//! DISPATCH_LEVEL is a page fault: [`crate::fault`] has it become NT's bug check.

use core::cell::Cell;
use std::boxed::Box;

use crate::{fault::host, kernel::pool::PAGE};

/// What a page of the arena is to plain accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// Anything: open.
    Open,
    /// The guard behind a block.
    Guard,
    /// Of a freed block.
    Freed,
    /// Of a block of paged pool, closed until it is touched below DISPATCH_LEVEL.
    PagedOut,
    /// Of a block of paged pool that has been touched.
    PagedIn,
}

/// The pages of an arena.
pub(crate) struct Pages {
    pages: Box<[Cell<Page>]>,
    /// How many are `PagedIn`.
    paged_in: Cell<usize>,
}

impl Pages {
    /// The pages of an arena of so many bytes.
    pub(crate) fn new(size: usize) -> Self {
        let pages = (0..size / PAGE).map(|_| Cell::new(Page::Open)).collect();
        Self { pages, paged_in: Cell::new(0) }
    }

    /// What the page is that holds the byte at `offset` of the arena.
    pub(crate) fn of(&self, offset: usize) -> Page {
        self.pages.get(offset / PAGE).map_or(Page::Open, Cell::get)
    }

    /// Makes the pages of a range something else. `base`: the arena's address, a page's.
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
        host::protect(
            base.wrapping_add(range.start * PAGE),
            range.len() * PAGE,
            matches!(to, Page::Open | Page::PagedIn),
        );
    }

    /// Opens what is closed of the first `used` bytes.
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
