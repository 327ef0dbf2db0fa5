//! A notification, which any code may give and several tasks wait for.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    sync::const_fn,
    waiters::{Rule, Waiters, Waiting},
};

/// The notifications that no wait has taken, and the number of calls of `notify_waiters`.
struct Notices {
    /// At most one if the line is empty. While the waits of a `notify_waiters` are taken out of the
    /// line, one for each later wait may stand here.
    left: usize,
    calls: usize,
}

impl Notices {
    const fn give_one(&mut self) {
        self.left = self.left.saturating_add(1);
    }
}

/// The call that ended a wait.
#[derive(Clone, Copy)]
enum Call {
    One,
    All,
}

impl Rule for Notices {
    type Outcome = Call;

    fn ticket(&self, _wants: usize) -> usize {
        self.calls
    }

    fn grant(&mut self, ticket: usize) -> Option<Call> {
        if ticket != self.calls {
            return Some(Call::All);
        }
        self.left = self.left.checked_sub(1)?;
        Some(Call::One)
    }

    fn put_back(&mut self, _ticket: usize, outcome: Call) {
        match outcome {
            Call::One => self.give_one(),
            Call::All => {}
        }
    }

    fn line_is_empty(&mut self) {
        self.left = self.left.min(1);
    }
}

/// A notification for tasks, any number of which may wait.
///
/// [`notify_one`](Self::notify_one) ends the wait that began first. If no task waits, one
/// notification is stored, and the next wait takes it. [`notify_waiters`](Self::notify_waiters)
/// ends all waits that have begun, and stores nothing. A wait begins with the first poll of its
/// future. A notified future that is dropped before it is polled passes its notification on.
///
/// Nothing here allocates, and a static is per simulated kernel by itself. IRQL: ≤ DISPATCH_LEVEL.
/// For one waiting task a [`Signal`](crate::Signal) costs less, because it has no lock.
///
/// ```
/// use ntcom_exec::Notify;
/// # use ntsim::{Config, Schedule, Simulation};
///
/// static STARTED: Notify = Notify::new();
///
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// for _ in 0..2 {
///     ntcom_exec::spawn_dpc_task(async { STARTED.notified().await }).unwrap();
/// }
/// STARTED.notify_one();
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 1));
/// STARTED.notify_waiters();
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }).unwrap();
/// ```
pub struct Notify(Waiters<Notices>);

impl Notify {
    const_fn! {
        /// Makes a notification that has not been given.
        #[must_use]
        pub fn new() -> Self {
            Self(Waiters::new(Notices { left: 0, calls: 0 }))
        }
    }

    /// Ends the wait that began first, or stores one notification for the next wait.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL.
    pub fn notify_one(&self) {
        self.0.change(Notices::give_one);
    }

    /// Ends all waits that have begun. IRQL: ≤ DISPATCH_LEVEL.
    pub fn notify_waiters(&self) {
        self.0.change(|notices| notices.calls = notices.calls.wrapping_add(1));
    }

    /// Waits for a notification. IRQL of the polls and of the drop: ≤ DISPATCH_LEVEL.
    pub fn notified(&self) -> Notified<'_> {
        Notified(self.0.wait(0))
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}

/// The future of [`Notify::notified`].
#[must_use = "futures do nothing unless polled"]
pub struct Notified<'a>(Waiting<'a, Notices>);

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the field is pinned with its future, and never moved out of it.
        let waiting = unsafe { self.map_unchecked_mut(|notified| &mut notified.0) };
        waiting.poll(context).map(|_call| ())
    }
}

impl fmt::Debug for Notified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notified").finish_non_exhaustive()
    }
}
