//! Spin locks.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-keinitializespinlock`, `nf-wdm-keacquirespinlock`, `nf-wdm-kereleasespinlock`,
//! `nf-wdm-keacquirespinlockatdpclevel`, `nf-wdm-kereleasespinlockfromdpclevel`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::{irql, spin_lock},
    trace::Value,
    types::{BOOLEAN, KIRQL, PKSPIN_LOCK},
    verifier::{bugcheck::driver_verifier::locks::SpinLockCall, irql::Ddi},
};

/// Initialises a spin lock as free. Any IRQL. Bug check 0xC4/0x1005 if the lock is held
/// (`nf-wdm-keinitializespinlock`).
///
/// # Safety
/// `SpinLock` is valid for writes.
pub unsafe extern "C" fn KeInitializeSpinLock(SpinLock: PKSPIN_LOCK) {
    let machine = &*enter(Ddi::KeInitializeSpinLock);
    machine.called(Ddi::KeInitializeSpinLock, |machine| ([machine.pointer(SpinLock as usize)], None));
    machine.checked(spin_lock::initialize(machine, SpinLock));
}

/// Raises IRQL to DISPATCH_LEVEL, acquires a spin lock and returns the IRQL before.
///
/// On x64, KeAcquireSpinLock is this function. IRQL ≤ DISPATCH_LEVEL, otherwise bug check
/// 0xC4/0x42. Bug check 0xC4/0x1000 if this processor holds the lock; 0xC4/0x1002 if the word is
/// not a lock's (`nf-wdm-keacquirespinlock`).
///
/// # Safety
/// `SpinLock` was initialised and is valid until it is released.
pub unsafe extern "C" fn KeAcquireSpinLockRaiseToDpc(SpinLock: PKSPIN_LOCK) -> KIRQL {
    let ddi = Ddi::KeAcquireSpinLockRaiseToDpc;
    let machine = &*enter(ddi);
    let before = machine.checked(spin_lock::acquire_and_raise(machine, SpinLock, ddi, 0));
    machine.called(ddi, |machine| ([machine.pointer(SpinLock as usize)], Some(Value::Number(before.into()))));
    before
}

/// Releases a spin lock and lowers IRQL to `NewIrql`.
///
/// At DISPATCH_LEVEL, otherwise bug check 0xC4/0x32. Bug check 0xC4/0x1007 if no processor holds
/// the lock; 0xC4/0x1004 if another does (`nf-wdm-kereleasespinlock`).
///
/// # Safety
/// `SpinLock` was acquired by this processor; `NewIrql` is the IRQL that the acquisition returned.
pub unsafe extern "C" fn KeReleaseSpinLock(SpinLock: PKSPIN_LOCK, NewIrql: KIRQL) {
    let ddi = Ddi::KeReleaseSpinLock;
    let machine = &*enter(ddi);
    machine.checked(spin_lock::release(machine, SpinLock, ddi, SpinLockCall::ReleaseAndLower, 0));
    machine
        .called(ddi, |machine| ([machine.pointer(SpinLock as usize), Value::Number(NewIrql.into())], None));
    irql::lower(machine, NewIrql);
}

/// Acquires a spin lock like [`KeAcquireSpinLockRaiseToDpc`], without a change of IRQL. At
/// DISPATCH_LEVEL or above, otherwise bug check 0xC4/0x40 (`nf-wdm-keacquirespinlockatdpclevel`).
///
/// # Safety
/// The same as for [`KeAcquireSpinLockRaiseToDpc`].
pub unsafe extern "C" fn KeAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK) {
    let ddi = Ddi::KeAcquireSpinLockAtDpcLevel;
    let machine = &*enter(ddi);
    machine.checked(spin_lock::acquire_at_dispatch(machine, SpinLock, ddi, 0));
    machine.called(ddi, |machine| ([machine.pointer(SpinLock as usize)], None));
}

/// Releases a spin lock like [`KeReleaseSpinLock`], without a change of IRQL. At DISPATCH_LEVEL or
/// above, otherwise bug check 0xC4/0x41 (`nf-wdm-kereleasespinlockfromdpclevel`).
///
/// # Safety
/// `SpinLock` was acquired by this processor.
pub unsafe extern "C" fn KeReleaseSpinLockFromDpcLevel(SpinLock: PKSPIN_LOCK) {
    let ddi = Ddi::KeReleaseSpinLockFromDpcLevel;
    let machine = &*enter(ddi);
    machine.checked(spin_lock::release(machine, SpinLock, ddi, SpinLockCall::ReleaseFromDispatch, 0));
    machine.called(ddi, |machine| ([machine.pointer(SpinLock as usize)], None));
}

/// Acquires a spin lock if it is free.
///
/// Returns TRUE, or FALSE if a processor holds it, including this one. At DISPATCH_LEVEL or above,
/// otherwise bug check 0xC4/0x40. It never waits, so it does not count for the lock order
/// (`nf-wdm-ketrytoacquirespinlockatdpclevel`).
///
/// # Safety
/// The same as for [`KeAcquireSpinLockRaiseToDpc`].
pub unsafe extern "C" fn KeTryToAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK) -> BOOLEAN {
    let ddi = Ddi::KeTryToAcquireSpinLockAtDpcLevel;
    let machine = &*enter(ddi);
    let free = machine.checked(spin_lock::try_acquire(machine, SpinLock, ddi));
    machine.called(ddi, |machine| ([machine.pointer(SpinLock as usize)], Some(Value::Boolean(free))));
    free.into()
}
