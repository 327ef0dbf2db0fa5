//! [`GlobalAllocator`] as the `#[global_allocator]` of a driver, which a crate that names `alloc`
//! cannot link without.
//!
//! It exists on the real kernel only. A host program has the host's allocator, and the simulated
//! pool exists in a simulation only.

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr::{NonNull, null_mut},
};

use crate::alloc::{Allocator, GlobalAllocator};

// SAFETY: `Allocator` keeps these promises, because its memory is exclusive and of the layout, and
// neither function unwinds.
unsafe impl GlobalAlloc for GlobalAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some(memory) = NonNull::new(memory) else { return };
        // SAFETY: the caller promises that the memory is from `alloc` with this layout, and is not
        // used again.
        unsafe { self.free(memory, layout) }
    }
}
