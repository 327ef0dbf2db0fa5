//! `KBox`, a box with an allocation that may fail.

use core::{
    alloc::Layout,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    pin::Pin,
    ptr::NonNull,
};

use super::{Init, init_with};
use crate::{Allocator, GlobalAllocator, NTSTATUS};

/// A value in a memory block of its own, from an [`Allocator`].
///
/// It is `Send` and `Sync` if the value and the allocator are. It takes one word if the allocator
/// has size zero.
///
/// IRQL: allocating and dropping need the IRQL that the allocator allows (≤ DISPATCH_LEVEL for
/// non-paged ones). Dropping also needs the IRQL that the value's drop allows.
///
/// ```
/// use ntcom::{KBox, NTSTATUS};
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let mut boxed = KBox::new(41_u32).unwrap();
/// *boxed += 1;
/// assert_eq!(*boxed, 42);
///
/// ntsim::fail_allocation(0);
/// assert_eq!(KBox::new(41_u32).err(), Some(NTSTATUS::INSUFFICIENT_RESOURCES));
/// # }).unwrap();
/// ```
pub struct KBox<T, A: Allocator = GlobalAllocator> {
    value: NonNull<T>,
    allocator: ManuallyDrop<A>,
}

// SAFETY: the box owns the value and the allocator, and both are `Send`.
unsafe impl<T: Send, A: Allocator + Send> Send for KBox<T, A> {}
// SAFETY: sharing the box shares the value and the allocator, and both are `Sync`.
unsafe impl<T: Sync, A: Allocator + Sync> Sync for KBox<T, A> {}

impl<T> KBox<T> {
    /// Makes a box in non-paged pool.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory. The value has been dropped.
    pub fn new(value: T) -> Result<Self, NTSTATUS> {
        Self::new_in(value, GlobalAllocator)
    }
}

impl<T, A: Allocator> KBox<T, A> {
    /// Makes a box in memory of this allocator.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory. The value has been dropped.
    pub fn new_in(value: T, allocator: A) -> Result<Self, NTSTATUS> {
        Self::init_in(allocator, init_with(|| Ok(value)))
    }

    /// Makes a box, and builds its value in place.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory; nothing has been built then.
    /// Otherwise the initialiser's own error.
    pub fn init_in<E: From<NTSTATUS>>(allocator: A, init: impl Init<T, E>) -> Result<Self, E> {
        // A panic in the initialiser leaks the memory, because it is not known which parts of the
        // value have been built.
        let layout = Layout::new::<T>();
        let memory = allocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?;
        let value = memory.cast::<T>();
        // SAFETY: the new memory has the layout of a `T`, and the value stays there until the box
        // is dropped.
        match unsafe { init.init(value) } {
            Ok(()) => Ok(Self { value, allocator: ManuallyDrop::new(allocator) }),
            Err(error) => {
                // SAFETY: the memory is from this allocator, with this layout, and holds no value.
                unsafe { allocator.free(memory, layout) };
                Err(error)
            }
        }
    }

    /// Makes a pinned box, and builds its value in place.
    ///
    /// # Errors
    /// As for [`init_in`](Self::init_in).
    ///
    /// ```
    /// use ntcom::{GlobalAllocator, KBox, NTSTATUS, pin_init};
    ///
    /// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let pinned: Result<_, NTSTATUS> = KBox::pin_in(GlobalAllocator, pin_init!(async { 5_u8 }));
    /// assert!(pinned.is_ok());
    /// # }).unwrap();
    /// ```
    pub fn pin_in<E: From<NTSTATUS>>(allocator: A, init: impl Init<T, E>) -> Result<Pin<Self>, E> {
        let boxed = Self::init_in(allocator, init)?;
        // SAFETY: a box does not move its value, and drops it where it is.
        Ok(unsafe { Pin::new_unchecked(boxed) })
    }
}

impl<T, A: Allocator> Deref for KBox<T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the box owns the value, which is initialised.
        unsafe { self.value.as_ref() }
    }
}

impl<T, A: Allocator> DerefMut for KBox<T, A> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the box owns the value, and `&mut self` borrows it exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T, A: Allocator> Drop for KBox<T, A> {
    fn drop(&mut self) {
        // SAFETY: the box owns the value, which is not used again.
        unsafe { self.value.drop_in_place() };
        // SAFETY: only this drop takes the allocator.
        let allocator = unsafe { ManuallyDrop::take(&mut self.allocator) };
        // SAFETY: `init_in` allocated the memory from this allocator, with this layout.
        unsafe { allocator.free(self.value.cast(), Layout::new::<T>()) };
    }
}

impl<T: core::fmt::Debug, A: Allocator> core::fmt::Debug for KBox<T, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        T::fmt(self, f)
    }
}
