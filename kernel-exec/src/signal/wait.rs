//! The future of a signal.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::Signal;
use crate::task::Share;

/// The future of [`Signal::wait`].
///
/// ```
/// let signal = ntcom_exec::Signal::new();
/// signal.set();
/// let wait: ntcom_exec::Wait<'_> = signal.wait();
/// drop(wait); // not polled: the signal is still set
/// assert!(signal.is_set());
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Wait<'a> {
    signal: &'a Signal,
    /// The number of the wait. It is 0 before the wait has been polled, and [`POLLED`] after that
    /// until the wait has been in the slot.
    number: usize,
}

/// The number of a wait that has been polled and has no number of its own. It is above each number
/// that a signal gives.
const POLLED: usize = usize::MAX;

impl<'a> Wait<'a> {
    pub(super) const fn new(signal: &'a Signal) -> Self {
        Self { signal, number: 0 }
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { signal, number } = &mut *self;
        let mut share = Share::of(*number != 0);
        let mut in_slot = if *number == POLLED { 0 } else { *number };
        let polled = share.limit(context, |context| signal.poll(&mut in_slot, context));
        *number = if in_slot == 0 { POLLED } else { in_slot };
        polled
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.number != POLLED {
            self.signal.forget(self.number);
        }
    }
}

impl core::fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
