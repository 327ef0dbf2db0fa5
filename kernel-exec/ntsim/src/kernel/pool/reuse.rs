//! Reuse of freed blocks for new ones, once the arena is used up. The oldest block that is large
//! enough is used, and its rest stays free. If no block is large enough, neighbours are merged.

extern crate alloc;

use alloc::vec::Vec;

use super::{Block, GRAIN, GUARD, PAGE, Pool, Request, layout};

/// A freed block, as an entry of the pool's list of freed blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freed {
    /// The offset at which the block begins.
    pub(super) offset: usize,
    /// The offset at which its room begins. With pages of its own, that is the first page.
    start: usize,
    end: usize,
    /// The block's index when it was freed. It may have moved since.
    index: usize,
}

impl Freed {
    pub(super) fn of(index: usize, block: &Block) -> Self {
        Self { offset: block.offset, start: block.start(), end: block.offset + block.room, index }
    }
}

/// A freed block that a new one fits in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Its index among the freed blocks, and its index among all.
    position: usize,
    index: usize,
    /// The block that was freed.
    pub(crate) old: Block,
    offset: usize,
    room: usize,
    /// The end of the new block's guard, or of the old block's room.
    pub(crate) end: usize,
}

impl Room {
    /// Returns whether the new block is where the old one was, and no smaller.
    pub(crate) fn is_exact(&self) -> bool {
        self.offset == self.old.offset && self.room == self.old.room
    }

    /// Returns the bytes between the old block's start and the new one's.
    pub(crate) fn padding(&self) -> usize {
        self.offset - self.old.start()
    }
}

impl Pool {
    /// Returns the freed block to use for a request, if one is large enough.
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

    /// Creates a block in the room that [`Pool::find_room`] has found.
    pub(crate) fn reuse(&mut self, request: Request, own_pages: bool, found: Room) -> Option<Block> {
        let Room { position, index, old, offset, room, .. } = found;
        let (end, old_end) = (offset + room, old.offset + old.room);
        let rest = old_end - end;
        let splits = rest >= guard(own_pages) + if own_pages { PAGE } else { GRAIN };
        // A rest that is too small for a block becomes room of this one. A rest of pages is merged
        // later, once the block is freed and has a freed neighbour.
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

    /// Returns whether [`Pool::merge`] may find neighbours.
    pub(crate) fn can_merge(&self) -> bool {
        self.unmerged
    }

    /// Merges freed neighbours and the bytes lost between them into one block each. Returns the
    /// blocks that have grown.
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
            // The guard before the block belongs to the block before it.
            next = block.start();
        }
        self.blocks = kept;
        self.list_freed();
        grown
    }

    /// Extends the last block, if it is freed, to the arena's end. Returns it if it has grown.
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

    /// Rebuilds the list of freed blocks, in the order in which they were freed.
    fn list_freed(&mut self) {
        let mut freed: Vec<(usize, &Block)> =
            self.blocks.iter().enumerate().filter(|(_, block)| !block.live).collect();
        freed.sort_by_key(|(_, block)| block.freed_at);
        self.freed = freed.into_iter().map(|(index, block)| Freed::of(index, block)).collect();
    }
}

impl Block {
    /// Extends a freed block's room. Returns whether it has grown.
    fn reach(&mut self, end: usize) -> bool {
        let room = end - self.offset;
        let grows = room != self.room;
        if grows {
            (self.room, self.size) = (room, room);
        }
        grows
    }
}

/// Returns how many bytes after a block no code may touch.
pub(super) fn guard(own_pages: bool) -> usize {
    if own_pages { PAGE } else { GUARD }
}
