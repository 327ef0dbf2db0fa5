//! A channel for one value, from any callback to a task.
//!
//! Both ends share one block. Its word records which ends have gone and where the value is. The
//! sender writes the value and then sets SENT, in one step that also tells it whether the receiver
//! had gone before. So the value is the receiver's if the receiver was still there, and otherwise
//! the sender's. The block's [`Signal`] wakes the receiver.
//!
//! A receiver that goes sets ABANDONED, in one step that also tells it whether the value had been
//! sent. So a value that was sent and not received is in the receiver's hands, and
//! [`Receiver::close`] and [`Receiver::give_back`] hand it on.

mod give_back;
#[cfg(all(test, loom))]
mod loom_tests;
mod receiver;

pub use self::{give_back::GiveBack, receiver::Receiver};

use core::{alloc::Layout, mem::MaybeUninit, ptr::NonNull};

use crate::{
    alloc::{Allocator, GlobalAllocator},
    refcount::ReferenceCount,
    signal::Signal,
    status::NTSTATUS,
    sync::{AtomicUsize, Ordering, UnsafeCell},
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
/// A value that must not be lost is received by [`Receiver::give_back`], which has the example of a
/// read that is cancelled after an item was handed to it. Without it, a value that is sent and not
/// received is dropped with the receiver, at the receiver's IRQL.
///
/// IRQL: ≤ DISPATCH_LEVEL, for this and for every use of either end.
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
    Ok((Sender(Reference(block)), Receiver::new(Reference(block))))
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

impl<T> core::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
