//! Memory of the driver's own, for one task at a time.

#[cfg(all(test, loom))]
mod loom_tests;

use core::{alloc::Layout, mem::MaybeUninit, ptr::NonNull};

use crate::{
    alloc::{Allocator, NonPaged},
    sync::{AtomicUsize, KernelCell, Ordering, const_fn},
};

/// Storage for one task, in a driver's static or device extension, so that the task allocates
/// nothing ([`DpcOptions::spawn_in`](crate::DpcOptions::spawn_in)).
///
/// It must be in non-paged memory, as a driver's statics and device extensions are. Storage in a
/// device extension is borrowed for `'static` at the driver's own risk. It must stay until
/// [`is_free`](Self::is_free) returns true for good, after [`drain`](crate::TaskTracker::drain).
/// Only then may the device be deleted.
///
/// ```
/// static STORAGE: ntcom_exec::TaskStorage<1024> = ntcom_exec::TaskStorage::new();
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// assert!(STORAGE.is_free());
/// # }).unwrap();
/// ```
#[repr(C, align(16))]
pub struct TaskStorage<const SIZE: usize> {
    memory: KernelCell<MaybeUninit<[u8; SIZE]>>,
    /// 1 while a task's block is in `memory`.
    taken: AtomicUsize,
}

// SAFETY: `memory` belongs to the task that took it by its allocation.
unsafe impl<const SIZE: usize> Sync for TaskStorage<SIZE> {}
// SAFETY: it is never moved while it is taken, because it is borrowed for good then.
unsafe impl<const SIZE: usize> Send for TaskStorage<SIZE> {}

impl<const SIZE: usize> TaskStorage<SIZE> {
    const_fn! {
        /// Makes free storage.
        #[must_use]
        pub fn new() -> Self {
            Self { memory: KernelCell::new(MaybeUninit::uninit()), taken: AtomicUsize::new(0) }
        }
    }

    /// Tells whether no task is in the storage and no reference to an earlier one is left.
    /// IRQL: any.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.taken.load(Ordering::Acquire) == 0
    }

    pub(crate) const fn allocator(&'static self) -> InPlace<SIZE> {
        InPlace(self)
    }
}

impl<const SIZE: usize> Default for TaskStorage<SIZE> {
    fn default() -> Self {
        Self::new()
    }
}

/// An allocator of one block, which is the storage.
pub(crate) struct InPlace<const SIZE: usize>(&'static TaskStorage<SIZE>);

// SAFETY: 1. The allocation that turns `taken` from 0 to 1 has the memory, of SIZE bytes aligned to
// 16, until it is given back. 2. The storage's contract requires resident memory, as a static or
// device extension is. 3. Nothing panics.
unsafe impl<const SIZE: usize> Allocator for InPlace<SIZE> {
    const NON_PAGED: bool = true;

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() > SIZE || layout.align() > align_of::<TaskStorage<SIZE>>() {
            return None;
        }
        // Acquire: the use of the memory by the task before has ended.
        self.0.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
        NonNull::new(self.0.memory.get().cast())
    }

    unsafe fn free(&self, _memory: NonNull<u8>, _layout: Layout) {
        self.0.taken.store(0, Ordering::Release);
    }
}

// SAFETY: `NON_PAGED` is true.
unsafe impl<const SIZE: usize> NonPaged for InPlace<SIZE> {}
