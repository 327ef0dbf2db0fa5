//! Initialises IRPs, when they are allocated and by IoReuseIrp.

use super::irp::{self, location, read, write, write_location};
use crate::{
    engine::machine::Machine,
    types::{CCHAR, IO_STACK_LOCATION, IRP, LIST_ENTRY, NTSTATUS, PIRP},
    verifier::{
        Checked,
        bugcheck::{irp as violated, irp::IrpUse},
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

/// Initialises an IRP again, with a status.
pub(crate) fn reuse(machine: &Machine, irp: PIRP, status: NTSTATUS) -> Checked<()> {
    irp::serial(machine, irp, IrpUse::Freed, Ddi::IoReuseIrp.name())?;
    let IRP { CurrentLocation: current, StackCount: count, Size: size, .. } = read(irp);
    if current <= count {
        return Err(violated::reused_while_owned(irp as usize, machine.name(irp as usize)));
    }
    initialize(irp, size, count, read(irp).AllocationFlags);
    let mut fresh = read(irp);
    fresh.IoStatus.Status = status;
    write(irp, fresh);
    Ok(())
}
