//! A lock: the kernel's spin lock, or a loom model's.

#[cfg(kernel)]
pub(crate) use in_kernel::SpinLock;
#[cfg(all(test, loom))]
pub(crate) use in_loom::SpinLock;

#[cfg(kernel)]
mod in_kernel {
    use crate::{nt, sync::KernelCell};

    /// A value under a spin lock. IRQL ≤ DISPATCH_LEVEL; under it DISPATCH_LEVEL.
    pub(crate) struct SpinLock<T> {
        lock: KernelCell<nt::KSPIN_LOCK>,
        value: KernelCell<T>,
    }

    // SAFETY: the value is only touched under the lock, by whichever processor; what it points to is its owner's promise.
    unsafe impl<T> Sync for SpinLock<T> {}

    impl<T> SpinLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            // An initialised KSPIN_LOCK is zero.
            Self { lock: KernelCell::new(0), value: KernelCell::new(value) }
        }

        /// Calls `f` under the lock. It does not come back here.
        pub(crate) fn locked<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            // SAFETY: initialised, resident; ≤ DISPATCH_LEVEL by the contract of every caller; not held by this processor, because
            // no `f` calls back.
            let irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
            // SAFETY: the lock is held, and `f` does not come back here.
            let result = f(unsafe { &mut *self.value.get() });
            // SAFETY: held since above.
            unsafe { nt::KeReleaseSpinLock(self.lock.get(), irql) };
            result
        }
    }
}

#[cfg(all(test, loom))]
mod in_loom {
    use loom::sync::Mutex;

    /// A value under a lock of loom's.
    pub(crate) struct SpinLock<T>(Mutex<T>);

    // SAFETY: the value is only touched under the lock.
    unsafe impl<T> Sync for SpinLock<T> {}
    // SAFETY: as above.
    unsafe impl<T> Send for SpinLock<T> {}

    impl<T> SpinLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn locked<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock().unwrap())
        }
    }
}
