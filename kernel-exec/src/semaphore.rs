//! Permits, which tasks wait for in order.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    status::NTSTATUS,
    sync::const_fn,
    waiters::{Rule, Waiters, Waiting},
};

/// The permits that are left.
struct Permits {
    left: usize,
    closed: bool,
}

impl Rule for Permits {
    type Outcome = Result<(), NTSTATUS>;

    fn ticket(&self, wants: usize) -> usize {
        wants
    }

    fn grant(&mut self, wants: usize) -> Option<Self::Outcome> {
        if self.closed {
            return Some(Err(NTSTATUS::DELETE_PENDING));
        }
        self.left = self.left.checked_sub(wants)?;
        Some(Ok(()))
    }

    fn put_back(&mut self, wants: usize, outcome: Self::Outcome) {
        if outcome.is_ok() {
            self.left = self.left.saturating_add(wants);
        }
    }
}

/// A number of permits, for at most so many tasks at a time.
///
/// Tasks get permits in the order of their first polls, so one that asks for many is not passed by
/// those that ask for few. A future that is dropped passes its permits on. Nothing here allocates,
/// and a static is per simulated kernel by itself. IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// use ntcom_exec::Semaphore;
/// # use ntsim::{Config, Schedule, Simulation};
///
/// static CHANNELS: Semaphore = Semaphore::new(2);
///
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// ntcom_exec::spawn_dpc_task(async {
///     let permit = CHANNELS.acquire().await;
///     assert!(permit.is_ok());
///     assert_eq!(CHANNELS.available_permits(), 1);
/// }).unwrap();
/// assert_eq!(CHANNELS.available_permits(), 2);
/// # }).unwrap();
/// ```
pub struct Semaphore(Waiters<Permits>);

impl Semaphore {
    const_fn! {
        /// Makes a semaphore with a number of permits.
        #[must_use]
        pub fn new(permits: usize) -> Self {
            Self(Waiters::new(Permits { left: permits, closed: false }))
        }
    }

    /// Waits for one permit. As [`acquire_many`](Self::acquire_many) otherwise.
    pub fn acquire(&self) -> Acquire<'_> {
        self.acquire_many(1)
    }

    /// Waits for some permits, which it gets at once.
    ///
    /// The future ends with `STATUS_DELETE_PENDING` if the semaphore is closed. It waits for ever
    /// for more permits than there ever are. IRQL of the polls and of the drop: ≤ DISPATCH_LEVEL.
    pub fn acquire_many(&self, permits: usize) -> Acquire<'_> {
        Acquire { semaphore: self, permits, waiting: self.0.wait(permits) }
    }

    /// Takes a permit without waiting. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_DELETE_PENDING`: the semaphore is closed. `STATUS_TIMEOUT`: no permit is left, or
    /// tasks wait in line.
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, NTSTATUS> {
        self.0.try_take(1).unwrap_or(Err(NTSTATUS::TIMEOUT))?;
        Ok(SemaphorePermit { semaphore: self, permits: 1 })
    }

    /// Adds permits, and wakes the tasks that get them. IRQL: ≤ DISPATCH_LEVEL.
    pub fn add_permits(&self, permits: usize) {
        self.0.change(|state| state.left = state.left.saturating_add(permits));
    }

    /// Closes the semaphore, for ever. Each task that waits, or comes later, gets
    /// `STATUS_DELETE_PENDING`. IRQL: ≤ DISPATCH_LEVEL.
    pub fn close(&self) {
        self.0.change(|state| state.closed = true);
    }

    /// Tells whether the semaphore is closed. IRQL: ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.read(|state| state.closed)
    }

    /// The number of permits that are left. Other processors may change it at any time.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.0.read(|state| state.left)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").finish_non_exhaustive()
    }
}

/// The future of [`Semaphore::acquire`] and [`Semaphore::acquire_many`].
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
    waiting: Waiting<'a, Permits>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<SemaphorePermit<'a>, NTSTATUS>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (semaphore, permits) = (self.semaphore, self.permits);
        // SAFETY: the field is pinned with its future, and never moved out of it.
        let waiting = unsafe { self.map_unchecked_mut(|acquire| &mut acquire.waiting) };
        waiting.poll(context).map_ok(|()| SemaphorePermit { semaphore, permits })
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], which go back when this is dropped. IRQL: ≤ DISPATCH_LEVEL.
#[must_use = "the permits go back when this is dropped"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

impl SemaphorePermit<'_> {
    /// Keeps the permits from going back.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        if self.permits > 0 {
            self.semaphore.add_permits(self.permits);
        }
    }
}
