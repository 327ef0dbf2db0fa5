//! The storage of an armed timer, and the references to it.
//!
//! A timer cannot be called back with certainty once it is set, because its DPC may be in a queue,
//! or between the timer and the queue. So all that the kernel may still touch is in a counted block
//! of its own, and the drop of a timer future need not wait.
//!
//! # The protocol
//!
//! - **A1** The block has one reference of its [`TimerHandle`], which a timer future owns, and one
//!   for each arming. The kernel uses the block between arming and the end of that arming.
//! - **A2** An arming ends once. It ends in [`expired`], which the backend calls if the arming
//!   was not cancelled, or with a cancel that was in time. A cancel that came too late leaves the
//!   reference to `expired`. (`KeCancelTimer` answers FALSE for a one-shot timer when its DPC is
//!   queued or on its way, and that DPC still runs.)
//! - **A3** A timer is armed again only after its future has seen the signal of the last arming.
//!   The DPC routine of that arming may be running still, but touches only the signal, which it has
//!   set, and its reference.
//!
//! # Why a timer is allocated in the first poll
//!
//! A future that never waits costs no memory, and a failed allocation is an answer of the future.

#[cfg(all(test, loom))]
mod loom_tests;

use core::{
    alloc::Layout,
    ptr::NonNull,
    task::{Context, Poll},
};

use crate::{
    alloc::{Allocator, GlobalAllocator},
    refcount::ReferenceCount,
    signal::Signal,
    status::NTSTATUS,
};

/// The time after which a timer fires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DueTime {
    /// The delay in units of 100 ns, more than zero.
    pub(crate) units: i64,
    /// The tolerance in milliseconds. The timer may fire up to this much later, if that saves an
    /// interrupt.
    pub(crate) tolerance: u32,
}

/// A backend that calls [`expired`] after some time, and its storage in the block (such as a
/// KTIMER).
///
/// # Safety
/// An implementer calls `expired` with the block's address once for each accepted `set`, unless a
/// `cancel` has returned true for it. It touches its storage only in these functions and between
/// `set` and that call.
pub(crate) unsafe trait TimerBackend: Sized + 'static {
    /// Makes the storage, as it is before [`prepare`](Self::prepare).
    fn new() -> Self;

    /// Initialises the storage, which is in its final place.
    ///
    /// # Safety
    /// `block` is the block of this storage, and new.
    unsafe fn prepare(&self, block: NonNull<TimerBlock<Self>>);

    /// Has [`expired`] called after `time`.
    ///
    /// # Errors
    /// The reason of the refusal. `expired` will not be called.
    ///
    /// # Safety
    /// `prepare` has been called, and the call for an earlier `set` has been taken back or has
    /// begun.
    unsafe fn set(&self, time: DueTime) -> Result<(), NTSTATUS>;

    /// Takes the call back. Returns true if it was in time. False means that the call has begun or
    /// will begin.
    ///
    /// # Safety
    /// The timer is set, or was set.
    unsafe fn cancel(&self) -> bool;

    /// Records the end of an arming, after its reference has been given up.
    fn ended();
}

/// The memory that a timer and the kernel share.
pub(crate) struct TimerBlock<B> {
    /// The references, as `[A1]` counts them.
    references: ReferenceCount,
    fired: Signal,
    backend: B,
}

/// Signals that the time is over, and ends the arming, which was not cancelled.
/// IRQL: ≤ DISPATCH_LEVEL.
///
/// # Safety
/// The backend calls this once for an accepted `set`. The block may be gone afterwards.
pub(crate) unsafe fn expired<B: TimerBackend>(block: NonNull<TimerBlock<B>>) {
    // SAFETY: the arming's reference keeps the block [A1].
    unsafe { block.as_ref() }.fired.set();
    // SAFETY: the arming's reference, which is given up here [A2].
    unsafe { release(block) };
    B::ended();
}

/// Gives up a reference, and frees the block if it was the last.
///
/// # Safety
/// The caller owns a reference, which is gone afterwards.
unsafe fn release<B>(block: NonNull<TimerBlock<B>>) {
    // SAFETY: the caller's reference keeps the block.
    if unsafe { block.as_ref() }.references.remove() > 0 {
        return;
    }
    // SAFETY: the count is zero, so no other code has the block.
    unsafe { block.drop_in_place() };
    // SAFETY: the block came from `TimerHandle::new` with this layout, and is not used again.
    unsafe { GlobalAllocator.free(block.cast(), Layout::new::<TimerBlock<B>>()) };
}

/// The timer future's handle of a block. It arms the timer and polls for its end. Its drop disarms
/// the timer without waiting.
pub(crate) struct TimerHandle<B: TimerBackend> {
    block: NonNull<TimerBlock<B>>,
    /// The timer is armed, and the signal of that arming has not been seen.
    armed: bool,
    /// The number of the wait for the signal.
    wait: usize,
}

// SAFETY: the shared parts of the block are counts and a signal; the rest belongs to the kernel,
// which is called on any processor.
unsafe impl<B: TimerBackend> Send for TimerHandle<B> {}
// SAFETY: a shared handle has no operations that change it.
unsafe impl<B: TimerBackend> Sync for TimerHandle<B> {}

impl<B: TimerBackend> TimerHandle<B> {
    /// Makes a timer's block, unarmed, and its handle. Returns `None` if there is no memory. IRQL:
    /// ≤ DISPATCH_LEVEL.
    pub(crate) fn new() -> Option<Self> {
        let block = GlobalAllocator.allocate(Layout::new::<TimerBlock<B>>())?.cast::<TimerBlock<B>>();
        let fresh = TimerBlock { references: ReferenceCount::one(), fired: Signal::new(), backend: B::new() };
        // SAFETY: `block` is new memory of this layout.
        unsafe { block.write(fresh) };
        // SAFETY: the block was just written, and no other code has it.
        let backend = unsafe { &block.as_ref().backend };
        // SAFETY: the storage is in this block, and new.
        unsafe { backend.prepare(block) };
        Some(Self { block, armed: false, wait: 0 })
    }

    fn block(&self) -> &TimerBlock<B> {
        // SAFETY: the handle's reference keeps the block [A1].
        unsafe { self.block.as_ref() }
    }

    /// Tells whether the timer is armed and has not been seen to fire.
    pub(crate) const fn is_armed(&self) -> bool {
        self.armed
    }

    /// Arms the timer to fire after `time`. It must not be armed.
    ///
    /// # Errors
    /// The errors of the backend.
    pub(crate) fn arm(&mut self, time: DueTime) -> Result<(), NTSTATUS> {
        let block = self.block();
        block.references.add();
        // SAFETY: `new` prepared the backend; the call of an earlier arming has begun, because
        // its signal has been seen [A3].
        let set = unsafe { block.backend.set(time) };
        match set {
            Ok(()) => self.armed = true,
            // SAFETY: the reference added above was given to no other code.
            Err(_) => unsafe { release(self.block) },
        }
        set
    }

    /// Ready when the timer has fired, and then it is armed no longer. It must be armed.
    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let mut wait = self.wait;
        let polled = self.block().fired.poll(&mut wait, context);
        self.wait = wait;
        self.armed = polled.is_pending();
        polled
    }
}

impl<B: TimerBackend> Drop for TimerHandle<B> {
    fn drop(&mut self) {
        let block = self.block();
        block.fired.forget(self.wait);
        // SAFETY: the timer is armed, so the backend has been set.
        let in_time = self.armed && unsafe { block.backend.cancel() };
        if in_time {
            // SAFETY: the arming's reference, which is ours with the cancel that was in time [A2].
            unsafe { release(self.block) };
        }
        // SAFETY: the handle's own reference [A1].
        unsafe { release(self.block) };
        if in_time {
            B::ended();
        }
    }
}
