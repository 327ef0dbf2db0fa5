//! The future of a signal.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::Signal;

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
    /// Its number; 0 before it has been in the slot.
    number: usize,
}

impl<'a> Wait<'a> {
    pub(super) const fn new(signal: &'a Signal) -> Self {
        Self { signal, number: 0 }
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let signal = self.signal;
        signal.poll(&mut self.number, context)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.signal.forget(self.number);
    }
}

impl core::fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
