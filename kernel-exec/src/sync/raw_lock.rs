//! The lock without its value, which is a KSPIN_LOCK, or a spinning word without a kernel.

pub(super) use backend::RawLock;

#[cfg(kernel)]
mod backend {
    use crate::{nt, sync::KernelCell};

    /// A KSPIN_LOCK.
    pub(in super::super) struct RawLock(KernelCell<nt::KSPIN_LOCK>);

    impl RawLock {
        pub(in super::super) const fn new() -> Self {
            // An initialised KSPIN_LOCK is zero.
            Self(KernelCell::new(0))
        }

        /// Acquires the lock, and returns the IRQL before it. IRQL: ≤ DISPATCH_LEVEL.
        pub(in super::super) fn acquire(&self) -> u8 {
            // SAFETY: the lock is initialised and resident, and the caller is at ≤ DISPATCH_LEVEL.
            unsafe { nt::KeAcquireSpinLockRaiseToDpc(self.0.get()) }
        }

        /// # Safety
        /// The caller holds the lock by [`acquire`](Self::acquire), which returned `irql`.
        pub(in super::super) unsafe fn release(&self, irql: u8) {
            // SAFETY: the caller holds the lock, and passes the IRQL before it.
            unsafe { nt::KeReleaseSpinLock(self.0.get(), irql) }
        }

        /// # Safety
        /// IRQL: DISPATCH_LEVEL.
        pub(in super::super) unsafe fn acquire_at_dispatch(&self) {
            // SAFETY: the lock is initialised and resident, and the caller is at DISPATCH_LEVEL.
            unsafe { nt::KeAcquireSpinLockAtDpcLevel(self.0.get()) }
        }

        /// # Safety
        /// The caller holds the lock by [`acquire_at_dispatch`](Self::acquire_at_dispatch).
        pub(in super::super) unsafe fn release_at_dispatch(&self) {
            // SAFETY: the caller holds the lock, and acquired it at DISPATCH_LEVEL.
            unsafe { nt::KeReleaseSpinLockFromDpcLevel(self.0.get()) }
        }

        /// Calls `f` while this processor holds the lock as a queued one. IRQL: ≤ DISPATCH_LEVEL.
        pub(in super::super) fn queued<R>(&self, f: impl FnOnce() -> R) -> R {
            /// The handle, which stays in this frame until the lock is released.
            struct Held(nt::KLOCK_QUEUE_HANDLE);

            impl Drop for Held {
                fn drop(&mut self) {
                    // SAFETY: the lock is held by this handle, which has not moved since.
                    unsafe { nt::KeReleaseInStackQueuedSpinLock(&raw mut self.0) }
                }
            }

            let mut handle = Held(nt::KLOCK_QUEUE_HANDLE::default());
            // SAFETY: the lock is initialised and resident; the handle stays in place until it is
            // dropped.
            unsafe { nt::KeAcquireInStackQueuedSpinLock(self.0.get(), &raw mut handle.0) };
            f()
        }
    }
}

#[cfg(not(kernel))]
mod backend {
    use core::{
        hint::spin_loop,
        sync::atomic::{AtomicBool, Ordering},
    };

    /// A word that callers spin on. Without a kernel there is no IRQL.
    pub(in super::super) struct RawLock(AtomicBool);

    impl RawLock {
        pub(in super::super) const fn new() -> Self {
            Self(AtomicBool::new(false))
        }

        pub(in super::super) fn acquire(&self) -> u8 {
            while self.0.swap(true, Ordering::Acquire) {
                spin_loop();
            }
            0
        }

        /// # Safety
        /// The caller holds the lock by [`acquire`](Self::acquire).
        pub(in super::super) unsafe fn release(&self, _irql: u8) {
            self.0.store(false, Ordering::Release);
        }

        /// # Safety
        /// No duty without a kernel.
        pub(in super::super) unsafe fn acquire_at_dispatch(&self) {
            self.acquire();
        }

        /// # Safety
        /// The caller holds the lock by [`acquire_at_dispatch`](Self::acquire_at_dispatch).
        pub(in super::super) unsafe fn release_at_dispatch(&self) {
            self.0.store(false, Ordering::Release);
        }

        /// Calls `f` under the lock.
        pub(in super::super) fn queued<R>(&self, f: impl FnOnce() -> R) -> R {
            /// Releases the lock, also when `f` unwinds.
            struct Held<'a>(&'a RawLock);

            impl Drop for Held<'_> {
                fn drop(&mut self) {
                    // SAFETY: the lock has been held since this was made.
                    unsafe { self.0.release(0) }
                }
            }

            self.acquire();
            let _held = Held(self);
            f()
        }
    }
}
