//! Completion of I/O request packets
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-iofcompleterequest).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::irp_completion,
    trace::Value,
    types::{CCHAR, PIRP},
    verifier::irql::Ddi,
};

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
    machine.checked(irp_completion::complete(machine, Irp));
}
