//! A value under a spin lock of the kernel.

use core::cell::UnsafeCell;

use crate::kernel::{KSPIN_LOCK, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock};

/// A value that one processor uses at a time. IRQL: ≤ DISPATCH_LEVEL.
pub(crate) struct SpinLock<T> {
    lock: UnsafeCell<KSPIN_LOCK>,
    value: UnsafeCell<T>,
}

// SAFETY: a processor uses the value only while it holds the lock.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        // An initialised lock is zero.
        Self { lock: UnsafeCell::new(0), value: UnsafeCell::new(value) }
    }

    /// Calls `f` with the value, at DISPATCH_LEVEL. `f` must not use this lock again.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the lock is initialised, and its memory is resident.
        let irql = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        // SAFETY: this processor holds the lock.
        let result = f(unsafe { &mut *self.value.get() });
        // SAFETY: this processor has held the lock since the acquisition above.
        unsafe { KeReleaseSpinLock(self.lock.get(), irql) };
        result
    }
}
