//! The receiving end of a channel.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{ABANDONED, CLOSED, Reference, SENT};
use crate::{status::NTSTATUS, sync::Ordering, task::Share};

/// The receiving end of a [`oneshot`](super::oneshot()) channel, which is a future of the value.
///
/// It ends with the value, or with `STATUS_PIPE_BROKEN` if the sender has gone without sending.
/// After its end each poll returns `STATUS_PIPE_BROKEN`. Dropping it tells the sender, and drops a
/// value that was sent. [`close`](Self::close) returns that value, and
/// [`give_back`](Self::give_back) gives it to a closure. IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// use ntcom_exec::NTSTATUS;
///
/// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
/// let receiver: ntcom_exec::Receiver<u32> = receiver;
/// drop(sender);
/// ntcom_exec::spawn_dpc_task(async {
///     assert_eq!(receiver.await, Err(NTSTATUS::PIPE_BROKEN));
/// }).unwrap();
/// # }).unwrap();
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Receiver<T> {
    reference: Reference<T>,
    /// The number of its wait for the signal.
    wait: usize,
    /// The value has been received, or is not this receiver's any more.
    taken: bool,
    share: Share,
}

// SAFETY: the value may be received on any thread; the rest of the block may be used by several.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: a shared receiver has no operations that change it.
unsafe impl<T: Send> Sync for Receiver<T> {}

impl<T> Receiver<T> {
    pub(super) fn new(reference: Reference<T>) -> Self {
        Self { reference, wait: 0, taken: false, share: Share::new() }
    }

    /// Takes the value if it has come, without waiting. `None` means that it may still come.
    /// IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_PIPE_BROKEN`: the sender has gone without sending, or the value has been received.
    ///
    /// ```
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let (sender, mut receiver) = ntcom_exec::oneshot::<u32>().unwrap();
    /// assert_eq!(receiver.try_receive(), Ok(None));
    /// sender.send(7).unwrap();
    /// assert_eq!(receiver.try_receive(), Ok(Some(7)));
    /// # }).unwrap();
    /// ```
    pub fn try_receive(&mut self) -> Result<Option<T>, NTSTATUS> {
        match self.received() {
            Poll::Ready(received) => received.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Ends the channel, and returns a value that was sent and not received.
    ///
    /// With `None` the value is the sender's, so a later [`send`](super::Sender::send) returns it
    /// as its error. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// ```
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
    /// sender.send(7).unwrap();
    /// assert_eq!(receiver.close(), Some(7), "sent, and not received");
    ///
    /// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
    /// assert_eq!(receiver.close(), None);
    /// assert_eq!(sender.send(7), Err(7), "the value comes back to the sender");
    /// # }).unwrap();
    /// ```
    pub fn close(mut self) -> Option<T> {
        self.abandon()
    }

    /// Tells the sender that this receiver has gone. Returns a value that was sent and not
    /// received, once.
    pub(super) fn abandon(&mut self) -> Option<T> {
        let taken = core::mem::replace(&mut self.taken, true);
        let block = self.reference.block();
        block.signal.forget(self.wait);
        let sent = block.word.fetch_or(ABANDONED, Ordering::AcqRel) & SENT != 0;
        // A second call finds `taken`, because the value is the sender's if the first one found
        // none.
        (sent && !taken).then(|| {
            // SAFETY: the step that set ABANDONED saw SENT, so the sender leaves the value to this
            // receiver, which has not taken it.
            unsafe { self.reference.read() }
        })
    }

    /// Takes the value if it has come, without waiting.
    fn received(&mut self) -> Poll<Result<T, NTSTATUS>> {
        let word = self.reference.block().word.load(Ordering::Acquire);
        if word & SENT != 0 && !core::mem::replace(&mut self.taken, true) {
            // SAFETY: SENT has been seen, the receiver was there all the time, and it takes the
            // value once.
            Poll::Ready(Ok(unsafe { self.reference.read() }))
        } else if word & CLOSED != 0 || self.taken {
            Poll::Ready(Err(NTSTATUS::PIPE_BROKEN))
        } else {
            Poll::Pending
        }
    }

    fn poll_value(&mut self, context: &Context<'_>) -> Poll<Result<T, NTSTATUS>> {
        let received = self.received();
        if received.is_ready() {
            return received;
        }
        match self.reference.block().signal.poll(&mut self.wait, context) {
            // The sender has gone since the check above.
            Poll::Ready(()) => self.received(),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut share = core::mem::take(&mut self.share);
        let polled = share.limit(context, |context| self.poll_value(context));
        self.share = share;
        polled
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        drop(self.abandon());
    }
}

impl<T> core::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
