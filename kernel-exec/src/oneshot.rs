//! A channel for one value, from any callback to a task.
//!
//! Both ends share one block. Its word says who has gone and where the value is: the sender writes the value and then SENT, with
//! one step that also tells it whether the receiver had gone before. So the value is the receiver's where the sender saw it there, and
//! the sender's where not. The receiver is woken by the block's [`Signal`].

use core::{
    alloc::Layout,
    future::Future,
    mem::MaybeUninit,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use crate::{
    Allocator, GlobalAllocator, NTSTATUS, ReferenceCount, Signal,
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
        // SAFETY: this reference keeps it.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// The value has been sent, and nobody else takes it: the caller has seen SENT, and is the only one to read.
    unsafe fn read(&self) -> T {
        self.block().value.with(|value| {
            // SAFETY: the cell is initialised once SENT is there, by this function's contract.
            unsafe { value.cast::<T>().read() }
        })
    }
}

impl<T> Drop for Reference<T> {
    fn drop(&mut self) {
        if self.block().references.remove() > 0 {
            return;
        }
        // SAFETY: nobody else has it. The value has been taken, or never was there.
        unsafe { self.0.drop_in_place() };
        // SAFETY: from `oneshot` with this layout, and not used again.
        unsafe { GlobalAllocator.free(self.0.cast(), Layout::new::<Block<T>>()) };
    }
}

/// A channel for one value. Its block is allocated here; sending and receiving allocate nothing.
///
/// IRQL: ≤ DISPATCH_LEVEL, of this and of everything that is done with either end. A value that is sent and not received is dropped by
/// whoever drops the receiver, at that IRQL.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
/// ntcom_exec::spawn_dpc_task(async {
///     assert_eq!(receiver.await, Ok(7));
/// }).unwrap();
/// sender.send(7).unwrap(); // in some callback
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }))]).unwrap();
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
    // SAFETY: new memory of this layout.
    unsafe { block.write(fresh) };
    Ok((
        Sender(Reference(block)),
        Receiver { reference: Reference(block), wait: 0, taken: false, share: Share::new() },
    ))
}

/// The end of a [`oneshot`] channel that a value goes in at. Dropping it closes the channel.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
/// let sender: ntcom_exec::Sender<u32> = sender;
/// drop(receiver);
/// assert!(sender.is_abandoned());
/// assert_eq!(sender.send(7), Err(7), "it comes back");
/// # }))]).unwrap();
/// ```
pub struct Sender<T>(Reference<T>);

// SAFETY: the value goes to whoever receives, anywhere; the rest of the block may be used by several.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: a shared sender can only look whether the receiver has gone.
unsafe impl<T: Send> Sync for Sender<T> {}

impl<T> Sender<T> {
    /// Sends the value, and wakes who waits for it. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The value: the receiver has gone.
    pub fn send(self, value: T) -> Result<(), T> {
        let block = self.0.block();
        block.value.with_mut(|place| {
            // SAFETY: nobody reads before SENT is there, and this is the only sender.
            unsafe { (*place).write(value) };
        });
        // The signal comes with the drop of this sender.
        if block.word.fetch_or(SENT, Ordering::AcqRel) & ABANDONED == 0 {
            return Ok(());
        }
        // SAFETY: just sent, and the receiver, which had gone before, has not seen it.
        Err(unsafe { self.0.read() })
    }

    /// Whether the receiver has gone: nobody will see the value. IRQL: ≤ DISPATCH_LEVEL. One that is still there may go at any time.
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

/// The end of a [`oneshot`] channel that the value comes out of: a future of it.
///
/// It ends with the value, or with `STATUS_PIPE_BROKEN` where the sender has gone without one. Polled again after the end it says
/// `STATUS_PIPE_BROKEN`. Dropping it tells the sender, and loses a value that was sent.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// use ntcom_exec::NTSTATUS;
///
/// let (sender, receiver) = ntcom_exec::oneshot::<u32>().unwrap();
/// let receiver: ntcom_exec::Receiver<u32> = receiver;
/// drop(sender);
/// ntcom_exec::spawn_dpc_task(async {
///     assert_eq!(receiver.await, Err(NTSTATUS::PIPE_BROKEN));
/// }).unwrap();
/// # }))]).unwrap();
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

// SAFETY: the value may be received anywhere; the rest of the block may be used by several.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: a shared receiver can do nothing.
unsafe impl<T: Send> Sync for Receiver<T> {}

impl<T> Receiver<T> {
    /// What has come, if anything has.
    fn received(&mut self) -> Poll<Result<T, NTSTATUS>> {
        let word = self.reference.block().word.load(Ordering::Acquire);
        if word & SENT != 0 && !core::mem::replace(&mut self.taken, true) {
            // SAFETY: SENT has been seen, the receiver was there all the time, and takes it once.
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
            // The sender has gone since the look above.
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
            // SAFETY: SENT has been seen by the step that says that we have gone, so the sender leaves the value to us.
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

    /// Sent while the receiver goes: one of the two drops the value, once.
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

    /// Sent, or closed, while the receiver looks: it is told what there is, and once it has been told it stays so.
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
