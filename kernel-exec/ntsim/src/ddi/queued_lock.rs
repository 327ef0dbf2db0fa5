//! In-stack queued spin locks
//! (learn.microsoft.com/windows-hardware/drivers/kernel/queued-spin-locks and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keacquireinstackqueuedspinlock`,
//! `nf-wdm-kereleaseinstackqueuedspinlock` and their AtDpcLevel and FromDpcLevel forms).
//!
//! The lock is a spin lock's word. Waiting processors get it in any order that the schedule
//! chooses.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::anywhere;
use crate::{
    engine::{
        entry::{Entered, enter},
        machine::Machine,
    },
    types::{DISPATCH_LEVEL, KIRQL, KLOCK_QUEUE_HANDLE, KSPIN_LOCK_QUEUE, PKLOCK_QUEUE_HANDLE, PKSPIN_LOCK},
    verifier::{Checked, bugcheck::driver_verifier::locks::SpinLockCall, irql::Ddi},
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;

impl Machine {
    fn acquire_queued(
        &self,
        lock: PKSPIN_LOCK,
        handle: PKLOCK_QUEUE_HANDLE,
        ddi: Ddi,
        old: KIRQL,
    ) -> Checked<()> {
        self.acquire(lock, ddi, handle as usize)?;
        let queue = KSPIN_LOCK_QUEUE { Next: core::ptr::null_mut(), Lock: lock };
        // SAFETY: the caller promises that the handle is valid; otherwise this write faults.
        unsafe { anywhere::write(handle, KLOCK_QUEUE_HANDLE { LockQueue: queue, OldIrql: old }) };
        Ok(())
    }

    fn release_queued(&self, handle: PKLOCK_QUEUE_HANDLE, ddi: Ddi, call: SpinLockCall) -> Checked<KIRQL> {
        // SAFETY: the caller promises that the handle is valid; otherwise this read faults.
        let value = unsafe { anywhere::read(handle) };
        let lock = value.LockQueue.Lock;
        self.called(ddi, |machine| {
            ([machine.pointer(lock as usize), machine.pointer(handle as usize)], None)
        });
        self.lock_irql(lock, ddi, call)?;
        self.release(lock, handle as usize)?;
        Ok(value.OldIrql)
    }
}

fn begin<'a>(ddi: Ddi, lock: PKSPIN_LOCK, handle: PKLOCK_QUEUE_HANDLE) -> Entered<'a> {
    let machine = enter(ddi);
    machine.called(ddi, |machine| ([machine.pointer(lock as usize), machine.pointer(handle as usize)], None));
    machine
}

/// Raises IRQL to DISPATCH_LEVEL and acquires a spin lock with a handle on the stack. Rules and bug
/// checks are those of [`KeAcquireSpinLockRaiseToDpc`](super::KeAcquireSpinLockRaiseToDpc)
/// (`nf-wdm-keacquireinstackqueuedspinlock`).
///
/// # Safety
/// `SpinLock` was initialised; it and `LockHandle` are valid until the lock is released.
pub unsafe extern "C" fn KeAcquireInStackQueuedSpinLock(
    SpinLock: PKSPIN_LOCK,
    LockHandle: PKLOCK_QUEUE_HANDLE,
) {
    let ddi = Ddi::KeAcquireInStackQueuedSpinLock;
    let machine = &*begin(ddi, SpinLock, LockHandle);
    let before = machine.irql();
    machine.checked(machine.lock_irql(SpinLock, ddi, SpinLockCall::AcquireAndRaise));
    machine.raise(DISPATCH);
    machine.checked(machine.acquire_queued(SpinLock, LockHandle, ddi, before));
}

/// Releases a lock of [`KeAcquireInStackQueuedSpinLock`] by its handle and restores IRQL. Rules and
/// bug checks are those of [`KeReleaseSpinLock`](super::KeReleaseSpinLock). Bug check 0xC4/0x1007
/// if the lock was acquired without a handle or with another
/// (`nf-wdm-kereleaseinstackqueuedspinlock`).
///
/// # Safety
/// `LockHandle` is the handle of the acquisition.
pub unsafe extern "C" fn KeReleaseInStackQueuedSpinLock(LockHandle: PKLOCK_QUEUE_HANDLE) {
    let ddi = Ddi::KeReleaseInStackQueuedSpinLock;
    let machine = &*enter(ddi);
    let before = machine.checked(machine.release_queued(LockHandle, ddi, SpinLockCall::ReleaseAndLower));
    machine.lower(before);
}

/// Acquires a spin lock like [`KeAcquireInStackQueuedSpinLock`], without a change of IRQL. At
/// DISPATCH_LEVEL or above, otherwise bug check 0xC4/0x40
/// (`nf-wdm-keacquireinstackqueuedspinlockatdpclevel`).
///
/// # Safety
/// The same as for [`KeAcquireInStackQueuedSpinLock`].
pub unsafe extern "C" fn KeAcquireInStackQueuedSpinLockAtDpcLevel(
    SpinLock: PKSPIN_LOCK,
    LockHandle: PKLOCK_QUEUE_HANDLE,
) {
    let ddi = Ddi::KeAcquireInStackQueuedSpinLockAtDpcLevel;
    let machine = &*begin(ddi, SpinLock, LockHandle);
    let irql = machine.irql();
    machine.checked(machine.lock_irql(SpinLock, ddi, SpinLockCall::AcquireAtDispatch));
    machine.checked(machine.acquire_queued(SpinLock, LockHandle, ddi, irql));
}

/// Releases a spin lock like [`KeReleaseInStackQueuedSpinLock`], without a change of IRQL. At
/// DISPATCH_LEVEL or above, otherwise bug check 0xC4/0x41
/// (`nf-wdm-kereleaseinstackqueuedspinlockfromdpclevel`).
///
/// # Safety
/// The same as for [`KeReleaseInStackQueuedSpinLock`].
pub unsafe extern "C" fn KeReleaseInStackQueuedSpinLockFromDpcLevel(LockHandle: PKLOCK_QUEUE_HANDLE) {
    let ddi = Ddi::KeReleaseInStackQueuedSpinLockFromDpcLevel;
    let machine = &*enter(ddi);
    machine.checked(machine.release_queued(LockHandle, ddi, SpinLockCall::ReleaseFromDispatch));
}
