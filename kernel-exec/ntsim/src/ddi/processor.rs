//! Processors (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-kegetcurrentprocessornumberex`, `nf-wdm-kequeryactiveprocessorcountex`,
//! `nf-wdm-kequeryactivegroupcount`, `nf-wdm-kegetprocessornumberfromindex`,
//! `nf-wdm-kegetprocessorindexfromnumber`). A processor has an index among all processors, and a
//! number in its group.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{
        ALL_PROCESSOR_GROUPS, INVALID_PROCESSOR_INDEX, NTSTATUS, PPROCESSOR_NUMBER, PROCESSOR_NUMBER,
        STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG, USHORT,
    },
    verifier::irql::Ddi,
};

impl Machine {
    /// Returns a processor's group and its number in that group.
    fn processor_number(&self, index: usize) -> PROCESSOR_NUMBER {
        let size = self.config.get().group_size;
        PROCESSOR_NUMBER { Group: (index / size) as USHORT, Number: (index % size) as u8, Reserved: 0 }
    }

    /// Returns the index of the processor with this group and number, if there is one.
    pub(crate) fn processor_index(&self, number: PROCESSOR_NUMBER) -> Option<usize> {
        let size = self.config.get().group_size;
        let index = usize::from(number.Group) * size + usize::from(number.Number);
        let fits = usize::from(number.Number) < size && number.Reserved == 0 && index < self.count();
        fits.then_some(index)
    }

    /// Returns the number of groups.
    fn groups(&self) -> usize {
        self.count().div_ceil(self.config.get().group_size)
    }

    /// Returns the number of processors in a group, or in all groups.
    fn processors_of(&self, group: USHORT) -> usize {
        let size = self.config.get().group_size;
        match usize::from(group) {
            _ if group == ALL_PROCESSOR_GROUPS => self.count(),
            group => self.count().saturating_sub(group * size).min(size),
        }
    }
}

/// Returns the current processor's index among all, and writes its group and number to `ProcNumber`
/// unless that is null. Any IRQL; below DISPATCH_LEVEL the thread may have moved to another
/// processor since (`nf-wdm-kegetcurrentprocessornumberex`).
///
/// # Safety
/// `ProcNumber` is null or valid for a write.
pub unsafe extern "C" fn KeGetCurrentProcessorNumberEx(ProcNumber: PPROCESSOR_NUMBER) -> ULONG {
    let machine = &*enter(Ddi::KeGetCurrentProcessorNumberEx);
    let number = machine.current.get() as u8;
    if !ProcNumber.is_null() {
        // SAFETY: the caller promises that `ProcNumber` is valid for a write.
        unsafe { ProcNumber.write(machine.processor_number(number.into())) };
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
    let count = machine.processors_of(GroupNumber) as ULONG;
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
    let count = machine.groups() as USHORT;
    machine.called(Ddi::KeQueryActiveGroupCount, |_| ([], Some(Value::Number(count.into()))));
    count
}

/// Writes the group and number of the processor with this index to `ProcNumber`. Returns
/// STATUS_SUCCESS, or STATUS_INVALID_PARAMETER if there is no such processor. Any IRQL
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
        unsafe { ProcNumber.write(machine.processor_number(ProcIndex as usize)) };
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
    let index = machine.processor_index(number).map_or(INVALID_PROCESSOR_INDEX, |index| index as ULONG);
    machine.called(Ddi::KeGetProcessorIndexFromNumber, |_| ([], Some(Value::Number(index.into()))));
    index
}
