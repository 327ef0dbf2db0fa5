//! Initialises IRPs, when they are allocated and by IoReuseIrp
//! (learn.microsoft.com/windows-hardware/drivers/kernel/reusing-irps,
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-ioreuseirp).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::irp_reuse,
    trace::Value,
    types::{NTSTATUS, PIRP},
    verifier::irql::Ddi,
};

/// Initialises an IRP of [`IoAllocateIrp`](super::IoAllocateIrp) again, with a status, so that it
/// can be sent again.
///
/// IRQL ≤ DISPATCH_LEVEL. Bug check 0xC9 (1) if `Irp` is not an IRP; 0xC9 (0x20B) while a driver
/// has it (`nf-wdm-ioreuseirp`).
///
/// # Safety
/// The IRP is not used by anything else.
pub unsafe extern "C" fn IoReuseIrp(Irp: PIRP, Iostatus: NTSTATUS) {
    let machine = &*enter(Ddi::IoReuseIrp);
    machine.called(Ddi::IoReuseIrp, |machine| {
        ([machine.pointer(Irp as usize), Value::Signed(Iostatus.into())], None)
    });
    machine.checked(irp_reuse::reuse(machine, Irp, Iostatus));
}
