//! Processors, each of which has an index among all processors, and a number in its group.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-kegetcurrentprocessornumberex`, `nf-wdm-kequeryactiveprocessorcountex`,
//! `nf-wdm-kequeryactivegroupcount`, `nf-wdm-kegetprocessornumberfromindex`,
//! `nf-wdm-kegetprocessorindexfromnumber`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::processor,
    trace::Value,
    types::{
        INVALID_PROCESSOR_INDEX, NTSTATUS, PPROCESSOR_NUMBER, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
        ULONG, USHORT,
    },
    verifier::irql::Ddi,
};

/// Returns the current processor's index among all, and writes its group and number to `ProcNumber`
/// unless that is null.
///
/// Any IRQL; below DISPATCH_LEVEL the thread may have moved to another processor since
/// (`nf-wdm-kegetcurrentprocessornumberex`).
///
/// # Safety
/// `ProcNumber` is null or valid for a write.
pub unsafe extern "C" fn KeGetCurrentProcessorNumberEx(ProcNumber: PPROCESSOR_NUMBER) -> ULONG {
    let machine = &*enter(Ddi::KeGetCurrentProcessorNumberEx);
    let number = machine.current.get() as u8;
    if !ProcNumber.is_null() {
        // SAFETY: the caller promises that `ProcNumber` is valid for a write.
        unsafe { ProcNumber.write(processor::number(machine, number.into())) };
    }
    machine.called(Ddi::KeGetCurrentProcessorNumberEx, |machine| {
        ([machine.pointer(ProcNumber as usize)], Some(Value::Number(number.into())))
    });
    number.into()
}

/// Returns the number of processors in a group, or 0 if the group does not exist. Any IRQL
/// (`nf-wdm-kequeryactiveprocessorcountex`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeQueryActiveProcessorCountEx(GroupNumber: USHORT) -> ULONG {
    let machine = &*enter(Ddi::KeQueryActiveProcessorCountEx);
    let count = processor::count_in(machine, GroupNumber) as ULONG;
    machine.called(Ddi::KeQueryActiveProcessorCountEx, |_| {
        ([Value::Number(GroupNumber.into())], Some(Value::Number(count.into())))
    });
    count
}

/// Returns the number of groups. Any IRQL (`nf-wdm-kequeryactivegroupcount`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeQueryActiveGroupCount() -> USHORT {
    let machine = &*enter(Ddi::KeQueryActiveGroupCount);
    let count = processor::groups(machine) as USHORT;
    machine.called(Ddi::KeQueryActiveGroupCount, |_| ([], Some(Value::Number(count.into()))));
    count
}

/// Writes the group and number of the processor with this index to `ProcNumber`.
///
/// Returns STATUS_SUCCESS, or STATUS_INVALID_PARAMETER if there is no such processor. Any IRQL
/// (`nf-wdm-kegetprocessornumberfromindex`).
///
/// # Safety
/// `ProcNumber` is valid for a write.
pub unsafe extern "C" fn KeGetProcessorNumberFromIndex(
    ProcIndex: ULONG,
    ProcNumber: PPROCESSOR_NUMBER,
) -> NTSTATUS {
    let machine = &*enter(Ddi::KeGetProcessorNumberFromIndex);
    let fits = (ProcIndex as usize) < machine.count();
    let status = if fits { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER };
    if fits {
        // SAFETY: the caller promises that `ProcNumber` is valid for a write.
        unsafe { ProcNumber.write(processor::number(machine, ProcIndex as usize)) };
    }
    machine.called(Ddi::KeGetProcessorNumberFromIndex, |_| {
        ([Value::Number(ProcIndex.into())], Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Returns the index of the processor with this group and number, or INVALID_PROCESSOR_INDEX if
/// there is none. Any IRQL (`nf-wdm-kegetprocessorindexfromnumber`).
///
/// # Safety
/// `ProcNumber` is valid for a read.
pub unsafe extern "C" fn KeGetProcessorIndexFromNumber(ProcNumber: PPROCESSOR_NUMBER) -> ULONG {
    let machine = &*enter(Ddi::KeGetProcessorIndexFromNumber);
    // SAFETY: the caller promises that `ProcNumber` is valid for a read.
    let number = unsafe { ProcNumber.read() };
    let index = processor::index(machine, number).map_or(INVALID_PROCESSOR_INDEX, |index| index as ULONG);
    machine.called(Ddi::KeGetProcessorIndexFromNumber, |_| ([], Some(Value::Number(index.into()))));
    index
}
