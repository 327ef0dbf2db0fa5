//! The memory of the simulated pool, and a shadow that gives an address's state in one look.

extern crate alloc;

use alloc::{alloc::alloc_zeroed, alloc::dealloc, alloc::handle_alloc_error, boxed::Box};
use core::{alloc::Layout, cell::Cell, ptr::NonNull};

use crate::{
    address_space, asan,
    kernel::pool::{Block, GRAIN, GUARD, PAGE},
    other_pools,
    protection::{Page, Pages},
};

/// The guard's pattern.
pub(crate) const GUARD_BYTE: u8 = 0xFD;
/// The pattern of freed memory.
pub(crate) const FREED_BYTE: u8 = 0xDD;
/// The pattern of uninitialised memory.
pub(crate) const FRESH_BYTE: u8 = 0xA5;

/// The state of 16 bytes of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Memory {
    /// In no block.
    Outside = 0,
    /// In a live block.
    Live = 1,
    /// In a freed block.
    Freed = 2,
    /// In a live block of paged pool.
    Paged = 3,
}

/// The arena.
pub(crate) struct Arena {
    /// The memory of the host, a page more than the arena needs.
    memory: NonNull<u8>,
    /// The start of the first page in it.
    base: NonNull<u8>,
    /// The size in bytes. Only bytes that are used are ever touched.
    size: usize,
    shadow: Box<[Cell<u8>]>,
    /// The pages' uses, which decide about plain accesses.
    pub(crate) pages: Pages,
}

/// The layout for an arena of `size` bytes. It has a page more than needed instead of a page's
/// alignment, because zeroed memory of small alignment comes untouched from the system.
#[expect(
    clippy::panic,
    reason = "the configuration's size has been checked: it is no more than an allocation may have"
)]
fn layout(size: usize) -> Layout {
    let Ok(layout) = Layout::from_size_align(size + PAGE, GRAIN) else {
        panic!("ntsim: a pool of {size} bytes, which is more than an allocation of the host may have")
    };
    layout
}

/// Memory for an arena of the host's allocator, where the host reserves no addresses.
fn allocate(size: usize) -> NonNull<u8> {
    let layout = layout(size);
    // SAFETY: the layout's size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Arena {
    /// An arena of `size` bytes, a multiple of a page's size.
    pub(crate) fn new(size: usize) -> Self {
        let memory = address_space::take(size + PAGE).unwrap_or_else(|| allocate(size));
        let padding = memory.align_offset(PAGE);
        // SAFETY: the padding is less than a page, and the memory has a page more than needed.
        let base = unsafe { memory.add(padding) };
        asan::poison(base.as_ptr(), size);
        let shadow: *mut [u8] =
            Box::into_raw(alloc::vec![Memory::Outside as u8; size / GRAIN].into_boxed_slice());
        // SAFETY: the pointer comes from a box of as many bytes, and a cell has its content's
        // layout.
        let shadow = unsafe { Box::from_raw(shadow as *mut [Cell<u8>]) };
        other_pools::begin(memory, size);
        Self { memory, base, size, shadow, pages: Pages::new(size) }
    }

    /// The size of the arena in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The arena's first address.
    pub(crate) fn base(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// The pointer to the byte at `offset`.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset <= self.size);
        self.base.as_ptr().wrapping_add(offset)
    }

    /// The offset of an address in the arena.
    #[inline(always)]
    pub(crate) fn offset(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.base());
        (offset < self.size).then_some(offset)
    }

    /// Whether an address is neither outside the arena nor in a live block of non-paged pool.
    #[inline(always)]
    pub(crate) fn suspicious(&self, address: usize) -> bool {
        let offset = address.wrapping_sub(self.base());
        match self.shadow.get(offset / GRAIN) {
            Some(state) => state.get() != Memory::Live as u8,
            None => false,
        }
    }

    /// The state of the byte at `offset`.
    pub(crate) fn state(&self, offset: usize) -> Memory {
        match self.shadow.get(offset / GRAIN).map(Cell::get) {
            Some(1) => Memory::Live,
            Some(2) => Memory::Freed,
            Some(3) => Memory::Paged,
            _ => Memory::Outside,
        }
    }

    /// Sets the state of a range, in the shadow and for AddressSanitizer. `offset` is a multiple of
    /// 16.
    pub(crate) fn mark(&self, offset: usize, size: usize, state: Memory) {
        let grains = offset / GRAIN..(offset + size).div_ceil(GRAIN);
        for cell in self.shadow.get(grains).unwrap_or_default() {
            cell.set(state as u8);
        }
        match state {
            Memory::Live | Memory::Paged => asan::unpoison(self.at(offset), size),
            Memory::Outside | Memory::Freed => asan::poison(self.at(offset), size),
        }
    }

    /// Fills a range, and leaves it open to AddressSanitizer. Call [`Arena::mark`] or
    /// [`Arena::close`] next.
    pub(crate) fn fill(&self, offset: usize, size: usize, byte: u8) {
        if offset.checked_add(size).is_none_or(|end| end > self.size) {
            return;
        }
        asan::unpoison(self.at(offset), size);
        // SAFETY: the range is in the arena, by the check above. The memory is the kernel's own, or
        // that of a block on its way to the driver.
        unsafe { self.at(offset).write_bytes(byte, size) }
    }

    /// Closes a range to AddressSanitizer.
    pub(crate) fn close(&self, offset: usize, size: usize) {
        asan::poison(self.at(offset), size);
    }

    /// The first byte of a closed range that is not `byte`. Always `None` under AddressSanitizer,
    /// which has reported the access that wrote such a byte.
    pub(crate) fn first_other(&self, offset: usize, size: usize, byte: u8) -> Option<usize> {
        if asan::ENABLED || offset.checked_add(size).is_none_or(|end| end > self.size) {
            return None;
        }
        // SAFETY: the range is in the arena, by the check above. It is initialised, because it was
        // zeroed at its allocation.
        let bytes = unsafe { core::slice::from_raw_parts(self.at(offset), size) };
        position_other(bytes, byte).map(|position| offset + position)
    }

    /// Opens or closes the pages of a block that has pages of its own. If the block is opened, the
    /// page behind it becomes its guard.
    pub(crate) fn protect(&self, block: &Block, to: Page) {
        let base = self.base.as_ptr();
        self.pages.set(base, block.offset, block.room, to);
        if to == Page::Open {
            self.pages.set(base, block.offset + block.room, PAGE, Page::Guard);
        }
    }

    /// Opens the page of paged pool that holds the byte at `offset`.
    pub(crate) fn page_in(&self, offset: usize) {
        self.pages.set(self.base.as_ptr(), offset, 1, Page::PagedIn);
    }

    /// Closes paged pool.
    pub(crate) fn page_out(&self) {
        self.pages.page_out(self.base.as_ptr());
    }

    /// Makes the arena as new, after `used` bytes were in use.
    pub(crate) fn reset(&self, used: usize) {
        self.pages.reset(self.base.as_ptr(), used);
        self.mark(0, used, Memory::Outside);
        self.fill(0, GUARD, GUARD_BYTE);
        self.close(0, GUARD);
    }
}

/// How many bytes in front are `byte`, counted in whole blocks.
fn same_in_front<const BLOCK: usize>(bytes: &[u8], byte: u8) -> usize {
    let expected = [byte; BLOCK];
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    blocks.iter().take_while(|block| **block == expected).count() * BLOCK
}

/// The position of the first byte that is not `byte`. It is searched for in blocks, because whole
/// pages are checked at each unload.
fn position_other(bytes: &[u8], byte: u8) -> Option<usize> {
    const BLOCK: usize = 64;
    let same = same_in_front::<BLOCK>(bytes, byte);
    // The rest of a guard is less than a block, and a few grains.
    let same = same + same_in_front::<GRAIN>(bytes.get(same..).unwrap_or_default(), byte);
    let rest = bytes.get(same..).unwrap_or_default();
    rest.iter().position(|&other| other != byte).map(|position| same + position)
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.pages.reset(self.base.as_ptr(), self.size);
        asan::poison(self.base.as_ptr(), self.size);
        if address_space::contains(self.memory.addr().get()) {
            // Forgotten first: the next simulation may be given the same addresses.
            other_pools::forget(self.memory);
            address_space::give_back(self.memory, self.size + PAGE);
        } else if let Some(pool) = other_pools::end(self.memory, self.size) {
            let padding = pool.memory.align_offset(PAGE);
            // SAFETY: the memory has a page more than the pool needs, so the padding is within it.
            let base = unsafe { pool.memory.add(padding) };
            asan::unpoison(base.as_ptr(), pool.size);
            // SAFETY: `allocate` made it with this layout, and its simulation has ended.
            unsafe { dealloc(pool.memory.as_ptr(), layout(pool.size)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::position_other;

    #[test]
    fn the_first_other_byte_is_found_wherever_it_is() {
        for length in [0, 1, 63, 64, 65, 200] {
            let mut bytes = vec![0xA5; length];
            assert_eq!(position_other(&bytes, 0xA5), None, "{length}");
            for position in (0..length).rev() {
                bytes[position] = 0;
                assert_eq!(position_other(&bytes, 0xA5), Some(position), "{length}");
            }
        }
    }
}
