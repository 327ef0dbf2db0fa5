//! Pool: which part of the arena is which block. The bytes themselves are [`crate::arena`]'s.

extern crate alloc;

use alloc::{collections::VecDeque, vec::Vec};

/// Bytes of the simulated pool. Only what is used is ever touched.
pub(crate) const ARENA: usize = 4 << 20;
/// Bytes between two blocks that nobody may touch.
pub(crate) const GUARD: usize = 32;
/// What a shadow byte stands for, and every block's alignment.
pub(crate) const GRAIN: usize = 16;
/// Blocks of this size or more are aligned to it.
pub(crate) const PAGE: usize = 4096;

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
    /// The processor that freed it.
    pub(crate) freed_by: usize,
    /// The step at which it was freed.
    pub(crate) freed_at: u64,
}

/// The pool.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// By offset.
    blocks: Vec<Block>,
    /// Freed blocks, oldest first, as indexes: reused only when the arena is used up.
    freed: VecDeque<usize>,
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

    /// Makes a block; none where there is no room.
    pub(crate) fn allocate(
        &mut self,
        size: usize,
        tag: u32,
        paged: bool,
        kernel: bool,
        align: usize,
    ) -> Option<(Block, Place)> {
        let room = size.checked_next_multiple_of(GRAIN)?;
        let mut block = Block {
            offset: 0,
            size,
            room,
            tag,
            number: self.allocations,
            paged,
            kernel,
            live: true,
            freed_by: 0,
            freed_at: 0,
        };
        let offset = self.top.next_multiple_of(align);
        let end = offset.checked_add(room)?.checked_add(GUARD)?;
        let place = if end <= ARENA {
            block.offset = offset;
            let padding = offset - self.top;
            self.blocks.push(block);
            self.top = end;
            Place::Fresh { padding }
        } else {
            let blocks = &self.blocks;
            let fits = |index: &usize| {
                blocks.get(*index).is_some_and(|old| old.room == room && old.offset.is_multiple_of(align))
            };
            let position = self.freed.iter().position(fits)?;
            let index = self.freed.remove(position)?;
            let old = self.blocks.get_mut(index)?;
            block.offset = old.offset;
            *old = block;
            Place::Reused
        };
        self.allocations += 1;
        self.live += 1;
        Some((block, place))
    }

    /// The block, live or freed, that holds the byte at `offset`.
    pub(crate) fn find(&self, offset: usize) -> Option<&Block> {
        let after = self.blocks.partition_point(|block| block.offset <= offset);
        let block = self.blocks.get(after.checked_sub(1)?)?;
        (offset < block.offset + block.size.max(1)).then_some(block)
    }

    /// Notes that the block at `offset`, which is live, has been freed.
    pub(crate) fn free(&mut self, offset: usize, processor: usize, step: u64) {
        let after = self.blocks.partition_point(|block| block.offset <= offset);
        let Some(index) = after.checked_sub(1) else { return };
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
    use super::{ARENA, GUARD, PAGE, Place, Pool};

    fn pool() -> Pool {
        let mut pool = Pool::default();
        pool.reset();
        pool
    }

    #[test]
    fn blocks_are_apart_by_a_guard() {
        let mut pool = pool();
        let (first, _) = pool.allocate(20, 1, false, false, 16).unwrap();
        let (second, _) = pool.allocate(20, 1, false, false, 16).unwrap();
        assert_eq!(second.offset, first.offset + 32 + GUARD);
        assert_eq!(pool.find(first.offset + 19).unwrap().number, 0);
        assert!(pool.find(first.offset + 20).is_none());
    }

    #[test]
    fn freed_memory_is_reused_only_when_the_arena_is_used_up() {
        let mut pool = pool();
        let (first, _) = pool.allocate(PAGE, 1, false, false, PAGE).unwrap();
        pool.free(first.offset, 0, 0);
        let (second, place) = pool.allocate(PAGE, 1, false, false, PAGE).unwrap();
        assert_ne!(first.offset, second.offset);
        assert!(matches!(place, Place::Fresh { .. }));
        while pool.top() + 2 * PAGE + GUARD <= ARENA {
            pool.allocate(PAGE, 1, false, false, PAGE).unwrap();
        }
        let (last, place) = pool.allocate(PAGE, 1, false, false, PAGE).unwrap();
        if place == Place::Reused {
            assert_eq!(last.offset, first.offset);
        } else {
            assert_eq!(pool.allocate(PAGE, 1, false, false, PAGE).unwrap().0.offset, first.offset);
        }
        assert!(pool.allocate(PAGE, 1, false, false, PAGE).is_none());
    }
}
