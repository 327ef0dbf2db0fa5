//! Cancelling IRPs.
//!
//! Documentation:
//! learn.microsoft.com/windows-hardware/drivers/kernel/introduction-to-canceling-irps and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-iosetcancelroutine`,
//! `nf-wdm-iocancelirp`, `nf-wdm-ioacquirecancelspinlock`, `nf-wdm-ioreleasecancelspinlock`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::cancel,
    trace::Value,
    types::{BOOLEAN, KIRQL, PDRIVER_CANCEL, PIRP},
    verifier::irql::Ddi,
};

/// Sets or clears an IRP's cancel routine and returns the routine before, which then is not called
/// any more.
///
/// Null means that the IRP is being cancelled, or that it had no routine. The exchange is atomic.
/// IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC4/0x4E530002. Bug check 0x44 if `Irp` is not an
/// IRP (`nf-wdm-iosetcancelroutine`).
///
/// # Safety
/// The routine may be called until it is set to another.
pub unsafe extern "C" fn IoSetCancelRoutine(Irp: PIRP, CancelRoutine: PDRIVER_CANCEL) -> PDRIVER_CANCEL {
    let machine = &*enter(Ddi::IoSetCancelRoutine);
    let before = machine.checked(cancel::set_routine(machine, Irp, CancelRoutine));
    machine.called(Ddi::IoSetCancelRoutine, |machine| {
        let routines = [CancelRoutine, before];
        let [new, old] =
            routines.map(|routine| machine.pointer(routine.map_or(0, |routine| routine as usize)));
        ([machine.pointer(Irp as usize), new], Some(old))
    });
    before
}

/// Asks for an IRP to be cancelled. Returns TRUE if it had a cancel routine, which has then been
/// called.
///
/// IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC4/0x42. Bug check 0xC4/0x1006 if the routine
/// returns with the cancel spin lock; 0xC8 if it returns at another IRQL than the IRP's CancelIrql;
/// 0x44 if `Irp` is not an IRP (`nf-wdm-iocancelirp`).
///
/// # Safety
/// Only the cancel routine may free the IRP during the call.
pub unsafe extern "C" fn IoCancelIrp(Irp: PIRP) -> BOOLEAN {
    let machine = &*enter(Ddi::IoCancelIrp);
    let canceled = machine.checked(cancel::cancel(machine, Irp));
    machine.called(Ddi::IoCancelIrp, |machine| {
        ([machine.pointer(Irp as usize)], Some(Value::Boolean(canceled)))
    });
    canceled.into()
}

/// Acquires the cancel spin lock and writes the IRQL before to `Irql`.
///
/// Rules and bug checks are those of
/// [`KeAcquireSpinLockRaiseToDpc`](super::KeAcquireSpinLockRaiseToDpc)
/// (`nf-wdm-ioacquirecancelspinlock`).
///
/// # Safety
/// `Irql` is valid for a write.
pub unsafe extern "C" fn IoAcquireCancelSpinLock(Irql: *mut KIRQL) {
    let ddi = Ddi::IoAcquireCancelSpinLock;
    let machine = &*enter(ddi);
    let before = machine.checked(cancel::acquire_lock(machine, ddi));
    // SAFETY: the caller promises that `Irql` is valid for a write.
    unsafe { Irql.write(before) };
    machine.called(ddi, |_| ([], Some(Value::Number(before.into()))));
}

/// Releases the cancel spin lock and lowers IRQL. Rules and bug checks are those of
/// [`KeReleaseSpinLock`](super::KeReleaseSpinLock) (`nf-wdm-ioreleasecancelspinlock`).
///
/// # Safety
/// The same as for [`KeReleaseSpinLock`](super::KeReleaseSpinLock).
pub unsafe extern "C" fn IoReleaseCancelSpinLock(Irql: KIRQL) {
    let ddi = Ddi::IoReleaseCancelSpinLock;
    let machine = &*enter(ddi);
    machine.called(ddi, |_| ([Value::Number(Irql.into())], None));
    machine.checked(cancel::release_lock(machine, ddi, Irql));
}
