//! Values that a driver makes once, while it runs.

use core::{
    fmt,
    mem::MaybeUninit,
    ops::Deref,
    sync::atomic::Ordering::{Acquire, Release},
};

use super::{AtomicUsize, KernelCell, SpinLock};

const EMPTY: usize = 0;
const FULL: usize = 1;

/// A place for a value that is made once, such as one of a driver's static.
///
/// Callers that come at the same time each run their initialiser. The first that has ended stores
/// its value, and all of them get that one; the other values are dropped. So no caller waits for
/// another one, an initialiser may use the cell, and it runs without a lock at its caller's IRQL.
/// An initialiser that does more than make a value belongs into DriverEntry.
///
/// In a static each simulated kernel finds the cell empty. A static's value is never dropped, as
/// that of any static; a driver gives back in Unload what such a value owns.
///
/// IRQL: any to read; ≤ DISPATCH_LEVEL to store. The value's memory must be resident if it is read
/// at DISPATCH_LEVEL.
///
/// ```
/// use ntcom_exec::{NTSTATUS, sync::OnceCell};
/// # use ntsim::{Config, Schedule, Simulation};
///
/// static LIMIT: OnceCell<u32> = OnceCell::new();
///
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// assert_eq!(LIMIT.get(), None);
/// assert_eq!(LIMIT.get_or_try_init(|| Err(NTSTATUS::TIMEOUT)), Err(NTSTATUS::TIMEOUT));
/// assert_eq!(LIMIT.get_or_init(|| 7), &7);
/// assert_eq!(LIMIT.set(8), Err(8), "the value comes back");
/// # }).unwrap();
/// ```
pub struct OnceCell<T> {
    /// FULL is set under the lock, after the value has been written.
    state: AtomicUsize,
    store: SpinLock<()>,
    value: KernelCell<MaybeUninit<T>>,
}

// SAFETY: the value is written once, under the lock and before FULL, and shared after that. It may
// be made on one thread and dropped on another.
unsafe impl<T: Send + Sync> Sync for OnceCell<T> {}
// SAFETY: the cell that moves owns its value.
unsafe impl<T: Send> Send for OnceCell<T> {}

impl<T> OnceCell<T> {
    const_fn! {
        /// Makes an empty cell.
        #[must_use]
        pub fn new() -> Self {
            Self {
                state: AtomicUsize::new(EMPTY),
                store: SpinLock::new(()),
                value: KernelCell::new(MaybeUninit::uninit()),
            }
        }
    }

    /// Returns the value.
    ///
    /// # Safety
    /// FULL has been seen, or a [`set`](Self::set) has returned.
    unsafe fn written(&self) -> &T {
        // SAFETY: the caller knows that the value is written, and no code writes it again.
        unsafe { &*self.value.get().cast::<T>() }
    }

    /// Returns the value, if there is one. IRQL: any.
    pub fn get(&self) -> Option<&T> {
        // SAFETY: FULL has been seen.
        (self.state.load(Acquire) == FULL).then(|| unsafe { self.written() })
    }

    /// Stores the value. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The value comes back if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.store.locked(|()| {
            if self.state.load(Acquire) == FULL {
                return Err(value);
            }
            // SAFETY: the lock is held and FULL is not set, so no other code touches the value.
            unsafe { self.value.get().write(MaybeUninit::new(value)) };
            self.state.store(FULL, Release);
            Ok(())
        })
    }

    /// Returns the value, and before that makes it with `make` if there is none.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        match self.get_or_try_init(|| Ok::<T, core::convert::Infallible>(make())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// Returns the value, and before that makes it with `make` if there is none.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// That of `make`; the cell stays as it was.
    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        // A value that came too late is dropped here, outside of the lock.
        drop(self.set(make()?));
        // SAFETY: a `set` has returned.
        Ok(unsafe { self.written() })
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for OnceCell<T> {
    fn drop(&mut self) {
        if self.state.load(Acquire) == FULL {
            // SAFETY: FULL means that the value is written, and the cell is not used again.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}

/// A value that is made when it is first used, such as one of a driver's static.
///
/// It is an [`OnceCell`] with its initialiser. The initialiser may run on several processors at
/// once, and then all of them get the value of the first that has ended. IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// use ntcom_exec::sync::Lazy;
/// # use ntsim::{Config, Schedule, Simulation};
///
/// static TABLE: Lazy<[u32; 4]> = Lazy::new(|| core::array::from_fn(|index| index as u32 * 10));
///
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// assert_eq!(TABLE[3], 30);
/// # }).unwrap();
/// ```
pub struct Lazy<T, F = fn() -> T> {
    cell: OnceCell<T>,
    make: F,
}

impl<T, F: Fn() -> T> Lazy<T, F> {
    const_fn! {
        /// Makes a value that `make` makes at its first use.
        #[must_use]
        pub fn new(make: F) -> Self {
            Self { cell: OnceCell::new(), make }
        }
    }

    /// Returns the value, and before that makes it if this is its first use.
    pub fn force(this: &Self) -> &T {
        this.cell.get_or_init(&this.make)
    }
}

impl<T, F: Fn() -> T> Deref for Lazy<T, F> {
    type Target = T;

    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Lazy<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lazy").field(&self.cell.get()).finish()
    }
}
