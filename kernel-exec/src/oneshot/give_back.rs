//! A receiver that gives an unreceived value to a closure.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::receiver::Receiver;
use crate::status::NTSTATUS;

/// The future of [`Receiver::give_back`].
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
/// let receiver: ntcom_exec::GiveBack<u32, _> = receiver.give_back(|value| assert_eq!(value, 7));
/// sender.send(7).unwrap();
/// drop(receiver); // calls the closure
/// # }).unwrap();
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct GiveBack<T, F: FnOnce(T)> {
    receiver: Receiver<T>,
    give_back: Option<F>,
}

// It gives no pinned access to the closure.
impl<T, F: FnOnce(T)> Unpin for GiveBack<T, F> {}

impl<T> Receiver<T> {
    /// Receives the value, or gives it to `give_back` if this future is dropped after the send.
    ///
    /// That is the way to receive an item that must not be lost. A task that waits may be cancelled
    /// between the send and its next poll, or another future may win a select. The sender has given
    /// the item away by then, so only the receiver can put it back.
    ///
    /// The closure is called at most once, by the drop of this future, at the IRQL of that drop,
    /// ≤ DISPATCH_LEVEL. In a task on DPCs that is DISPATCH_LEVEL. A value that the future has
    /// returned is the body's, and is not given back.
    ///
    /// A read that is cancelled after an item was handed to it puts the item back, and nothing is
    /// lost:
    ///
    /// ```
    /// # use std::future::Future;
    /// use std::{collections::VecDeque, sync::{Arc, Mutex}};
    /// use ntcom_exec::{NTSTATUS, Sender, oneshot};
    /// # use ntsim::{Config, Schedule, Simulation};
    ///
    /// /// The items that no read has taken, and the reads that wait for one.
    /// #[derive(Default)]
    /// struct Queue(Mutex<(VecDeque<u32>, VecDeque<Sender<u32>>)>); // a driver's has a spin lock
    ///
    /// impl Queue {
    ///     /// Hands the item to the first read that is still there, or keeps it, as the first.
    ///     fn put_back(&self, mut item: u32) {
    ///         loop {
    ///             let read = {
    ///                 let (items, reads) = &mut *self.0.lock().unwrap();
    ///                 match reads.pop_front() {
    ///                     Some(read) => read,
    ///                     None => return items.push_front(item),
    ///                 }
    ///             };
    ///             match read.send(item) {
    ///                 Ok(()) => return,
    ///                 Err(back) => item = back, // this read was cancelled before the hand-over
    ///             }
    ///         }
    ///     }
    ///
    ///     async fn read(self: Arc<Self>) -> Result<u32, NTSTATUS> {
    ///         let (sender, receiver) = oneshot()?;
    ///         {
    ///             let (items, reads) = &mut *self.0.lock().unwrap();
    ///             if let Some(item) = items.pop_front() {
    ///                 return Ok(item);
    ///             }
    ///             reads.push_back(sender);
    ///         }
    ///         // Cancelled after the hand-over, the read puts the item back.
    ///         receiver.give_back(move |item| self.put_back(item)).await
    ///     }
    /// }
    ///
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let queue = Arc::new(Queue::default());
    /// let mut read = Box::pin(Arc::clone(&queue).read());
    /// # let waker = std::task::Waker::noop();
    /// # let mut context = std::task::Context::from_waker(waker);
    /// assert!(read.as_mut().poll(&mut context).is_pending());
    /// queue.put_back(7); // handed over to the read
    /// drop(read); // which is cancelled before its next poll
    /// assert_eq!(queue.0.lock().unwrap().0, [7]);
    /// # }).unwrap();
    /// ```
    ///
    /// The closure must not send to this channel, and takes no lock that its dropper holds.
    pub fn give_back<F: FnOnce(T)>(self, give_back: F) -> GiveBack<T, F> {
        GiveBack { receiver: self, give_back: Some(give_back) }
    }
}

impl<T, F: FnOnce(T)> Future for GiveBack<T, F> {
    type Output = Result<T, NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context)
    }
}

impl<T, F: FnOnce(T)> Drop for GiveBack<T, F> {
    fn drop(&mut self) {
        if let Some(value) = self.receiver.abandon()
            && let Some(give_back) = self.give_back.take()
        {
            give_back(value);
        }
    }
}

impl<T, F: FnOnce(T)> core::fmt::Debug for GiveBack<T, F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("GiveBack").finish_non_exhaustive()
    }
}
