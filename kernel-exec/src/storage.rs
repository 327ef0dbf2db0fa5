//! Memory of the driver's own, for one task at a time.

#[cfg(all(test, loom))]
mod loom_tests;

use core::{alloc::Layout, mem::MaybeUninit, ptr::NonNull};

use crate::{
    alloc::{Allocator, NonPaged},
    sync::{AtomicUsize, KernelCell, Ordering, const_fn},
};

/// Memory of the driver's own for one task at a time, which allocates nothing.
///
/// A `&'static TaskStorage` is an [`Allocator`] of one block, which
/// [`TaskBuilder::allocator`](crate::TaskBuilder::allocator) takes. A future for which the storage
/// is too small, or not aligned enough, does not compile. [`needed`](Self::needed) says how many
/// bytes a task on DPCs needs. A spawn in storage that is another task's fails with
/// `STATUS_INSUFFICIENT_RESOURCES`. The storage is free again when the task has ended and every
/// handle, waker and other reference to it is gone.
///
/// It must be in non-paged memory, as a driver's statics and device extensions are. A driver that
/// borrows storage in a device extension for `'static` does so at its own risk. The storage must
/// stay until [`is_free`](Self::is_free) says so after [`drain`](crate::TaskTracker::drain). From
/// then on no task may be spawned in it. So delete the device only then.
///
/// ```
/// use ntcom_exec::{NTSTATUS, TaskBuilder, TaskStorage};
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// static STORAGE: TaskStorage<1024> = TaskStorage::new();
///
/// let handle = TaskBuilder::new().allocator(&STORAGE).spawn(core::future::pending()).unwrap();
/// let second = TaskBuilder::new().allocator(&STORAGE).spawn(async {});
/// assert_eq!(second.err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
/// handle.cancel();
/// drop(handle);
/// assert!(STORAGE.is_free());
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
///
/// ```compile_fail,E0080
/// # use ntcom_exec::{TaskBuilder, TaskStorage};
/// static SMALL: TaskStorage<16> = TaskStorage::new();
/// let _ = TaskBuilder::new().allocator(&SMALL).spawn(async {});
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
}

impl<const SIZE: usize> Default for TaskStorage<SIZE> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: 1. the call that turns `taken` from 0 to 1 has the room, of SIZE bytes aligned to 16,
// until it is given back; 2. a static or device extension is resident, by the storage's contract;
// 3. nothing panics.
unsafe impl<const SIZE: usize> Allocator for &'static TaskStorage<SIZE> {
    const NON_PAGED: bool = true;
    const __ROOM: (usize, usize) = (SIZE, align_of::<TaskStorage<SIZE>>());

    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() > SIZE || layout.align() > align_of::<TaskStorage<SIZE>>() {
            return None;
        }
        // Acquire: the use of the memory by the task before has ended.
        self.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
        NonNull::new(self.memory.get().cast())
    }

    unsafe fn free(&self, _memory: NonNull<u8>, _layout: Layout) {
        self.taken.store(0, Ordering::Release);
    }
}

// SAFETY: `NON_PAGED` is true.
unsafe impl<const SIZE: usize> NonPaged for &'static TaskStorage<SIZE> {}
