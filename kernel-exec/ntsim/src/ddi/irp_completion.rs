//! Completion of I/O request packets
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-iofcompleterequest).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::irp::{location, read, read_location, write, write_location};
use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{
        CCHAR, DISPATCH_LEVEL, IO_STACK_LOCATION, IRP, PIRP, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR,
        SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED, STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
    },
    verifier::{
        Checked,
        bugcheck::{
            irp::{self as violated, IrpUse},
            irql_unexpected,
        },
        irql::Ddi,
    },
};

/// Returns a location as NT leaves it when the IRP goes up. The request's parameters, its marks and
/// the conditions of the completion routine are cleared.
fn left(location: IO_STACK_LOCATION) -> IO_STACK_LOCATION {
    IO_STACK_LOCATION {
        MinorFunction: 0,
        Flags: 0,
        Control: 0,
        Parameters: [0; 4],
        FileObject: core::ptr::null_mut(),
        ..location
    }
}

impl Machine {
    /// Checks that a completion routine has returned with the IRQL and the spin locks with which it
    /// was called.
    fn check_completion_routine(&self, before: u8, locks: usize) -> Checked<()> {
        let irql = self.irql();
        if irql != before {
            return Err(irql_unexpected::completion_routine(before, irql));
        }
        self.check_locks_given_back("a completion routine", locks)
    }

    /// Completes an IRP by calling the completion routines from the current location up.
    pub(crate) fn complete_irp(&self, irp: PIRP) -> Checked<()> {
        let irql = self.irql();
        if u32::from(irql) > DISPATCH_LEVEL {
            let name = self.name(irp as usize);
            return Err(violated::completed_above_dispatch(irp as usize, name, irql));
        }
        self.check_no_spin_lock(Ddi::IofCompleteRequest)?;
        let mut current = self.current_location(irp, Ddi::IofCompleteRequest)?;
        let serial = self.irp(irp, IrpUse::Owned, Ddi::IofCompleteRequest.name())?;
        let value = read(irp);
        let status = value.IoStatus.Status;
        if status == STATUS_PENDING || status == -1 {
            let name = self.name(irp as usize);
            return Err(violated::completed_with_no_final_status(irp as usize, name, status));
        }
        if let Some(routine) = value.CancelRoutine {
            let name = self.name(irp as usize);
            return Err(violated::completed_with_cancel_routine(irp as usize, name, routine as usize));
        }
        self.note_mark(irp, serial, current);
        let locks = self.locks_held();
        loop {
            let value = read(irp);
            self.kernel.borrow_mut().irps.complete(serial, current, value.IoStatus.Status);
            let stack = read_location(irp, current);
            let pending = u8::from(stack.Control & SL_PENDING_RETURNED != 0);
            write_location(irp, current, left(stack));
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
                let answer = self.call_out(|| unsafe { routine(device, irp, stack.Context) });
                self.check_completion_routine(irql, locks)?;
                if answer == STATUS_MORE_PROCESSING_REQUIRED {
                    return Ok(());
                }
                self.irp(
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
                    self.name(irp as usize)
                );
                self.fail("not supported", message);
            }
        }
    }
}

/// Completes an IRP by calling the completion routines of the drivers above, the lowest first,
/// until one returns STATUS_MORE_PROCESSING_REQUIRED.
///
/// The routine of the driver that made the IRP must return it, otherwise the run ends as not
/// supported. A stack location that the IRP leaves keeps its major function, device, completion
/// routine and context. Everything else in it is zeroed first, so that the routine is not called
/// again unless it is set again.
///
/// IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC9 (0xE). Other bug checks:
///
/// - 0xC4/0x4E530001 while holding a spin lock;
/// - 0x44 if no driver has the IRP, such as after a completion;
/// - 0xC9 (6) with STATUS_PENDING, 0xC9 (7) with the cancel routine set;
/// - 0xC8 if a completion routine returns at another IRQL, 0xC4/0x1006 if it holds a spin lock that
///   it has acquired (`nf-wdm-iofcompleterequest`).
///
/// # Safety
/// The completion routines may be called.
pub unsafe extern "C" fn IofCompleteRequest(Irp: PIRP, PriorityBoost: CCHAR) {
    let machine = &*enter(Ddi::IofCompleteRequest);
    machine.called(Ddi::IofCompleteRequest, |machine| {
        ([machine.pointer(Irp as usize), Value::Signed(PriorityBoost.into())], None)
    });
    machine.checked(machine.complete_irp(Irp));
}
