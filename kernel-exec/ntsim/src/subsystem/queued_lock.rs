//! Acquires and releases spin locks with a queue handle on the stack.
//!
//! The lock is a spin lock's word. Waiting processors get it in any order that the schedule
//! chooses.

use super::{anywhere, spin_lock};
use crate::{
    engine::machine::Machine,
    types::{KIRQL, KLOCK_QUEUE_HANDLE, KSPIN_LOCK_QUEUE, PKLOCK_QUEUE_HANDLE, PKSPIN_LOCK},
    verifier::{Checked, bugcheck::driver_verifier::locks::SpinLockCall, irql::Ddi},
};

/// Writes what the release needs to the handle of an acquisition.
fn fill(handle: PKLOCK_QUEUE_HANDLE, lock: PKSPIN_LOCK, before: KIRQL) {
    let queue = KSPIN_LOCK_QUEUE { Next: core::ptr::null_mut(), Lock: lock };
    // SAFETY: the caller promises that the handle is valid; otherwise this write faults.
    unsafe { anywhere::write(handle, KLOCK_QUEUE_HANDLE { LockQueue: queue, OldIrql: before }) };
}

/// Raises IRQL to DISPATCH_LEVEL and acquires a lock with a handle.
pub(crate) fn acquire_and_raise(
    machine: &Machine,
    lock: PKSPIN_LOCK,
    handle: PKLOCK_QUEUE_HANDLE,
    ddi: Ddi,
) -> Checked<()> {
    let before = spin_lock::acquire_and_raise(machine, lock, ddi, handle as usize)?;
    fill(handle, lock, before);
    Ok(())
}

/// Acquires a lock with a handle at DISPATCH_LEVEL or above.
pub(crate) fn acquire_at_dispatch(
    machine: &Machine,
    lock: PKSPIN_LOCK,
    handle: PKLOCK_QUEUE_HANDLE,
    ddi: Ddi,
) -> Checked<()> {
    let irql = machine.irql();
    spin_lock::acquire_at_dispatch(machine, lock, ddi, handle as usize)?;
    fill(handle, lock, irql);
    Ok(())
}

/// Releases the lock of a handle, and returns the IRQL before its acquisition.
pub(crate) fn release(
    machine: &Machine,
    handle: PKLOCK_QUEUE_HANDLE,
    ddi: Ddi,
    call: SpinLockCall,
) -> Checked<KIRQL> {
    // SAFETY: the caller promises that the handle is valid; otherwise this read faults.
    let value = unsafe { anywhere::read(handle) };
    let lock = value.LockQueue.Lock;
    machine.called(ddi, |machine| ([machine.pointer(lock as usize), machine.pointer(handle as usize)], None));
    spin_lock::release(machine, lock, ddi, call, handle as usize)?;
    Ok(value.OldIrql)
}
