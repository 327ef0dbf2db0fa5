//! In-stack queued spin locks.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/kernel/queued-spin-locks and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keacquireinstackqueuedspinlock`,
//! `nf-wdm-kereleaseinstackqueuedspinlock` and their AtDpcLevel and FromDpcLevel forms.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::{Entered, enter},
    subsystem::{irql, queued_lock},
    types::{PKLOCK_QUEUE_HANDLE, PKSPIN_LOCK},
    verifier::{bugcheck::driver_verifier::locks::SpinLockCall, irql::Ddi},
};

fn begin<'a>(ddi: Ddi, lock: PKSPIN_LOCK, handle: PKLOCK_QUEUE_HANDLE) -> Entered<'a> {
    let machine = enter(ddi);
    machine.called(ddi, |machine| ([machine.pointer(lock as usize), machine.pointer(handle as usize)], None));
    machine
}

/// Raises IRQL to DISPATCH_LEVEL and acquires a spin lock with a handle on the stack.
///
/// Rules and bug checks are those of
/// [`KeAcquireSpinLockRaiseToDpc`](super::KeAcquireSpinLockRaiseToDpc)
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
    machine.checked(queued_lock::acquire_and_raise(machine, SpinLock, LockHandle, ddi));
}

/// Releases a lock of [`KeAcquireInStackQueuedSpinLock`] by its handle and restores IRQL.
///
/// Rules and bug checks are those of [`KeReleaseSpinLock`](super::KeReleaseSpinLock). Bug check
/// 0xC4/0x1007 if the lock was acquired without a handle or with another
/// (`nf-wdm-kereleaseinstackqueuedspinlock`).
///
/// # Safety
/// `LockHandle` is the handle of the acquisition.
pub unsafe extern "C" fn KeReleaseInStackQueuedSpinLock(LockHandle: PKLOCK_QUEUE_HANDLE) {
    let ddi = Ddi::KeReleaseInStackQueuedSpinLock;
    let machine = &*enter(ddi);
    let before =
        machine.checked(queued_lock::release(machine, LockHandle, ddi, SpinLockCall::ReleaseAndLower));
    irql::lower(machine, before);
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
    machine.checked(queued_lock::acquire_at_dispatch(machine, SpinLock, LockHandle, ddi));
}

/// Releases a spin lock like [`KeReleaseInStackQueuedSpinLock`], without a change of IRQL.
///
/// At DISPATCH_LEVEL or above, otherwise bug check 0xC4/0x41
/// (`nf-wdm-kereleaseinstackqueuedspinlockfromdpclevel`).
///
/// # Safety
/// The same as for [`KeReleaseInStackQueuedSpinLock`].
pub unsafe extern "C" fn KeReleaseInStackQueuedSpinLockFromDpcLevel(LockHandle: PKLOCK_QUEUE_HANDLE) {
    let ddi = Ddi::KeReleaseInStackQueuedSpinLockFromDpcLevel;
    let machine = &*enter(ddi);
    machine.checked(queued_lock::release(machine, LockHandle, ddi, SpinLockCall::ReleaseFromDispatch));
}
