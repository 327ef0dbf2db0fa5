//! The blocks of pool and their places in the arena. [`crate::arena`] owns the bytes.

extern crate alloc;

mod reuse;

use alloc::{collections::VecDeque, vec::Vec};
use core::cell::Cell;

pub(crate) use reuse::Room;
use reuse::{Freed, guard};

/// The bytes between two blocks that no code may touch.
pub(crate) const GUARD: usize = 32;
/// The number of bytes that a shadow byte stands for, and every block's alignment.
pub(crate) const GRAIN: usize = 16;
/// Blocks of this size or more are aligned to it.
pub(crate) const PAGE: usize = 4096;

/// The properties of an allocation.
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
    /// Returns a request for zeroed non-paged pool of the kernel's own, which no driver may free.
    pub(crate) fn kernel(size: usize, tag: [u8; 4]) -> Self {
        Self { size, tag: u32::from_le_bytes(tag), paged: false, zeroed: true, align: GRAIN, kernel: true }
    }
}

/// A block of pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// The offset of its start in the arena.
    pub(crate) offset: usize,
    /// The requested size, in bytes.
    pub(crate) size: usize,
    /// The bytes up to the guard after the block.
    pub(crate) room: usize,
    pub(crate) tag: u32,
    /// The number of the allocation, counted from 0 in the whole simulation.
    pub(crate) number: u32,
    pub(crate) paged: bool,
    /// Whether it is the kernel's own, an object that has a function of its own to free it.
    pub(crate) kernel: bool,
    pub(crate) live: bool,
    /// Whether it shares its pages with no other block. It then ends at the end of its pages,
    /// except for its alignment.
    pub(crate) own_pages: bool,
    /// The processor that freed it.
    pub(crate) freed_by: usize,
    /// The step at which it was freed.
    pub(crate) freed_at: u64,
    /// How many freed blocks after it have been merged into it. It is freed then.
    pub(crate) merged: u32,
}

impl Block {
    /// Returns the bytes of guard after its room that have a pattern.
    pub(crate) fn guard(&self) -> usize {
        if self.own_pages { 0 } else { GUARD }
    }

    /// Returns where its room begins. With pages of its own, that is the first page.
    pub(crate) fn start(&self) -> usize {
        if self.own_pages { self.offset / PAGE * PAGE } else { self.offset }
    }
}

/// The pool.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// All blocks, sorted by offset.
    blocks: Vec<Block>,
    /// Freed blocks, the oldest first. They are reused only when the arena is used up.
    freed: VecDeque<Freed>,
    /// Whether a block was freed since freed neighbours were last merged.
    unmerged: bool,
    /// The size of the arena in bytes.
    size: usize,
    /// The index of the block that was last created or found, which is likely to be the next one.
    recent: Cell<usize>,
    /// The end of the last guard.
    top: usize,
    allocations: u32,
    live: usize,
    /// How many allocations succeed before one fails.
    fail_after: Option<u32>,
}

/// Returns the offset and the room of a block in free memory that begins at `from`.
fn layout(Request { size, align, .. }: Request, own_pages: bool, from: usize) -> Option<(usize, usize)> {
    let room = size.checked_next_multiple_of(GRAIN)?;
    if !own_pages {
        return Some((from.checked_next_multiple_of(align)?, room));
    }
    let pages = room.checked_next_multiple_of(PAGE)?;
    let before = (pages - room) / align * align;
    Some((from.next_multiple_of(PAGE).checked_add(before)?, pages - before))
}

impl Pool {
    /// Resets the pool, with an arena of `size` bytes.
    pub(crate) fn reset(&mut self, size: usize) {
        self.blocks.clear();
        self.recent.set(0);
        self.freed.clear();
        self.unmerged = false;
        self.size = size;
        self.top = GUARD;
        self.allocations = 0;
        self.live = 0;
        self.fail_after = None;
    }

    /// Returns the end of the used part of the arena.
    pub(crate) fn top(&self) -> usize {
        self.top
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Makes the `nth` allocation from now fail, where 0 is the next one.
    pub(crate) fn fail(&mut self, nth: u32) {
        self.fail_after = Some(nth);
    }

    /// Returns whether the current allocation is the one to fail.
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

    /// Creates a block after all others, and returns it with the number of unused bytes before it.
    /// Returns none if the arena is used up. With pages of its own, a guard page follows them.
    pub(crate) fn allocate(&mut self, request: Request, own_pages: bool) -> Option<(Block, usize)> {
        let (start, room) = layout(request, own_pages, self.top)?;
        let end = start.checked_add(room)?.checked_add(guard(own_pages))?;
        if end > self.size {
            return None;
        }
        let padding = start - self.top;
        let block = self.made(request, own_pages, start, room);
        self.recent.set(self.blocks.len());
        self.blocks.push(block);
        self.top = end;
        Some((block, padding))
    }

    /// Creates the record of a block.
    fn made(&mut self, request: Request, own_pages: bool, offset: usize, room: usize) -> Block {
        let Request { size, tag, paged, kernel, .. } = request;
        let number = self.allocations;
        self.allocations += 1;
        self.live += 1;
        Block {
            offset,
            size,
            room,
            tag,
            number,
            paged,
            kernel,
            live: true,
            own_pages,
            freed_by: 0,
            freed_at: 0,
            merged: 0,
        }
    }

    /// Returns the last block, live or freed, that begins at `offset` or before.
    pub(crate) fn last_before(&self, offset: usize) -> Option<&Block> {
        self.blocks.get(self.index(offset)?)
    }

    /// Returns the index of the block of [`Pool::last_before`].
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

    /// Returns the block, live or freed, that holds the byte at `offset`.
    pub(crate) fn find(&self, offset: usize) -> Option<&Block> {
        let block = self.last_before(offset)?;
        (offset < block.offset + block.size.max(1)).then_some(block)
    }

    /// Notes that the live block at `offset` has been freed.
    pub(crate) fn free(&mut self, offset: usize, processor: usize, step: u64) {
        let Some(index) = self.index(offset) else { return };
        if let Some(block) = self.blocks.get_mut(index) {
            block.live = false;
            block.freed_by = processor;
            block.freed_at = step;
            self.freed.push_back(Freed::of(index, block));
            self.unmerged = true;
            self.live -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
