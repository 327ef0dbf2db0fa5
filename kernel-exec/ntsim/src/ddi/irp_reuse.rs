//! Initialises IRPs, when they are allocated and by IoReuseIrp
//! (learn.microsoft.com/windows-hardware/drivers/kernel/reusing-irps,
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-ioreuseirp).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use super::irp::{location, read, write, write_location};
use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{CCHAR, IO_STACK_LOCATION, IRP, LIST_ENTRY, NTSTATUS, PIRP},
    verifier::{
        Checked,
        bugcheck::irp::{self as violated, IrpUse},
        irql::Ddi,
    },
};

/// Initialises an IRP with all its locations.
pub(crate) fn initialize(irp: PIRP, size: u16, stack: CCHAR, flags: u8) {
    let none = location(irp, stack + 1);
    // SAFETY: the caller has allocated or looked up the IRP, so it is alive; no reference is made.
    let entry = unsafe { &raw mut (*irp).ThreadListEntry };
    let fresh = IRP {
        Size: size,
        StackCount: stack,
        CurrentLocation: stack + 1,
        CurrentStackLocation: none,
        ThreadListEntry: LIST_ENTRY { Flink: entry, Blink: entry },
        AllocationFlags: flags,
        ..IRP::default()
    };
    write(irp, fresh);
    for number in 1..=stack {
        write_location(irp, number, IO_STACK_LOCATION::default());
    }
}

impl Machine {
    /// Initialises an IRP again, with a status.
    fn reuse_irp(&self, irp: PIRP, status: NTSTATUS) -> Checked<()> {
        self.irp(irp, IrpUse::Freed, Ddi::IoReuseIrp.name())?;
        let IRP { CurrentLocation: current, StackCount: count, Size: size, .. } = read(irp);
        if current <= count {
            return Err(violated::reused_while_owned(irp as usize, self.name(irp as usize)));
        }
        initialize(irp, size, count, read(irp).AllocationFlags);
        let mut fresh = read(irp);
        fresh.IoStatus.Status = status;
        write(irp, fresh);
        Ok(())
    }
}

/// Initialises an IRP of [`IoAllocateIrp`](super::IoAllocateIrp) again, with a status, so that it
/// can be sent again. IRQL ≤ DISPATCH_LEVEL. Bug check 0xC9 (1) if `Irp` is not an IRP; 0xC9
/// (0x20B) while a driver has it (`nf-wdm-ioreuseirp`).
///
/// # Safety
/// The IRP is not used by anything else.
pub unsafe extern "C" fn IoReuseIrp(Irp: PIRP, Iostatus: NTSTATUS) {
    let machine = &*enter(Ddi::IoReuseIrp);
    machine.called(Ddi::IoReuseIrp, |machine| {
        ([machine.pointer(Irp as usize), Value::Signed(Iostatus.into())], None)
    });
    machine.checked(machine.reuse_irp(Irp, Iostatus));
}
