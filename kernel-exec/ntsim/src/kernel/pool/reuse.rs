//! Freed blocks as room for new ones, once the arena is used up: the oldest first that is large
//! enough, of which the rest stays free. Where none is, neighbours become one.

extern crate alloc;

use alloc::vec::Vec;

use super::{Block, GRAIN, GUARD, PAGE, Pool, Request, layout};

/// A freed block, as the pool's list of them has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freed {
    /// Where the block begins.
    pub(super) offset: usize,
    /// Where its room begins: with pages of its own, the first page.
    start: usize,
    end: usize,
    /// The block's index when it was freed: it may have moved since.
    index: usize,
}

impl Freed {
    pub(super) fn of(index: usize, block: &Block) -> Self {
        Self { offset: block.offset, start: block.start(), end: block.offset + block.room, index }
    }
}

/// A freed block in which a new one fits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Which of the freed ones it is, and which of all.
    position: usize,
    index: usize,
    /// The block that was freed.
    pub(crate) old: Block,
    offset: usize,
    room: usize,
    /// Where the guard of the new block ends, or the old one's room.
    pub(crate) end: usize,
}

impl Room {
    /// Whether the new block is where the old one was, and no smaller.
    pub(crate) fn is_exact(&self) -> bool {
        self.offset == self.old.offset && self.room == self.old.room
    }

    /// Bytes between the old block's start and the new one's.
    pub(crate) fn padding(&self) -> usize {
        self.offset - self.old.start()
    }
}

impl Pool {
    /// The freed block to use for a request, if one is large enough.
    pub(crate) fn find_room(&self, request: Request, own_pages: bool) -> Option<Room> {
        let fits = |freed: &Freed| {
            let (offset, room) = layout(request, own_pages, freed.start)?;
            (offset.checked_add(room)? <= freed.end).then_some((offset, room))
        };
        let position = self.freed.iter().position(|freed| fits(freed).is_some())?;
        let freed = self.freed.get(position)?;
        let (offset, room) = fits(freed)?;
        let stays = |block: &&Block| block.offset == freed.offset;
        let index = match self.blocks.get(freed.index).filter(stays) {
            Some(_) => freed.index,
            None => self.index(freed.offset)?,
        };
        let old = *self.blocks.get(index)?;
        let end = freed.end.min(offset + room + guard(own_pages));
        Some(Room { position, index, old, offset, room, end })
    }

    /// Makes a block where [`Pool::find_room`] has found room for it.
    pub(crate) fn reuse(&mut self, request: Request, own_pages: bool, found: Room) -> Option<Block> {
        let Room { position, index, old, offset, room, .. } = found;
        let (end, old_end) = (offset + room, old.offset + old.room);
        let rest = old_end - end;
        let splits = rest >= guard(own_pages) + if own_pages { PAGE } else { GRAIN };
        // What is too little for a block is room of this one; pages are, once it is freed and has a
        // neighbour.
        let room = if splits || own_pages { room } else { room + rest };
        let block = self.made(request, own_pages, offset, room);
        *self.blocks.get_mut(index)? = block;
        self.recent.set(index);
        if splits {
            let offset = end + guard(own_pages);
            let rest = Block { offset, room: old_end - offset, size: old_end - offset, ..old };
            self.blocks.insert(index + 1, rest);
            *self.freed.get_mut(position)? = Freed::of(index + 1, &rest);
        } else {
            self.freed.remove(position);
        }
        Some(block)
    }

    /// Whether [`Pool::merge`] may find neighbours.
    pub(crate) fn can_merge(&self) -> bool {
        self.unmerged
    }

    /// Makes one freed block of freed neighbours and of what is lost between them; those that have
    /// grown.
    pub(crate) fn merge(&mut self) -> Vec<Block> {
        self.unmerged = false;
        self.recent.set(0);
        let mut kept: Vec<Block> = Vec::new();
        for block in self.blocks.drain(..) {
            match kept.last_mut() {
                Some(last) if !last.live && !block.live => {
                    last.merged += 1 + block.merged;
                    if block.freed_at > last.freed_at {
                        (last.freed_at, last.freed_by) = (block.freed_at, block.freed_by);
                    }
                }
                _ => kept.push(block),
            }
        }
        let mut grown = Vec::new();
        let mut next = self.top;
        for block in kept.iter_mut().rev() {
            let end = next - guard(block.own_pages);
            if !block.live && block.reach(end) {
                grown.push(*block);
            }
            // The guard before the block is that of the one before it.
            next = block.start();
        }
        self.blocks = kept;
        self.list_freed();
        grown
    }

    /// Has the last block, if it is freed, reach to the arena's end; then it has grown.
    pub(crate) fn stretch(&mut self) -> Option<Block> {
        let size = self.size;
        let last = self.blocks.last_mut().filter(|last| !last.live)?;
        if !last.reach(size - guard(last.own_pages)) {
            return None;
        }
        self.top = size;
        let last = *last;
        self.list_freed();
        Some(last)
    }

    /// Lists the freed blocks anew, those that were freed first in front.
    fn list_freed(&mut self) {
        let mut freed: Vec<(usize, &Block)> =
            self.blocks.iter().enumerate().filter(|(_, block)| !block.live).collect();
        freed.sort_by_key(|(_, block)| block.freed_at);
        self.freed = freed.into_iter().map(|(index, block)| Freed::of(index, block)).collect();
    }
}

impl Block {
    /// Extends a freed block's room; whether that is anything new.
    fn reach(&mut self, end: usize) -> bool {
        let room = end - self.offset;
        let grows = room != self.room;
        if grows {
            (self.room, self.size) = (room, room);
        }
        grows
    }
}

/// How many bytes behind a block no code may touch.
pub(super) fn guard(own_pages: bool) -> usize {
    if own_pages { PAGE } else { GUARD }
}
