//! Processors (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kegetcurrentprocessornumberex`,
//! `nf-wdm-kequeryactiveprocessorcountex`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::machine::enter,
    trace::Value,
    types::{ALL_PROCESSOR_GROUPS, PPROCESSOR_NUMBER, PROCESSOR_NUMBER, ULONG, USHORT},
    verifier::irql::Ddi,
};

/// The current processor's number, also into `ProcNumber` unless that is null. Any IRQL; below DISPATCH_LEVEL the answer may be
/// old (`nf-wdm-kegetcurrentprocessornumberex`).
///
/// # Safety
/// `ProcNumber` is null or valid for a write.
pub unsafe extern "C" fn KeGetCurrentProcessorNumberEx(ProcNumber: PPROCESSOR_NUMBER) -> ULONG {
    let machine = enter(Ddi::KeGetCurrentProcessorNumberEx);
    let number = machine.current.get() as u8;
    if !ProcNumber.is_null() {
        // SAFETY: by the caller's promise.
        unsafe { ProcNumber.write(PROCESSOR_NUMBER { Group: 0, Number: number, Reserved: 0 }) };
    }
    machine.called(Ddi::KeGetCurrentProcessorNumberEx, |machine| {
        ([machine.pointer(ProcNumber as usize)], Some(Value::Number(number.into())))
    });
    number.into()
}

/// How many processors there are in a group; 0 for a group that is not there. Any IRQL
/// (`nf-wdm-kequeryactiveprocessorcountex`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeQueryActiveProcessorCountEx(GroupNumber: USHORT) -> ULONG {
    let machine = enter(Ddi::KeQueryActiveProcessorCountEx);
    let count = if matches!(GroupNumber, 0 | ALL_PROCESSOR_GROUPS) { machine.count() as ULONG } else { 0 };
    machine.called(Ddi::KeQueryActiveProcessorCountEx, |_| {
        ([Value::Number(GroupNumber.into())], Some(Value::Number(count.into())))
    });
    count
}
