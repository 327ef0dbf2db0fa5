//! In-stack queued spin locks (learn.microsoft.com/windows-hardware/drivers/kernel/queued-spin-locks and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keacquireinstackqueuedspinlock`,
//! `nf-wdm-kereleaseinstackqueuedspinlock` and their AtDpcLevel and FromDpcLevel).
//!
//! The lock is a spin lock's word; who waits gets it in any order that the schedule makes.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::anywhere;
use crate::{
    engine::machine::{Entered, Machine, enter},
    types::{DISPATCH_LEVEL, KIRQL, KLOCK_QUEUE_HANDLE, KSPIN_LOCK_QUEUE, PKLOCK_QUEUE_HANDLE, PKSPIN_LOCK},
    verifier::{Checked, irql::Ddi},
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
        // SAFETY: by the caller's promise the handle is valid.
        unsafe { anywhere::write(handle, KLOCK_QUEUE_HANDLE { LockQueue: queue, OldIrql: old }) };
        Ok(())
    }

    fn release_queued(&self, handle: PKLOCK_QUEUE_HANDLE, ddi: Ddi, kind: u64, fits: bool) -> Checked<KIRQL> {
        // SAFETY: by the caller's promise the handle is valid.
        let value = unsafe { anywhere::read(handle) };
        let lock = value.LockQueue.Lock;
        self.called(ddi, |machine| {
            ([machine.pointer(lock as usize), machine.pointer(handle as usize)], None)
        });
        self.lock_irql(lock, ddi, kind, fits)?;
        self.release(lock, handle as usize)?;
        Ok(value.OldIrql)
    }
}

fn begin<'a>(ddi: Ddi, lock: PKSPIN_LOCK, handle: PKLOCK_QUEUE_HANDLE) -> Entered<'a> {
    let machine = enter(ddi);
    machine.called(ddi, |machine| ([machine.pointer(lock as usize), machine.pointer(handle as usize)], None));
    machine
}

/// Raises IRQL to DISPATCH_LEVEL and acquires a spin lock with a handle on the stack. Rules and bug checks as for
/// [`KeAcquireSpinLockRaiseToDpc`](super::KeAcquireSpinLockRaiseToDpc) (`nf-wdm-keacquireinstackqueuedspinlock`).
///
/// # Safety
/// `SpinLock` was initialised and is valid, as `LockHandle`, until it is released.
pub unsafe extern "C" fn KeAcquireInStackQueuedSpinLock(
    SpinLock: PKSPIN_LOCK,
    LockHandle: PKLOCK_QUEUE_HANDLE,
) {
    let ddi = Ddi::KeAcquireInStackQueuedSpinLock;
    let machine = &*begin(ddi, SpinLock, LockHandle);
    let before = machine.irql();
    machine.checked(machine.lock_irql(SpinLock, ddi, 0x42, before <= DISPATCH));
    machine.raise(DISPATCH);
    machine.checked(machine.acquire_queued(SpinLock, LockHandle, ddi, before));
}

/// Releases a lock of [`KeAcquireInStackQueuedSpinLock`] by its handle and restores IRQL. Rules and bug checks as for
/// [`KeReleaseSpinLock`](super::KeReleaseSpinLock); acquired without a handle or with another: 0xC4/0x1007
/// (`nf-wdm-kereleaseinstackqueuedspinlock`).
///
/// # Safety
/// `LockHandle` is that of the acquisition.
pub unsafe extern "C" fn KeReleaseInStackQueuedSpinLock(LockHandle: PKLOCK_QUEUE_HANDLE) {
    let ddi = Ddi::KeReleaseInStackQueuedSpinLock;
    let machine = &*enter(ddi);
    let before = machine.checked(machine.release_queued(LockHandle, ddi, 0x32, machine.irql() == DISPATCH));
    machine.lower(before);
}

/// As [`KeAcquireInStackQueuedSpinLock`], at DISPATCH_LEVEL or above: else bug check 0xC4/0x40
/// (`nf-wdm-keacquireinstackqueuedspinlockatdpclevel`).
///
/// # Safety
/// As for [`KeAcquireInStackQueuedSpinLock`].
pub unsafe extern "C" fn KeAcquireInStackQueuedSpinLockAtDpcLevel(
    SpinLock: PKSPIN_LOCK,
    LockHandle: PKLOCK_QUEUE_HANDLE,
) {
    let ddi = Ddi::KeAcquireInStackQueuedSpinLockAtDpcLevel;
    let machine = &*begin(ddi, SpinLock, LockHandle);
    let irql = machine.irql();
    machine.checked(machine.lock_irql(SpinLock, ddi, 0x40, irql >= DISPATCH));
    machine.checked(machine.acquire_queued(SpinLock, LockHandle, ddi, irql));
}

/// As [`KeReleaseInStackQueuedSpinLock`], at DISPATCH_LEVEL or above, without a change of IRQL: else bug check 0xC4/0x41
/// (`nf-wdm-kereleaseinstackqueuedspinlockfromdpclevel`).
///
/// # Safety
/// As for [`KeReleaseInStackQueuedSpinLock`].
pub unsafe extern "C" fn KeReleaseInStackQueuedSpinLockFromDpcLevel(LockHandle: PKLOCK_QUEUE_HANDLE) {
    let ddi = Ddi::KeReleaseInStackQueuedSpinLockFromDpcLevel;
    let machine = &*enter(ddi);
    machine.checked(machine.release_queued(LockHandle, ddi, 0x41, machine.irql() >= DISPATCH));
}
