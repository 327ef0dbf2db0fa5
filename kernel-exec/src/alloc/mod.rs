//! Allocators for the blocks of tasks and objects.

mod global;
mod pool;

use core::{alloc::Layout, ptr::NonNull};

use crate::status::NTSTATUS;

pub use global::GlobalAllocator;
pub use pool::{PagedPoolAllocator, PoolAllocator};

/// A source of memory for the blocks of tasks and COM objects.
///
/// A block may be given back at DISPATCH_LEVEL on any processor, wherever its last reference is
/// released, so an allocator for tasks must be non-paged. The spawn functions check
/// [`NON_PAGED`](Self::NON_PAGED) when they are compiled `[C13]`.
///
/// # Safety
/// 1. Memory from [`allocate`](Self::allocate) is valid for reads and writes of the layout, aligned
///    to it, and used by no other code until it is given back.
/// 2. `NON_PAGED` is true only if the memory is resident for all its life, and both functions may
///    be called at ≤ DISPATCH_LEVEL.
/// 3. Neither function unwinds.
///
/// ```
/// use core::{alloc::Layout, ptr::NonNull};
/// use ntcom_exec::{Allocator, GlobalAllocator};
///
/// /// Counts the allocations that it passes on.
/// struct Counting<'a>(&'a core::cell::Cell<usize>);
///
/// // SAFETY: `GlobalAllocator` keeps the promises on memory, residency and unwinding.
/// unsafe impl Allocator for Counting<'_> {
///     const NON_PAGED: bool = GlobalAllocator::NON_PAGED;
///     fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
///         self.0.set(self.0.get() + 1);
///         GlobalAllocator.allocate(layout)
///     }
///     unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
///         // SAFETY: the caller keeps the same promise.
///         unsafe { GlobalAllocator.free(memory, layout) }
///     }
/// }
/// ```
pub unsafe trait Allocator {
    /// True if the memory is never paged out, and both functions may be called at ≤ DISPATCH_LEVEL.
    const NON_PAGED: bool;

    /// The size and alignment of the largest block. A larger one does not compile.
    #[doc(hidden)]
    const __ROOM: (usize, usize) = (usize::MAX, usize::MAX);

    /// Checks that the allocator can allocate at all. A wrong pool tag is
    /// `STATUS_INVALID_PARAMETER`.
    #[doc(hidden)]
    fn __check(&self) -> Result<(), NTSTATUS> {
        Ok(())
    }

    /// Allocates memory of this size and alignment, not necessarily zeroed. Returns `None` if there
    /// is no memory.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL if `NON_PAGED`, otherwise ≤ APC_LEVEL.
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Gives memory back.
    ///
    /// IRQL: as for [`allocate`](Self::allocate).
    ///
    /// # Safety
    /// `memory` came from `allocate` of this allocator, or of one that was moved or cloned from or
    /// to it, with this `layout`. It is not used again.
    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout);
}

/// An allocator of memory that is never paged out, as the blocks of tasks and objects need `[C13]`.
///
/// # Safety
/// [`NON_PAGED`](Allocator::NON_PAGED) is true.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may be paged out: the block of an operation or object may be freed at DISPATCH_LEVEL",
    label = "not a non-paged allocator",
    note = "use `GlobalAllocator`, or implement `NonPaged` for an allocator whose `NON_PAGED` is true"
)]
pub unsafe trait NonPaged: Allocator {}
