//! Cancels IRPs, under the cancel spin lock.

use core::cell::Cell;

use super::{
    irp::{self, read, read_location, write},
    irql, spin_lock,
};
use crate::{
    engine::machine::Machine,
    types::{DISPATCH_LEVEL, IRP, KIRQL, PDEVICE_OBJECT, PDRIVER_CANCEL, PIRP, PKSPIN_LOCK},
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

fn lock(machine: &Machine) -> PKSPIN_LOCK {
    machine.image_state::<CancelLock>().cast_mut().cast()
}

/// Acquires the cancel spin lock and returns the IRQL before.
pub(crate) fn acquire_lock(machine: &Machine, ddi: Ddi) -> Checked<KIRQL> {
    spin_lock::acquire_and_raise(machine, lock(machine), ddi, 0)
}

/// Releases the cancel spin lock and lowers IRQL.
pub(crate) fn release_lock(machine: &Machine, ddi: Ddi, irql: KIRQL) -> Checked<()> {
    spin_lock::release(machine, lock(machine), ddi, SpinLockCall::ReleaseAndLower, 0)?;
    irql::lower(machine, irql);
    Ok(())
}

/// Cancels an IRP. Returns whether it had a cancel routine, which has then been called.
pub(crate) fn cancel(machine: &Machine, irp: PIRP) -> Checked<bool> {
    cancel_if(machine, |_| Some(irp))
}

/// Cancels the IRP that `find` returns when the cancel spin lock is held, as [`cancel`] does. The
/// caller need not own an IRP for that, because the IRP of a completed request is not found.
pub(crate) fn cancel_if(machine: &Machine, find: impl FnOnce(&Machine) -> Option<PIRP>) -> Checked<bool> {
    let ddi = Ddi::IoCancelIrp;
    let before = acquire_lock(machine, ddi)?;
    let Some(irp) = find(machine) else {
        release_lock(machine, ddi, before)?;
        return Ok(false);
    };
    irp::serial(machine, irp, IrpUse::Owned, ddi.name())?;
    let value = read(irp);
    write(irp, IRP { Cancel: 1, CancelRoutine: None, CancelIrql: before, ..value });
    let Some(routine) = value.CancelRoutine else {
        release_lock(machine, ddi, before)?;
        return Ok(false);
    };
    let device: PDEVICE_OBJECT = if value.CurrentLocation > value.StackCount {
        core::ptr::null_mut()
    } else {
        read_location(irp, value.CurrentLocation).DeviceObject
    };
    // SAFETY: the driver's routine gets its own device and IRP, at DISPATCH_LEVEL with the
    // cancel spin lock held; no borrow of the machine is open [M1].
    machine.call_out(|| unsafe { routine(device, irp) });
    let (me, lock) = (machine.current.get(), lock(machine) as usize);
    if machine.kernel.borrow().locks.holder(lock) == Some(me) {
        return Err(locks::returned_with_cancel_lock(lock, me));
    }
    let irql = machine.irql();
    if irql != before {
        return Err(irql_unexpected::cancel_routine(before, irql));
    }
    Ok(true)
}

/// Sets or clears an IRP's cancel routine and returns the routine before.
pub(crate) fn set_routine(machine: &Machine, irp: PIRP, routine: PDRIVER_CANCEL) -> Checked<PDRIVER_CANCEL> {
    let ddi = Ddi::IoSetCancelRoutine;
    machine.check_documented_irql(ddi, DISPATCH)?;
    irp::serial(machine, irp, IrpUse::Owned, ddi.name())?;
    let value = read(irp);
    write(irp, IRP { CancelRoutine: routine, ..value });
    Ok(value.CancelRoutine)
}
