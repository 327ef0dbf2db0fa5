//! The kernel's timer, as the backend of a timer block.

use core::ptr::NonNull;

use crate::{
    nt,
    status::NTSTATUS,
    sync::KernelCell,
    timer_block::{DueTime, TimerBackend, TimerBlock, expired},
    tracker::{TaskTracker, default_tracker},
};

/// A one-shot timer, and a DPC that is used for nothing else.
///
/// Both are initialised once. A timer that has expired may be set again. Its DPC may be queued
/// again once its routine has begun, because it has left its queue before that
/// (learn.microsoft.com/windows-hardware/drivers/kernel/handling-overlapped-i-o-operations).
#[derive(Default)]
pub(crate) struct KernelTimer {
    timer: KernelCell<nt::KTIMER>,
    dpc: KernelCell<nt::KDPC>,
}

unsafe extern "C" fn routine(_dpc: *mut nt::KDPC, block: nt::PVOID, _: nt::PVOID, _: nt::PVOID) {
    // SAFETY: `prepare` passed the block's address, which is not null.
    let block = unsafe { NonNull::new_unchecked(block.cast::<TimerBlock<KernelTimer>>()) };
    // SAFETY: this is the DPC of a one-shot timer, so this is the one call for one `set`; after a
    // cancel that was in time there is none.
    unsafe { expired(block) }
}

// SAFETY: `routine` calls `expired` once for each time that the timer was set and KeCancelTimer did
// not answer TRUE.
unsafe impl TimerBackend for KernelTimer {
    fn new() -> Self {
        Self::default()
    }

    unsafe fn prepare(&self, block: NonNull<TimerBlock<Self>>) {
        // SAFETY: any IRQL; the DPC is in non-paged memory, and new.
        unsafe { nt::KeInitializeDpc(self.dpc.get(), Some(routine), block.as_ptr().cast()) };
        // SAFETY: ≤ DISPATCH_LEVEL; the timer is in non-paged memory, and new.
        unsafe { nt::KeInitializeTimerEx(self.timer.get(), nt::_TIMER_TYPE::NotificationTimer) };
    }

    unsafe fn set(&self, time: DueTime) -> Result<(), NTSTATUS> {
        default_tracker(TaskTracker::begin_timer)?;
        let due = nt::LARGE_INTEGER { QuadPart: -time.units };
        let (timer, dpc) = (self.timer.get(), self.dpc.get());
        // The timer was not set before, or has expired, so the calls answer FALSE.
        if time.tolerance == 0 {
            // SAFETY: ≤ DISPATCH_LEVEL; `prepare` initialised both, and they are resident until the
            // routine has run or the timer was cancelled [A1].
            unsafe { nt::KeSetTimerEx(timer, due, 0, dpc) };
        } else {
            // SAFETY: ≤ DISPATCH_LEVEL; `prepare` initialised both, and they are resident until the
            // routine has run or the timer was cancelled [A1].
            unsafe { nt::KeSetCoalescableTimer(timer, due, 0, time.tolerance, dpc) };
        }
        Ok(())
    }

    unsafe fn cancel(&self) -> bool {
        // SAFETY: ≤ DISPATCH_LEVEL; `prepare` initialised the timer.
        (unsafe { nt::KeCancelTimer(self.timer.get()) }) != 0
    }

    fn ended() {
        default_tracker(TaskTracker::end_timer);
    }
}
