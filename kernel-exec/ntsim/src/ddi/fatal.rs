//! The driver's own bug check
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kebugcheckex).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    types::{ULONG, ULONG_PTR},
    verifier::{bugcheck::by_the_driver, irql::Ddi},
};

/// Stops the machine and ends the run with this bug check. Any IRQL (`nf-wdm-kebugcheckex`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeBugCheckEx(
    BugCheckCode: ULONG,
    BugCheckParameter1: ULONG_PTR,
    BugCheckParameter2: ULONG_PTR,
    BugCheckParameter3: ULONG_PTR,
    BugCheckParameter4: ULONG_PTR,
) -> ! {
    let machine = &*enter(Ddi::KeBugCheckEx);
    let parameters = [BugCheckParameter1, BugCheckParameter2, BugCheckParameter3, BugCheckParameter4];
    machine.bug_check(by_the_driver::called(BugCheckCode, parameters))
}
