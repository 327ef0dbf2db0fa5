//! Pool: which part of the arena is which block. The bytes themselves are [`crate::arena`]'s.

extern crate alloc;

use alloc::{collections::VecDeque, vec::Vec};
use core::cell::Cell;

/// Bytes of the simulated pool. Only what is used is ever touched.
pub(crate) const ARENA: usize = 4 << 20;
/// Bytes between two blocks that nobody may touch.
pub(crate) const GUARD: usize = 32;
/// What a shadow byte stands for, and every block's alignment.
pub(crate) const GRAIN: usize = 16;
/// Blocks of this size or more are aligned to it.
pub(crate) const PAGE: usize = 4096;

/// What an allocation is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) size: usize,
    pub(crate) tag: u32,
    pub(crate) paged: bool,
    pub(crate) zeroed: bool,
    pub(crate) align: usize,
    pub(crate) kernel: bool,
}

impl Request {
    /// Zeroed non-paged pool of the kernel's own, which no driver may free.
    pub(crate) fn kernel(size: usize, tag: [u8; 4]) -> Self {
        Self { size, tag: u32::from_le_bytes(tag), paged: false, zeroed: true, align: GRAIN, kernel: true }
    }
}

/// A block of pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// Its start, from the arena's.
    pub(crate) offset: usize,
    /// What was asked for, in bytes.
    pub(crate) size: usize,
    /// Room up to the guard behind it, in bytes.
    pub(crate) room: usize,
    pub(crate) tag: u32,
    /// Counts allocations from 0, in the whole simulation.
    pub(crate) number: u32,
    pub(crate) paged: bool,
    /// It is the kernel's own: an object that has a function of its own to free it.
    pub(crate) kernel: bool,
    pub(crate) live: bool,
    /// Its pages are nobody else's, and it ends where they end, but for its alignment.
    pub(crate) own_pages: bool,
    /// The processor that freed it.
    pub(crate) freed_by: usize,
    /// The step at which it was freed.
    pub(crate) freed_at: u64,
}

impl Block {
    /// Bytes of guard behind its room.
    pub(crate) fn guard(&self) -> usize {
        if self.own_pages { 0 } else { GUARD }
    }
}

/// The pool.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// By offset.
    blocks: Vec<Block>,
    /// Freed blocks, oldest first, as indexes: reused only when the arena is used up.
    freed: VecDeque<usize>,
    /// The index of the block that was made or looked for last: it is likely to be the next one.
    recent: Cell<usize>,
    /// The end of the last guard.
    top: usize,
    allocations: u32,
    live: usize,
    /// How many allocations succeed before one fails.
    fail_after: Option<u32>,
}

/// Where a new block is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind all others; memory up to this offset from the block's start is unused and to be filled as guard.
    Fresh { padding: usize },
    /// In the room of a block that was freed long ago.
    Reused,
}

impl Pool {
    pub(crate) fn reset(&mut self) {
        self.blocks.clear();
        self.recent.set(0);
        self.freed.clear();
        self.top = GUARD;
        self.allocations = 0;
        self.live = 0;
        self.fail_after = None;
    }

    /// The arena is used up to here.
    pub(crate) fn top(&self) -> usize {
        self.top
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The `nth` allocation from now (0: the next) fails.
    pub(crate) fn fail(&mut self, nth: u32) {
        self.fail_after = Some(nth);
    }

    /// Whether the allocation that is being made is the one to fail.
    pub(crate) fn fails(&mut self) -> bool {
        match self.fail_after {
            Some(0) => {
                self.fail_after = None;
                true
            }
            Some(more) => {
                self.fail_after = Some(more - 1);
                false
            }
            None => false,
        }
    }

    /// Makes a block; none where there is no room. With pages of its own, there is a page behind them.
    pub(crate) fn allocate(&mut self, request: Request, own_pages: bool) -> Option<(Block, Place)> {
        let Request { size, tag, paged, kernel, align, .. } = request;
        let room = size.checked_next_multiple_of(GRAIN)?;
        let (room, start) = if own_pages {
            let pages = room.checked_next_multiple_of(PAGE)?;
            let before = (pages - room) / align * align;
            (pages - before, self.top.next_multiple_of(PAGE).checked_add(before)?)
        } else {
            (room, self.top.next_multiple_of(align))
        };
        let mut block = Block {
            offset: 0,
            size,
            room,
            tag,
            number: self.allocations,
            paged,
            kernel,
            live: true,
            own_pages,
            freed_by: 0,
            freed_at: 0,
        };
        let end = start.checked_add(room)?.checked_add(if own_pages { PAGE } else { GUARD })?;
        let place = if end <= ARENA {
            block.offset = start;
            let padding = start - self.top;
            self.recent.set(self.blocks.len());
            self.blocks.push(block);
            self.top = end;
            Place::Fresh { padding }
        } else {
            let fits = |index: &usize| {
                let old = self.blocks.get(*index);
                old.is_some_and(|old| {
                    old.room == room && old.offset.is_multiple_of(align) && old.own_pages == own_pages
                })
            };
            let position = self.freed.iter().position(fits)?;
            let index = self.freed.remove(position)?;
            self.recent.set(index);
            let old = self.blocks.get_mut(index)?;
            block.offset = old.offset;
            *old = block;
            Place::Reused
        };
        self.allocations += 1;
        self.live += 1;
        Some((block, place))
    }

    /// The last block, live or freed, that begins at `offset` or before.
    pub(crate) fn last_before(&self, offset: usize) -> Option<&Block> {
        self.blocks.get(self.index(offset)?)
    }

    /// Where in the list it is.
    fn index(&self, offset: usize) -> Option<usize> {
        let recent = self.recent.get();
        let ends = |next: &Block| offset < next.offset;
        if self.blocks.get(recent).is_some_and(|block| block.offset <= offset)
            && self.blocks.get(recent + 1).is_none_or(ends)
        {
            return Some(recent);
        }
        let index = self.blocks.partition_point(|block| block.offset <= offset).checked_sub(1)?;
        self.recent.set(index);
        Some(index)
    }

    /// The block, live or freed, that holds the byte at `offset`.
    pub(crate) fn find(&self, offset: usize) -> Option<&Block> {
        let block = self.last_before(offset)?;
        (offset < block.offset + block.size.max(1)).then_some(block)
    }

    /// Notes that the block at `offset`, which is live, has been freed.
    pub(crate) fn free(&mut self, offset: usize, processor: usize, step: u64) {
        let Some(index) = self.index(offset) else { return };
        if let Some(block) = self.blocks.get_mut(index) {
            block.live = false;
            block.freed_by = processor;
            block.freed_at = step;
            self.freed.push_back(index);
            self.live -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ARENA, GUARD, PAGE, Place, Pool, Request};

    fn request(size: usize, align: usize) -> Request {
        Request { align, ..Request::kernel(size, *b"Test") }
    }

    fn pool() -> Pool {
        let mut pool = Pool::default();
        pool.reset();
        pool
    }

    #[test]
    fn blocks_are_apart_by_a_guard() {
        let mut pool = pool();
        let (first, _) = pool.allocate(request(20, 16), false).unwrap();
        let (second, _) = pool.allocate(request(20, 16), false).unwrap();
        assert_eq!(second.offset, first.offset + 32 + GUARD);
        assert_eq!(pool.find(first.offset + 19).unwrap().number, 0);
        assert!(pool.find(first.offset + 20).is_none());
    }

    #[test]
    fn a_block_with_pages_of_its_own_ends_where_they_end() {
        let mut pool = pool();
        let mut end = 0;
        for (size, align, before) in
            [(20, 16, PAGE - 32), (20, 64, PAGE - 64), (PAGE, PAGE, 0), (PAGE + 1, PAGE, 0)]
        {
            let (block, _) = pool.allocate(request(size, align), true).unwrap();
            assert!(block.offset >= end + PAGE && block.offset % PAGE == before && block.offset % align == 0);
            end = block.offset + block.room;
            assert!(end.is_multiple_of(PAGE) && block.room >= size);
            assert_eq!(pool.top(), end + PAGE);
        }
    }

    #[test]
    fn freed_memory_is_reused_only_when_the_arena_is_used_up() {
        let mut pool = pool();
        let (first, _) = pool.allocate(request(PAGE, PAGE), false).unwrap();
        pool.free(first.offset, 0, 0);
        let (second, place) = pool.allocate(request(PAGE, PAGE), false).unwrap();
        assert_ne!(first.offset, second.offset);
        assert!(matches!(place, Place::Fresh { .. }));
        while pool.top() + 2 * PAGE + GUARD <= ARENA {
            pool.allocate(request(PAGE, PAGE), false).unwrap();
        }
        let (last, place) = pool.allocate(request(PAGE, PAGE), false).unwrap();
        if place == Place::Reused {
            assert_eq!(last.offset, first.offset);
        } else {
            assert_eq!(pool.allocate(request(PAGE, PAGE), false).unwrap().0.offset, first.offset);
        }
        assert!(pool.allocate(request(PAGE, PAGE), false).is_none());
    }
}
