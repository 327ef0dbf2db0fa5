//! Remove locks.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/kernel/using-remove-locks and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-ioinitializeremovelock`,
//! `nf-wdm-ioacquireremovelock`, `nf-wdm-ioreleaseremovelock`, `nf-wdm-ioreleaseremovelockandwait`,
//! all of them macros that call this module.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::{Entered, enter},
    subsystem::remove_lock,
    trace::Value,
    types::{NTSTATUS, PIO_REMOVE_LOCK, PVOID, STATUS_DELETE_PENDING, STATUS_SUCCESS, ULONG},
    verifier::irql::Ddi,
};

fn begin<'a>(ddi: Ddi, lock: PIO_REMOVE_LOCK, size: ULONG) -> Entered<'a> {
    let machine = enter(ddi);
    machine.called(ddi, |machine| ([machine.pointer(lock as usize)], None));
    remove_lock::refuse_size(&machine, ddi, size);
    machine
}

/// Initialises a remove lock.
///
/// PASSIVE_LEVEL. Bug check 0x139 (14) if the lock at this address is held. The times and marks are
/// those of checked builds, and ignored as in free ones. Another size ends the run as not supported
/// (`nf-wdm-ioinitializeremovelock`).
///
/// # Safety
/// `Lock` is valid for writes, and stays valid and where it is while it is used.
pub unsafe extern "C" fn IoInitializeRemoveLockEx(
    Lock: PIO_REMOVE_LOCK,
    AllocateTag: ULONG,
    MaxLockedMinutes: ULONG,
    HighWatermark: ULONG,
    RemlockSize: ULONG,
) {
    let machine = &*begin(Ddi::IoInitializeRemoveLockEx, Lock, RemlockSize);
    let _ = (AllocateTag, MaxLockedMinutes, HighWatermark);
    machine.checked(remove_lock::initialize(machine, Lock));
}

/// Acquires a remove lock.
///
/// Returns STATUS_DELETE_PENDING once [`IoReleaseRemoveLockAndWaitEx`] has been called. IRQL ≤
/// DISPATCH_LEVEL. Bug check 0x139 (3) if `RemoveLock` is not a remove lock, or was moved
/// (`nf-wdm-ioacquireremovelock`).
///
/// # Safety
/// `RemoveLock` was initialised and is valid.
pub unsafe extern "C" fn IoAcquireRemoveLockEx(
    RemoveLock: PIO_REMOVE_LOCK,
    Tag: PVOID,
    File: *const i8,
    Line: ULONG,
    RemlockSize: ULONG,
) -> NTSTATUS {
    let ddi = Ddi::IoAcquireRemoveLockEx;
    let machine = &*enter(ddi);
    let _ = (File, Line);
    remove_lock::refuse_size(machine, ddi, RemlockSize);
    let acquired = machine.checked(remove_lock::acquire(machine, RemoveLock, Tag as usize));
    let status = if acquired { STATUS_SUCCESS } else { STATUS_DELETE_PENDING };
    machine.called(ddi, |machine| {
        ([machine.pointer(RemoveLock as usize)], Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Releases a remove lock. IRQL ≤ DISPATCH_LEVEL. Bug check 0x139 (14) if the lock was not acquired
/// with this tag (`nf-wdm-ioreleaseremovelock`).
///
/// # Safety
/// The same as for [`IoAcquireRemoveLockEx`].
pub unsafe extern "C" fn IoReleaseRemoveLockEx(RemoveLock: PIO_REMOVE_LOCK, Tag: PVOID, RemlockSize: ULONG) {
    let machine = &*begin(Ddi::IoReleaseRemoveLockEx, RemoveLock, RemlockSize);
    machine.checked(remove_lock::release(machine, RemoveLock, Tag as usize));
}

/// Releases the caller's acquisition of a remove lock and waits until all others have been
/// released.
///
/// PASSIVE_LEVEL. Bug check 0x139 (14) on a second call, or if the lock was not acquired with this
/// tag (`nf-wdm-ioreleaseremovelockandwait`).
///
/// # Safety
/// The same as for [`IoAcquireRemoveLockEx`].
pub unsafe extern "C" fn IoReleaseRemoveLockAndWaitEx(
    RemoveLock: PIO_REMOVE_LOCK,
    Tag: PVOID,
    RemlockSize: ULONG,
) {
    let ddi = Ddi::IoReleaseRemoveLockAndWaitEx;
    let machine = &*begin(ddi, RemoveLock, RemlockSize);
    machine.checked(remove_lock::wait_for_removal(machine, RemoveLock, Tag as usize, ddi));
}
