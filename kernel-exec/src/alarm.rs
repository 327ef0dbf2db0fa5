//! An alarm: the storage of an armed timer, and who owns it.
//!
//! A timer that is set, and its DPC in a queue or in nobody's sight between the two, cannot be called back with certainty: so what
//! the kernel may still touch is in a block of its own, which is counted, and whoever drops a timer future need not wait.
//!
//! # The protocol
//!
//! - **A1** The block has one reference of its [`Alarm`], which a timer future owns, and one for each arming. The kernel uses the
//!   block between arming and the end of that arming.
//! - **A2** An arming ends once: in [`expired`], which the clockwork calls where it was not cancelled, or with the cancel that was told
//!   that it was in time. A cancel that came too late (`KeCancelTimer` answers FALSE for a one-shot timer whose DPC is queued or on its
//!   way, and that DPC still runs) leaves the reference to `expired`.
//! - **A3** An alarm is armed again only after its future has seen the signal of the last arming. The DPC routine of that one may be
//!   running still, but touches only the signal, which it has set, and its reference.

#[cfg(all(test, loom))]
mod loom_tests;

use core::{
    alloc::Layout,
    ptr::NonNull,
    task::{Context, Poll},
};

use crate::{Allocator, GlobalAllocator, NTSTATUS, ReferenceCount, Signal};

/// When an alarm fires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// After so many units of 100 ns, more than none.
    pub(crate) units: i64,
    /// Or up to so many milliseconds later, where that saves an interrupt.
    pub(crate) tolerance: u32,
}

/// What calls [`expired`] after some time, and what it keeps in the block for that (such as a KTIMER).
///
/// # Safety
/// An implementer calls `expired` with the block's address once for each accepted `set`, unless a `cancel` has answered true for it; and
/// it touches its storage at no other time than in these functions and between `set` and that call.
pub(crate) unsafe trait Clockwork: Sized + 'static {
    /// The storage, before [`prepare`](Self::prepare).
    fn new() -> Self;

    /// The storage is in its final place.
    ///
    /// # Safety
    /// `block` is the block of this storage, and new.
    unsafe fn prepare(&self, block: NonNull<Block<Self>>);

    /// Has [`expired`] called after `time`.
    ///
    /// # Errors
    /// It will not be called.
    ///
    /// # Safety
    /// Prepared; an earlier call has been taken back or has begun.
    unsafe fn set(&self, time: Time) -> Result<(), NTSTATUS>;

    /// Takes the call back: true; or false: it has begun or will.
    ///
    /// # Safety
    /// It is set, or was.
    unsafe fn cancel(&self) -> bool;

    /// One that was set has ended: its reference has been given up.
    fn ended();
}

/// What an alarm and the kernel share.
pub(crate) struct Block<K> {
    /// `[A1]`
    references: ReferenceCount,
    fired: Signal,
    clockwork: K,
}

/// The time is over: the end of an arming that was not cancelled. IRQL: ≤ DISPATCH_LEVEL.
///
/// # Safety
/// Called by the clockwork for an accepted `set`, once. The block may be gone afterwards.
pub(crate) unsafe fn expired<K: Clockwork>(block: NonNull<Block<K>>) {
    // SAFETY: the arming's reference [A1].
    unsafe { block.as_ref() }.fired.set();
    // SAFETY: as above, given up here [A2].
    unsafe { release(block) };
    K::ended();
}

/// # Safety
/// The caller owns a reference, which is gone afterwards.
unsafe fn release<K>(block: NonNull<Block<K>>) {
    // SAFETY: the caller's reference.
    if unsafe { block.as_ref() }.references.remove() > 0 {
        return;
    }
    // SAFETY: nobody else has it.
    unsafe { block.drop_in_place() };
    // SAFETY: from `Alarm::new` with this layout, and not used again.
    unsafe { GlobalAllocator.free(block.cast(), Layout::new::<Block<K>>()) };
}

/// A timer future's own: it arms, and is told. Dropping it disarms, without waiting.
pub(crate) struct Alarm<K: Clockwork> {
    block: NonNull<Block<K>>,
    /// Armed, and the signal of that not seen.
    armed: bool,
    /// The number of the wait for the signal.
    wait: usize,
}

// SAFETY: everything that is shared of the block is counts and a signal; the rest is the kernel's, which is called on any processor.
unsafe impl<K: Clockwork> Send for Alarm<K> {}
// SAFETY: a shared alarm can do nothing.
unsafe impl<K: Clockwork> Sync for Alarm<K> {}

impl<K: Clockwork> Alarm<K> {
    /// None where there is no memory. IRQL: ≤ DISPATCH_LEVEL.
    pub(crate) fn new() -> Option<Self> {
        let block = GlobalAllocator.allocate(Layout::new::<Block<K>>())?.cast::<Block<K>>();
        let fresh = Block { references: ReferenceCount::one(), fired: Signal::new(), clockwork: K::new() };
        // SAFETY: new memory of this layout.
        unsafe { block.write(fresh) };
        // SAFETY: just written, and nobody else's.
        let clockwork = unsafe { &block.as_ref().clockwork };
        // SAFETY: in the block that this is, and new.
        unsafe { clockwork.prepare(block) };
        Some(Self { block, armed: false, wait: 0 })
    }

    fn block(&self) -> &Block<K> {
        // SAFETY: the alarm's reference [A1].
        unsafe { self.block.as_ref() }
    }

    /// Armed, and not yet seen to have fired.
    pub(crate) const fn is_armed(&self) -> bool {
        self.armed
    }

    /// Fires after `time`. It is not armed.
    ///
    /// # Errors
    /// The clockwork's.
    pub(crate) fn arm(&mut self, time: Time) -> Result<(), NTSTATUS> {
        let block = self.block();
        block.references.add();
        // SAFETY: prepared by `new`; the call of an earlier arming has begun, because its signal has been seen [A3].
        let set = unsafe { block.clockwork.set(time) };
        match set {
            Ok(()) => self.armed = true,
            // SAFETY: the reference above, which nobody has been given.
            Err(_) => unsafe { release(self.block) },
        }
        set
    }

    /// Ready when it has fired; then it is armed no longer. It is armed.
    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let mut wait = self.wait;
        let polled = self.block().fired.poll(&mut wait, context);
        self.wait = wait;
        self.armed = polled.is_pending();
        polled
    }
}

impl<K: Clockwork> Drop for Alarm<K> {
    fn drop(&mut self) {
        let block = self.block();
        block.fired.forget(self.wait);
        // SAFETY: armed, so it is set or was.
        let in_time = self.armed && unsafe { block.clockwork.cancel() };
        if in_time {
            // SAFETY: the arming's reference, which is ours with the cancel that was in time [A2].
            unsafe { release(self.block) };
        }
        // SAFETY: the alarm's own reference [A1].
        unsafe { release(self.block) };
        if in_time {
            K::ended();
        }
    }
}
