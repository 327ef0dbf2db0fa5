//! Memory that the kernel writes.

use super::own;

/// Memory that the kernel, or the holder of a kernel lock, writes. Only its address is ever taken.
#[repr(transparent)]
#[derive(Default)]
pub(crate) struct KernelCell<T>(core::cell::UnsafeCell<T>);

impl<T> KernelCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> *mut T {
        // SAFETY: every use of the cell comes through here, and its value is reached by raw
        // pointers only.
        unsafe { own(&self.0) }.get()
    }

    /// The value, which the caller has to itself.
    pub(crate) const fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}
