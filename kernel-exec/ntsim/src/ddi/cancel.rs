//! Canceling IRPs
//! (learn.microsoft.com/windows-hardware/drivers/kernel/introduction-to-canceling-irps and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-iosetcancelroutine`,
//! `nf-wdm-iocancelirp`, `nf-wdm-ioacquirecancelspinlock`, `nf-wdm-ioreleasecancelspinlock`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use core::cell::Cell;

use super::irp::{read, read_location, write};
use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{BOOLEAN, DISPATCH_LEVEL, IRP, KIRQL, PDEVICE_OBJECT, PDRIVER_CANCEL, PIRP, PKSPIN_LOCK},
    verifier::{
        Checked,
        bugcheck::{
            driver_verifier::locks::{self, SpinLockCall},
            irp::IrpUse,
            irql_unexpected,
        },
        irql::Ddi,
    },
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;

/// The system's cancel spin lock.
#[derive(Default)]
struct CancelLock(#[expect(dead_code, reason = "only its address is used: it is a lock's word")] Cell<u64>);

impl Machine {
    fn cancel_lock(&self) -> PKSPIN_LOCK {
        self.image_state::<CancelLock>().cast_mut().cast()
    }

    fn acquire_cancel_lock(&self, ddi: Ddi) -> Checked<KIRQL> {
        let (lock, before) = (self.cancel_lock(), self.irql());
        self.lock_irql(lock, ddi, SpinLockCall::AcquireAndRaise)?;
        self.raise(DISPATCH);
        self.acquire(lock, ddi, 0)?;
        Ok(before)
    }

    fn release_cancel_lock(&self, ddi: Ddi, irql: KIRQL) -> Checked<()> {
        let lock = self.cancel_lock();
        self.lock_irql(lock, ddi, SpinLockCall::ReleaseAndLower)?;
        self.release(lock, 0)?;
        self.lower(irql);
        Ok(())
    }

    fn cancel_irp(&self, irp: PIRP) -> Checked<bool> {
        let ddi = Ddi::IoCancelIrp;
        let before = self.acquire_cancel_lock(ddi)?;
        self.irp(irp, IrpUse::Owned, ddi.name())?;
        let value = read(irp);
        write(irp, IRP { Cancel: 1, CancelRoutine: None, CancelIrql: before, ..value });
        let Some(routine) = value.CancelRoutine else {
            self.release_cancel_lock(ddi, before)?;
            return Ok(false);
        };
        let device: PDEVICE_OBJECT = if value.CurrentLocation > value.StackCount {
            core::ptr::null_mut()
        } else {
            read_location(irp, value.CurrentLocation).DeviceObject
        };
        // SAFETY: the driver's routine gets its own device and IRP, at DISPATCH_LEVEL with the
        // cancel spin lock held; no borrow of the machine is open [M1].
        self.call_out(|| unsafe { routine(device, irp) });
        let (me, lock) = (self.current.get(), self.cancel_lock() as usize);
        if self.kernel.borrow().locks.holder(lock) == Some(me) {
            return Err(locks::returned_with_cancel_lock(lock, me));
        }
        let irql = self.irql();
        if irql != before {
            return Err(irql_unexpected::cancel_routine(before, irql));
        }
        Ok(true)
    }
}

/// Sets or clears an IRP's cancel routine and returns the routine before, which then is not called
/// any more.
///
/// Null means that the IRP is being canceled, or that it had no routine. The exchange is atomic.
/// IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC4/0x4E530002. Bug check 0x44 if `Irp` is not an
/// IRP (`nf-wdm-iosetcancelroutine`).
///
/// # Safety
/// The routine may be called until it is set to another.
pub unsafe extern "C" fn IoSetCancelRoutine(Irp: PIRP, CancelRoutine: PDRIVER_CANCEL) -> PDRIVER_CANCEL {
    let machine = &*enter(Ddi::IoSetCancelRoutine);
    machine.checked(machine.check_documented_irql(Ddi::IoSetCancelRoutine, DISPATCH));
    machine.checked(machine.irp(Irp, IrpUse::Owned, Ddi::IoSetCancelRoutine.name()));
    let value = read(Irp);
    write(Irp, IRP { CancelRoutine, ..value });
    machine.called(Ddi::IoSetCancelRoutine, |machine| {
        let routines = [CancelRoutine, value.CancelRoutine];
        let [new, old] =
            routines.map(|routine| machine.pointer(routine.map_or(0, |routine| routine as usize)));
        ([machine.pointer(Irp as usize), new], Some(old))
    });
    value.CancelRoutine
}

/// Asks for an IRP to be canceled. Returns TRUE if it had a cancel routine, which has then been
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
    let canceled = machine.checked(machine.cancel_irp(Irp));
    machine.called(Ddi::IoCancelIrp, |machine| {
        ([machine.pointer(Irp as usize)], Some(Value::Boolean(canceled)))
    });
    canceled.into()
}

/// Acquires the cancel spin lock and writes the IRQL before to `Irql`. Rules and bug checks are
/// those of [`KeAcquireSpinLockRaiseToDpc`](super::KeAcquireSpinLockRaiseToDpc)
/// (`nf-wdm-ioacquirecancelspinlock`).
///
/// # Safety
/// `Irql` is valid for a write.
pub unsafe extern "C" fn IoAcquireCancelSpinLock(Irql: *mut KIRQL) {
    let ddi = Ddi::IoAcquireCancelSpinLock;
    let machine = &*enter(ddi);
    let before = machine.checked(machine.acquire_cancel_lock(ddi));
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
    machine.checked(machine.release_cancel_lock(ddi, Irql));
}
