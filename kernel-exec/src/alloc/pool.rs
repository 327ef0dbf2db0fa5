//! Pool memory, with a tag of the driver's choice.

use core::{alloc::Layout, ptr::NonNull};

use super::{Allocator, NonPaged};
use crate::{nt, status::NTSTATUS};

/// The pool's alignment on 64-bit
/// (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatepool2).
const POOL_ALIGN: usize = 16;

/// Non-paged pool with a tag (`ExAllocatePool2`). Without a kernel it is the host's memory.
///
/// Every alignment is kept, as by [`GlobalAllocator`](crate::GlobalAllocator), which is this
/// allocator with the tag `Ntcm`. IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// # use ntcom_exec::{Allocator, PoolAllocator};
/// # use core::alloc::Layout;
/// const SAMPLES: PoolAllocator = PoolAllocator::with_tag(*b"Smpl");
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let layout = Layout::new::<[u64; 8]>();
/// let memory = SAMPLES.allocate(layout).unwrap();
/// // SAFETY: the memory is from the allocation above.
/// unsafe { SAMPLES.free(memory, layout) };
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolAllocator {
    tag: u32,
}

impl PoolAllocator {
    /// The allocator with this crate's tag, `Ntcm`.
    pub(crate) const DEFAULT: Self = Self::with_tag(*b"Ntcm");

    /// Makes an allocator with this tag, as a debugger prints it. Four zeros are not a tag, so
    /// nothing is allocated with them.
    #[must_use]
    pub const fn with_tag(tag: [u8; 4]) -> Self {
        Self { tag: u32::from_le_bytes(tag) }
    }
}

/// Returns the size to ask of the pool for a layout. An over-aligned layout needs its alignment in
/// addition. Returns `None` on overflow.
fn pool_size(layout: Layout) -> Option<usize> {
    if layout.align() <= POOL_ALIGN {
        // The pool refuses to allocate zero bytes.
        Some(layout.size().max(1))
    } else {
        layout.size().checked_add(layout.align())
    }
}

/// Returns the offset of an over-aligned block in the pool's memory.
///
/// It is 16..=align bytes from the base, because the base is aligned to 16, so there is room for
/// the base pointer before the block.
const fn block_offset(base: usize, align: usize) -> usize {
    align - (base & (align - 1))
}

/// Allocates a block of this layout in memory from `pool`, which takes a size.
fn allocate_from(pool: impl FnOnce(usize) -> *mut u8, layout: Layout) -> Option<NonNull<u8>> {
    let base = NonNull::new(pool(pool_size(layout)?))?;
    if layout.align() <= POOL_ALIGN {
        return Some(base);
    }
    let offset = block_offset(base.addr().get(), layout.align());
    // SAFETY: `offset` ≤ align, and align + size bytes were allocated.
    let block = unsafe { base.add(offset) };
    let slot = block.cast::<NonNull<u8>>();
    // SAFETY: at least 16 bytes of the allocation stand before `block`.
    let slot = unsafe { slot.sub(1) };
    // SAFETY: the slot is inside the allocation, and aligned because `block` is.
    unsafe { slot.write(base) };
    Some(block)
}

/// Gives a block back to the pool.
///
/// # Safety
/// The block came from `allocate_from` with this layout and a pool of this tag, and is not used
/// again.
unsafe fn free(memory: NonNull<u8>, layout: Layout, tag: u32) {
    let Some(size) = pool_size(layout) else { return };
    let base = if layout.align() <= POOL_ALIGN {
        memory
    } else {
        let slot = memory.cast::<NonNull<u8>>();
        // SAFETY: `allocate_from` put the base pointer before the block.
        let slot = unsafe { slot.sub(1) };
        // SAFETY: `allocate_from` put the base pointer there.
        unsafe { slot.read() }
    };
    // SAFETY: the memory came from the pool with this tag and size; the caller does not use it
    // again.
    unsafe { nt::free_pool(base.as_ptr(), size, tag) }
}

// SAFETY: 1. the pool hands out exclusive memory, and the arithmetic above stays inside the
// requested size; 2. POOL_FLAG_NON_PAGED memory is resident, and both pool calls are documented for
// ≤ DISPATCH_LEVEL; 3. nothing panics.
unsafe impl Allocator for PoolAllocator {
    const NON_PAGED: bool = true;

    fn __check(&self) -> Result<(), NTSTATUS> {
        if self.tag == 0 { Err(NTSTATUS::INVALID_PARAMETER) } else { Ok(()) }
    }

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.__check().ok()?;
        allocate_from(|size| nt::allocate_pool(size, self.tag), layout)
    }

    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller got the memory from this allocator with this layout, and does not use
        // it again.
        unsafe { free(memory, layout, self.tag) }
    }
}

// SAFETY: `NON_PAGED` is true.
unsafe impl NonPaged for PoolAllocator {}

/// Paged pool with a tag (`ExAllocatePool2`). Without a kernel it is the host's memory.
///
/// It is for data that is used at PASSIVE_LEVEL only. The compiler ensures that no task or COM
/// object is in it.
///
/// Otherwise it is as [`PoolAllocator`]. IRQL: ≤ APC_LEVEL.
///
/// ```
/// # use ntcom_exec::{Allocator, PagedPoolAllocator};
/// # use core::alloc::Layout;
/// const NAMES: PagedPoolAllocator = PagedPoolAllocator::with_tag(*b"Name");
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// for align in [8, 256] {
///     let layout = Layout::from_size_align(100, align).unwrap();
///     let memory = NAMES.allocate(layout).unwrap();
///     assert!(memory.addr().get().is_multiple_of(align));
///     // SAFETY: the memory is from the allocation above.
///     unsafe { NAMES.free(memory, layout) };
/// }
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PagedPoolAllocator {
    tag: u32,
}

impl PagedPoolAllocator {
    /// Makes an allocator with this tag, as a debugger prints it. Four zeros are not a tag, so
    /// nothing is allocated with them.
    #[must_use]
    pub const fn with_tag(tag: [u8; 4]) -> Self {
        Self { tag: u32::from_le_bytes(tag) }
    }
}

// SAFETY: 1. as for `PoolAllocator`, with paged memory; 2. `NON_PAGED` is false; 3. nothing panics.
unsafe impl Allocator for PagedPoolAllocator {
    const NON_PAGED: bool = false;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if self.tag == 0 {
            return None;
        }
        allocate_from(|size| nt::allocate_paged_pool(size, self.tag), layout)
    }

    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller got the memory from this allocator with this layout, and does not use
        // it again.
        unsafe { free(memory, layout, self.tag) }
    }
}

#[cfg(test)]
mod tests {
    use core::alloc::Layout;

    use super::{POOL_ALIGN, block_offset, pool_size};

    /// Tries every base address of the pool's memory, which the simulated pool alone does not show.
    #[test]
    fn an_over_aligned_block_is_inside_of_the_pools_block() {
        for align in [32, 64, 256, 4096] {
            for size in [1, 8, 100, 4096] {
                let layout = Layout::from_size_align(size, align).unwrap();
                let total = pool_size(layout).unwrap();
                for base in (0..2 * align).step_by(POOL_ALIGN) {
                    let offset = block_offset(base, align);
                    assert_eq!((base + offset) % align, 0, "{layout:?} at {base}");
                    assert!(offset >= size_of::<usize>(), "{layout:?} at {base}: room for the base");
                    assert!(offset + size <= total, "{layout:?} at {base}");
                }
            }
        }
    }

    #[test]
    fn the_pool_is_never_asked_for_nothing() {
        for align in [1, 16, 64] {
            assert!(pool_size(Layout::from_size_align(0, align).unwrap()).unwrap() > 0);
        }
    }
}
