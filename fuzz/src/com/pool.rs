//! An allocator with a number that checks its blocks. A block must come back to its allocator, with
//! the same layout.

use core::{alloc::Layout, ptr::NonNull};

use ntcom::{Allocator, GlobalAllocator, NonPaged};

use super::world::{self, Block};

/// A non-paged pool with a number.
pub(super) struct Pool {
    number: u32,
}

impl Pool {
    /// Creates the allocator with the next number.
    pub(super) fn new() -> Self {
        let number = world::with(|world| {
            world.pools.set(world.pools.get() + 1);
            world.next_pool.replace(world.next_pool.get() + 1)
        });
        Self { number }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        world::with(|world| world.pools.set(world.pools.get() - 1));
    }
}

// SAFETY: `GlobalAllocator` provides the memory, which is resident, and does not unwind.
unsafe impl Allocator for Pool {
    const NON_PAGED: bool = true;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let memory = GlobalAllocator.allocate(layout)?;
        let block = Block { address: memory.addr().get(), layout, pool: self.number };
        world::with(|world| world.blocks.borrow_mut().push(block));
        Some(memory)
    }

    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
        let address = memory.addr().get();
        let found = world::with(|world| {
            let mut blocks = world.blocks.borrow_mut();
            let found = blocks.iter().position(|block| block.address == address);
            found.map(|found| blocks.swap_remove(found))
        });
        match found {
            None => ntsim::fail("allocator", format!("{address:#x} is freed, but is not an allocated block")),
            Some(block) if block.pool != self.number => {
                let (from, to) = (block.pool, self.number);
                ntsim::fail("allocator", format!("a block of pool {from} is freed to pool {to}"));
            }
            Some(block) if block.layout != layout => {
                let from = block.layout;
                ntsim::fail("allocator", format!("a block with {from:?} is freed with {layout:?}"));
            }
            // SAFETY: the caller passes a block of this allocator with its layout, which
            // `GlobalAllocator` allocated.
            Some(_) => unsafe { GlobalAllocator.free(memory, layout) },
        }
    }
}

// SAFETY: `GlobalAllocator` is non-paged, and all memory comes from it.
unsafe impl NonPaged for Pool {}
