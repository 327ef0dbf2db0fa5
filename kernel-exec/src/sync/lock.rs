//! A spin lock of the kernel, or a lock of a loom model.

#[cfg(kernel)]
pub(crate) use in_kernel::SpinLock;
#[cfg(all(test, loom))]
pub(crate) use in_loom::SpinLock;

#[cfg(kernel)]
mod in_kernel {
    use crate::{nt, sync::KernelCell};

    /// A value under a spin lock. IRQL: ≤ DISPATCH_LEVEL; DISPATCH_LEVEL while the lock is held.
    pub(crate) struct SpinLock<T> {
        lock: KernelCell<nt::KSPIN_LOCK>,
        value: KernelCell<T>,
    }

    // SAFETY: the value is only touched under the lock, on any processor; the owner of the value
    // answers for any pointers in it.
    unsafe impl<T> Sync for SpinLock<T> {}

    impl<T> SpinLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            // An initialised KSPIN_LOCK is zero.
            Self { lock: KernelCell::new(0), value: KernelCell::new(value) }
        }

        /// Calls `f` under the lock. `f` must not take the same lock.
        pub(crate) fn locked<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            // SAFETY: the lock is initialised and resident; every caller is at ≤ DISPATCH_LEVEL;
            // this processor does not hold it, because no `f` takes it again.
            let irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
            // SAFETY: the lock is held, and `f` does not take it again.
            let result = f(unsafe { &mut *self.value.get() });
            // SAFETY: the lock has been held since the acquire above.
            unsafe { nt::KeReleaseSpinLock(self.lock.get(), irql) };
            result
        }
    }
}

#[cfg(all(test, loom))]
mod in_loom {
    use loom::sync::Mutex;

    /// A value under a lock of loom.
    pub(crate) struct SpinLock<T>(Mutex<T>);

    // SAFETY: the value is only touched under the lock.
    unsafe impl<T> Sync for SpinLock<T> {}
    // SAFETY: the value is only touched under the lock.
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
