//! A channel for one value, from any callback to a task.
//!
//! Both ends share one block. Its word records which ends have gone and where the value is. The
//! sender writes the value and then sets SENT, in one step that also tells it whether the receiver
//! had gone before. So the value is the receiver's if the receiver was still there, and otherwise
//! the sender's. The block's [`Signal`] wakes the receiver.

use core::{
    alloc::Layout,
    future::Future,
    mem::MaybeUninit,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use crate::{
    alloc::{Allocator, GlobalAllocator},
    refcount::ReferenceCount,
    signal::Signal,
    status::NTSTATUS,
    sync::{AtomicUsize, Ordering, UnsafeCell},
    task::Share,
};

/// The value is in the block.
const SENT: usize = 1 << 0;
/// The sender has gone.
const CLOSED: usize = 1 << 1;
/// The receiver has gone.
const ABANDONED: usize = 1 << 2;

struct Block<T> {
    references: ReferenceCount,
    word: AtomicUsize,
    signal: Signal,
    /// Written before SENT, and read after it.
    value: UnsafeCell<MaybeUninit<T>>,
}

/// One of the two references of a block.
struct Reference<T>(NonNull<Block<T>>);

impl<T> Reference<T> {
    fn block(&self) -> &Block<T> {
        // SAFETY: this reference keeps the block.
        unsafe { self.0.as_ref() }
    }

    /// Takes the value out of the block.
    ///
    /// # Safety
    /// The value has been sent. The caller has seen SENT, and is the only one that takes the value.
    unsafe fn read(&self) -> T {
        self.block().value.with(|value| {
            // SAFETY: the caller has seen SENT, so the cell is initialised.
            unsafe { value.cast::<T>().read() }
        })
    }
}

impl<T> Drop for Reference<T> {
    fn drop(&mut self) {
        if self.block().references.remove() > 0 {
            return;
        }
        // SAFETY: the count is zero, so no other code has the block. The value has been taken, or
        // never was there.
        unsafe { self.0.drop_in_place() };
        // SAFETY: the block came from `oneshot` with this layout, and is not used again.
        unsafe { GlobalAllocator.free(self.0.cast(), Layout::new::<Block<T>>()) };
    }
}

/// Makes a channel for one value, from any callback to a task.
///
/// The channel's block is allocated here, and sending and receiving allocate nothing.
///
/// IRQL: ≤ DISPATCH_LEVEL, for this and for every use of either end. A value that is sent and not
/// received is dropped with the receiver, at the receiver's IRQL.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the block.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
/// ntcom_exec::spawn_dpc_task(async {
///     assert_eq!(receiver.await, Ok(7));
/// }).unwrap();
/// sender.send(7).unwrap(); // in some callback
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub fn oneshot<T: Send>() -> Result<(Sender<T>, Receiver<T>), NTSTATUS> {
    let layout = Layout::new::<Block<T>>();
    let block = GlobalAllocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?.cast();
    let references = ReferenceCount::one();
    references.add();
    let fresh = Block {
        references,
        word: AtomicUsize::new(0),
        signal: Signal::new(),
        value: UnsafeCell::new(MaybeUninit::uninit()),
    };
    // SAFETY: `block` is new memory of this layout.
    unsafe { block.write(fresh) };
    Ok((
        Sender(Reference(block)),
        Receiver { reference: Reference(block), wait: 0, taken: false, share: Share::new() },
    ))
}

/// The sending end of a [`oneshot`] channel. Dropping it closes the channel. IRQL:
/// ≤ DISPATCH_LEVEL.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
/// let sender: ntcom_exec::Sender<u32> = sender;
/// drop(receiver);
/// assert!(sender.is_abandoned());
/// assert_eq!(sender.send(7), Err(7), "the value comes back");
/// # }).unwrap();
/// ```
pub struct Sender<T>(Reference<T>);

// SAFETY: the value goes to the receiver, on any thread; the rest of the block may be used by
// several.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: a shared sender can only check whether the receiver has gone.
unsafe impl<T: Send> Sync for Sender<T> {}

impl<T> Sender<T> {
    /// Sends the value, and wakes the waiting receiver. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The value comes back if the receiver has gone.
    pub fn send(self, value: T) -> Result<(), T> {
        let block = self.0.block();
        block.value.with_mut(|place| {
            // SAFETY: the receiver does not read before SENT is set, and this is the only sender.
            unsafe { (*place).write(value) };
        });
        // The drop of this sender sets the signal.
        if block.word.fetch_or(SENT, Ordering::AcqRel) & ABANDONED == 0 {
            return Ok(());
        }
        // SAFETY: the value was just sent, and the receiver, which had gone before, has not seen
        // it.
        Err(unsafe { self.0.read() })
    }

    /// Tells whether the receiver has gone, so that the value would not be received.
    ///
    /// A receiver that is still there may go at any time. IRQL: ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.block().word.load(Ordering::Acquire) & ABANDONED != 0
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let block = self.0.block();
        block.word.fetch_or(CLOSED, Ordering::AcqRel);
        block.signal.set();
    }
}

/// The receiving end of a [`oneshot`] channel, which is a future of the value.
///
/// It ends with the value, or with `STATUS_PIPE_BROKEN` if the sender has gone without sending.
/// After its end each poll returns `STATUS_PIPE_BROKEN`. Dropping it tells the sender, and loses a
/// value that was sent. IRQL: ≤ DISPATCH_LEVEL.
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
    /// The value has been received.
    taken: bool,
    share: Share,
}

// SAFETY: the value may be received on any thread; the rest of the block may be used by several.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: a shared receiver has no operations that change it.
unsafe impl<T: Send> Sync for Receiver<T> {}

impl<T> Receiver<T> {
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
}

impl<T> Receiver<T> {
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
        let block = self.reference.block();
        block.signal.forget(self.wait);
        let word = block.word.fetch_or(ABANDONED, Ordering::AcqRel);
        if word & SENT != 0 && !self.taken {
            // SAFETY: the step that set ABANDONED saw SENT, so the sender leaves the value to this
            // receiver.
            drop(unsafe { self.reference.read() });
        }
    }
}

impl<T> core::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> core::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    //! The channel under loom.
    use core::{
        future::Future,
        pin::Pin,
        task::{Context, Poll, Waker},
    };
    use std::sync::Arc;

    use loom::thread;

    use super::{NTSTATUS, oneshot};

    /// A send meets the drop of the receiver, and one of the two drops the value, once.
    #[test]
    fn loom_send_meets_the_receivers_end() {
        loom::model(|| {
            let (sender, receiver) = oneshot::<Arc<()>>().unwrap();
            let value = Arc::new(());
            let sent = Arc::clone(&value);
            let thread = thread::spawn(move || drop(sender.send(sent)));
            drop(receiver);
            thread.join().unwrap();
            assert_eq!(Arc::strong_count(&value), 1);
        });
    }

    /// A send, or a close, meets a poll of the receiver, which sees the result, and only once.
    #[test]
    fn loom_send_meets_a_poll() {
        for sends in [true, false] {
            loom::model(move || {
                let (sender, mut receiver) = oneshot::<u32>().unwrap();
                let thread = thread::spawn(move || {
                    if sends {
                        sender.send(7).unwrap();
                    }
                });
                let mut poll = || Pin::new(&mut receiver).poll(&mut Context::from_waker(Waker::noop()));
                let mut polled = poll();
                thread.join().unwrap();
                if polled.is_pending() {
                    polled = poll();
                }
                assert_eq!(polled, Poll::Ready(if sends { Ok(7) } else { Err(NTSTATUS::PIPE_BROKEN) }));
                assert_eq!(poll(), Poll::Ready(Err(NTSTATUS::PIPE_BROKEN)));
            });
        }
    }
}
