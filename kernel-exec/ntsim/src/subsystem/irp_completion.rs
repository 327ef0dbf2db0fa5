//! Completes IRPs by calling the completion routines of the drivers above.

extern crate alloc;

use super::{
    irp::{self, location, read, read_location, write, write_location},
    spin_lock,
};
use crate::{
    engine::machine::Machine,
    types::{
        DISPATCH_LEVEL, IO_STACK_LOCATION, IRP, PIRP, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR,
        SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
    },
    verifier::{
        Checked,
        bugcheck::{irp as violated, irp::IrpUse, irql_unexpected},
        irql::Ddi,
    },
};

/// Returns a location as NT leaves it when the IRP goes up. The request's parameters, its marks and
/// the conditions of the completion routine are cleared.
fn cleared(location: IO_STACK_LOCATION) -> IO_STACK_LOCATION {
    IO_STACK_LOCATION {
        MinorFunction: 0,
        Flags: 0,
        Control: 0,
        Parameters: [0; 4],
        FileObject: core::ptr::null_mut(),
        ..location
    }
}

/// Checks that a completion routine has returned with the IRQL and the spin locks with which it
/// was called.
fn check_routine(machine: &Machine, before: u8, locks: usize) -> Checked<()> {
    let irql = machine.irql();
    if irql != before {
        return Err(irql_unexpected::completion_routine(before, irql));
    }
    spin_lock::check_given_back(machine, "a completion routine", locks)
}

/// Completes an IRP by calling the completion routines from the current location up.
pub(crate) fn complete(machine: &Machine, irp: PIRP) -> Checked<()> {
    let irql = machine.irql();
    if u32::from(irql) > DISPATCH_LEVEL {
        let name = machine.name(irp as usize);
        return Err(violated::completed_above_dispatch(irp as usize, name, irql));
    }
    machine.check_no_spin_lock(Ddi::IofCompleteRequest)?;
    let mut current = irp::current_location(machine, irp, Ddi::IofCompleteRequest)?;
    let serial = irp::serial(machine, irp, IrpUse::Owned, Ddi::IofCompleteRequest.name())?;
    let value = read(irp);
    let status = value.IoStatus.Status;
    if status == STATUS_PENDING || status == -1 {
        let name = machine.name(irp as usize);
        return Err(violated::completed_with_no_final_status(irp as usize, name, status));
    }
    if let Some(routine) = value.CancelRoutine {
        let name = machine.name(irp as usize);
        return Err(violated::completed_with_cancel_routine(irp as usize, name, routine as usize));
    }
    irp::note_mark(machine, irp, serial, current);
    let locks = spin_lock::held(machine);
    loop {
        let value = read(irp);
        machine.kernel.borrow_mut().irps.complete(serial, current, value.IoStatus.Status);
        let stack = read_location(irp, current);
        let pending = u8::from(stack.Control & SL_PENDING_RETURNED != 0);
        write_location(irp, current, cleared(stack));
        current += 1;
        write(
            irp,
            IRP {
                PendingReturned: pending,
                CurrentLocation: current,
                CurrentStackLocation: location(irp, current),
                ..value
            },
        );
        let wanted = match (value.Cancel != 0, value.IoStatus.Status >= 0) {
            (true, _) if stack.Control & SL_INVOKE_ON_CANCEL != 0 => true,
            (_, true) => stack.Control & SL_INVOKE_ON_SUCCESS != 0,
            (_, false) => stack.Control & SL_INVOKE_ON_ERROR != 0,
        };
        if let Some(routine) = stack.CompletionRoutine.filter(|_| wanted) {
            let device = if current > value.StackCount {
                core::ptr::null_mut()
            } else {
                read_location(irp, current).DeviceObject
            };
            // SAFETY: the driver set this routine for this IRP; no borrow of the machine is
            // open [M1].
            let answer = machine.call_out(|| unsafe { routine(device, irp, stack.Context) });
            check_routine(machine, irql, locks)?;
            if answer == STATUS_MORE_PROCESSING_REQUIRED {
                return Ok(());
            }
            irp::serial(
                machine,
                irp,
                IrpUse::Owned,
                "was freed by a completion routine that did not return STATUS_MORE_PROCESSING_REQUIRED",
            )?;
        } else if pending != 0 && current <= value.StackCount {
            let stack = read_location(irp, current);
            write_location(
                irp,
                current,
                IO_STACK_LOCATION { Control: stack.Control | SL_PENDING_RETURNED, ..stack },
            );
        }
        if current > value.StackCount {
            let message = alloc::format!(
                "IRP {} was completed up to the driver that allocated it: that driver's completion routine \
                 must free it and return STATUS_MORE_PROCESSING_REQUIRED",
                machine.name(irp as usize)
            );
            machine.fail("not supported", message);
        }
    }
}
