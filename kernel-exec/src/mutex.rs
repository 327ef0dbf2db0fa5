//! A lock that tasks hold while they wait for other things.

use core::{
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    semaphore::{Acquire, Semaphore, SemaphorePermit},
    sync::{KernelCell, const_fn},
};

/// A value that one task at a time has, also while that task waits.
///
/// Tasks get it in the order of their first polls. For a value that is used without an `await`, a
/// [`SpinLock`](crate::sync::SpinLock) costs less. A task that takes a mutex which it holds waits
/// for ever, until it is cancelled. Nothing here allocates, and a static is per simulated kernel by
/// itself. IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// use ntcom_exec::{Mutex, yield_now};
/// # use ntsim::{Config, Schedule, Simulation};
///
/// static REGISTERS: Mutex<[u32; 2]> = Mutex::new([0; 2]);
///
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// for _ in 0..2 {
///     ntcom_exec::spawn_dpc_task(async {
///         let mut registers = REGISTERS.lock().await;
///         registers[0] += 1;
///         yield_now().await; // talk to the device
///         registers[1] += 1;
///         assert_eq!(registers[0], registers[1]);
///     }).unwrap();
/// }
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }).unwrap();
/// ```
pub struct Mutex<T> {
    permit: Semaphore,
    value: KernelCell<T>,
}

// SAFETY: the value is only touched by the holder of the one permit.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: the mutex that moves is not locked, because a guard borrows it.
unsafe impl<T: Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    const_fn! {
        /// Puts a value under a mutex.
        #[must_use]
        pub fn new(value: T) -> Self {
            Self { permit: Semaphore::new(1), value: KernelCell::new(value) }
        }
    }

    /// Waits for the mutex. IRQL of the polls and of the drop: ≤ DISPATCH_LEVEL.
    pub fn lock(&self) -> Lock<'_, T> {
        Lock { mutex: self, acquire: self.permit.acquire() }
    }

    /// Takes the mutex if it is free, and no task waits for it. IRQL: ≤ DISPATCH_LEVEL.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let permit = self.permit.try_acquire().ok()?;
        Some(MutexGuard { mutex: self, _permit: permit })
    }

    /// The value, which the caller has to itself.
    pub const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Takes the value out of the mutex.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// The future of [`Mutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct Lock<'a, T> {
    mutex: &'a Mutex<T>,
    acquire: Acquire<'a>,
}

impl<'a, T> Future for Lock<'a, T> {
    type Output = MutexGuard<'a, T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mutex = self.mutex;
        // SAFETY: the field is pinned with its future, and never moved out of it.
        let acquire = unsafe { self.map_unchecked_mut(|lock| &mut lock.acquire) };
        match acquire.poll(context) {
            Poll::Ready(Ok(permit)) => Poll::Ready(MutexGuard { mutex, _permit: permit }),
            // A mutex's semaphore is never closed.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

/// Access to the value of a [`Mutex`], which the next task gets when this is dropped.
///
/// IRQL of the drop: ≤ DISPATCH_LEVEL.
#[must_use = "the mutex is released when the guard is dropped"]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    _permit: SemaphorePermit<'a>,
}

// SAFETY: the guard is the only access to the value, which may be used on any thread.
unsafe impl<T: Send> Send for MutexGuard<'_, T> {}
// SAFETY: a shared guard gives shared access to the value.
unsafe impl<T: Send + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard has the one permit, so no other code touches the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the one permit, so no other code touches the value.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
