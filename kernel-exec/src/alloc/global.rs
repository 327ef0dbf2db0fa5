//! The allocator of a driver image, which uses non-paged pool.

use core::{alloc::Layout, ptr::NonNull};

use super::{Allocator, NonPaged, PoolAllocator};

/// Non-paged pool with the tag `Ntcm` (`ExAllocatePool2`). Without a kernel it is the host's
/// memory.
///
/// Every alignment is kept. Above the pool's own 16 bytes a block is made larger by its alignment,
/// and the pool's pointer stands just before it. IRQL: ≤ DISPATCH_LEVEL.
///
/// On the real kernel (feature `wdk`) the type is a [`GlobalAlloc`](core::alloc::GlobalAlloc) too,
/// for a driver's `#[global_allocator]`:
/// `static POOL: GlobalAllocator = GlobalAllocator;`
#[derive(Clone, Copy, Default, Debug)]
pub struct GlobalAllocator;

// SAFETY: `PoolAllocator` keeps these promises.
unsafe impl Allocator for GlobalAllocator {
    const NON_PAGED: bool = PoolAllocator::NON_PAGED;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        PoolAllocator::DEFAULT.allocate(layout)
    }

    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the memory came from `PoolAllocator` with this layout, as the caller promises.
        unsafe { PoolAllocator::DEFAULT.free(memory, layout) }
    }
}

// SAFETY: `NON_PAGED` is true, as for `PoolAllocator`.
unsafe impl NonPaged for GlobalAllocator {}
