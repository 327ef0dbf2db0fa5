//! A value under a spin lock of the kernel, or under a lock of a loom model.

#[cfg(loom)]
pub use in_loom::SpinLock;
#[cfg(not(loom))]
pub use shipping::{QueuedSpinLock, SpinLock, SpinLockGuard};

#[cfg(not(loom))]
mod shipping {
    use core::{
        fmt,
        marker::PhantomData,
        ops::{Deref, DerefMut},
    };

    use super::super::{KernelCell, raw_lock::RawLock};

    /// A value under a spin lock (KSPIN_LOCK) of its own.
    ///
    /// The guard keeps the IRQL from before the lock, and restores it. A static needs no more than
    /// `static LOCK: SpinLock<T>`; each simulated kernel then has its own. The memory must be
    /// resident. Without a kernel the lock is a word that callers spin on.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL; DISPATCH_LEVEL while the lock is held. Guards are dropped in the
    /// reverse order of their locks. A processor that takes a lock that it holds waits for ever;
    /// the simulated kernel stops there.
    ///
    /// ```
    /// use ntcom_exec::sync::SpinLock;
    /// # use ntsim::{Config, Schedule, Simulation};
    ///
    /// static OPENED: SpinLock<u32> = SpinLock::new(0);
    ///
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let mut opened = OPENED.lock();
    /// *opened += 1;
    /// assert_eq!(ntsim::irql(), 2);
    /// drop(opened);
    /// assert_eq!(ntsim::irql(), 0);
    /// # }).unwrap();
    /// ```
    ///
    /// The guard must be dropped on the processor that took the lock, so it is not [`Send`]. A task
    /// cannot keep it while it waits.
    ///
    /// ```compile_fail,E0277
    /// fn is_send<T: Send>(_: T) {}
    /// is_send(ntcom_exec::sync::SpinLock::new(0).lock());
    /// ```
    pub struct SpinLock<T> {
        lock: RawLock,
        value: KernelCell<T>,
    }

    // SAFETY: the value is only touched under the lock, by one processor at a time.
    unsafe impl<T: Send> Sync for SpinLock<T> {}
    // SAFETY: the lock that moves is not held, because a guard borrows it.
    unsafe impl<T: Send> Send for SpinLock<T> {}

    impl<T> SpinLock<T> {
        /// Puts a value under a lock.
        #[must_use]
        pub const fn new(value: T) -> Self {
            Self { lock: RawLock::new(), value: KernelCell::new(value) }
        }

        /// Acquires the lock, and raises the IRQL to DISPATCH_LEVEL (KeAcquireSpinLock).
        ///
        /// IRQL: ≤ DISPATCH_LEVEL.
        pub fn lock(&self) -> SpinLockGuard<'_, T> {
            let irql = self.lock.acquire();
            SpinLockGuard { lock: self, restore: Some(irql), one_processor: PhantomData }
        }

        /// Acquires the lock and leaves the IRQL as it is (KeAcquireSpinLockAtDpcLevel).
        ///
        /// # Safety
        /// The caller is at DISPATCH_LEVEL, and stays there until the guard is dropped.
        ///
        /// ```
        /// use ntcom_exec::sync::SpinLock;
        /// # use ntsim::{Config, Schedule, Simulation};
        ///
        /// static PENDING: SpinLock<u32> = SpinLock::new(0);
        ///
        /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        /// # kernel.run_on(0, || {
        /// ntcom_exec::spawn_dpc_task(async {
        ///     // SAFETY: the body of a task on DPCs is polled at DISPATCH_LEVEL.
        ///     let mut pending = unsafe { PENDING.lock_at_dpc_level() };
        ///     *pending += 1;
        /// }).unwrap();
        /// # }).unwrap();
        /// ```
        pub unsafe fn lock_at_dpc_level(&self) -> SpinLockGuard<'_, T> {
            // SAFETY: the caller is at DISPATCH_LEVEL.
            unsafe { self.lock.acquire_at_dispatch() };
            SpinLockGuard { lock: self, restore: None, one_processor: PhantomData }
        }

        /// Calls `f` under the lock. `f` must not take the same lock. IRQL: ≤ DISPATCH_LEVEL.
        pub(crate) fn locked<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.lock())
        }

        /// The value, which the caller has to itself.
        pub const fn get_mut(&mut self) -> &mut T {
            self.value.get_mut()
        }

        /// Takes the value out of the lock.
        pub fn into_inner(self) -> T {
            self.value.into_inner()
        }
    }

    impl<T: Default> Default for SpinLock<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> fmt::Debug for SpinLock<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("SpinLock").finish_non_exhaustive()
        }
    }

    /// Access to the value of a [`SpinLock`] that is held. Its drop releases the lock and restores
    /// the IRQL.
    #[must_use = "the lock is released when the guard is dropped"]
    pub struct SpinLockGuard<'a, T> {
        lock: &'a SpinLock<T>,
        /// The IRQL before the lock. `None` if the lock was taken at DISPATCH_LEVEL.
        restore: Option<u8>,
        /// A guard stays on the processor that took the lock.
        one_processor: PhantomData<*mut ()>,
    }

    // SAFETY: a shared guard gives shared access to the value.
    unsafe impl<T: Sync> Sync for SpinLockGuard<'_, T> {}

    impl<T> Deref for SpinLockGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: the guard means that the lock is held, so no other code touches the value.
            unsafe { &*self.lock.value.get() }
        }
    }

    impl<T> DerefMut for SpinLockGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: the guard means that the lock is held, so no other code touches the value.
            unsafe { &mut *self.lock.value.get() }
        }
    }

    impl<T> Drop for SpinLockGuard<'_, T> {
        fn drop(&mut self) {
            match self.restore {
                // SAFETY: the guard holds the lock since `lock`, which returned this IRQL.
                Some(irql) => unsafe { self.lock.lock.release(irql) },
                // SAFETY: the guard holds the lock since `lock_at_dpc_level`.
                None => unsafe { self.lock.lock.release_at_dispatch() },
            }
        }
    }

    impl<T: fmt::Debug> fmt::Debug for SpinLockGuard<'_, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (**self).fmt(f)
        }
    }

    /// A value under a spin lock that its waiters get in the order in which they came.
    ///
    /// Each waiter spins on a word of its own stack (KeAcquireInStackQueuedSpinLock), so a
    /// contended lock costs less traffic between processors than a [`SpinLock`]. The handle on the
    /// stack must not move, so there is a closure and no guard.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL; the closure runs at DISPATCH_LEVEL.
    ///
    /// ```
    /// use ntcom_exec::sync::QueuedSpinLock;
    /// # use ntsim::{Config, Schedule, Simulation};
    ///
    /// static OPENED: QueuedSpinLock<u32> = QueuedSpinLock::new(0);
    ///
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let opened = OPENED.with(|opened| {
    ///     *opened += 1;
    ///     *opened
    /// });
    /// assert_eq!(opened, 1);
    /// # }).unwrap();
    /// ```
    pub struct QueuedSpinLock<T> {
        lock: RawLock,
        value: KernelCell<T>,
    }

    // SAFETY: the value is only touched under the lock, by one processor at a time.
    unsafe impl<T: Send> Sync for QueuedSpinLock<T> {}
    // SAFETY: the lock that moves is not held, because `with` borrows it.
    unsafe impl<T: Send> Send for QueuedSpinLock<T> {}

    impl<T> QueuedSpinLock<T> {
        /// Puts a value under a lock.
        #[must_use]
        pub const fn new(value: T) -> Self {
            Self { lock: RawLock::new(), value: KernelCell::new(value) }
        }

        /// Calls `f` under the lock. `f` must not take the same lock, which would wait for ever.
        ///
        /// IRQL: ≤ DISPATCH_LEVEL.
        pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            self.lock.queued(|| {
                // SAFETY: the lock is held until the closure returns.
                f(unsafe { &mut *self.value.get() })
            })
        }

        /// The value, which the caller has to itself.
        pub const fn get_mut(&mut self) -> &mut T {
            self.value.get_mut()
        }
    }

    impl<T> fmt::Debug for QueuedSpinLock<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("QueuedSpinLock").finish_non_exhaustive()
        }
    }
}

#[cfg(loom)]
mod in_loom {
    use loom::sync::Mutex;

    /// A value under a lock of loom.
    pub struct SpinLock<T>(Mutex<T>);

    // SAFETY: the value is only touched under the lock.
    unsafe impl<T: Send> Sync for SpinLock<T> {}
    // SAFETY: the value is only touched under the lock.
    unsafe impl<T: Send> Send for SpinLock<T> {}

    impl<T> SpinLock<T> {
        /// Puts a value under a lock.
        pub fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn locked<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock().unwrap())
        }
    }
}
