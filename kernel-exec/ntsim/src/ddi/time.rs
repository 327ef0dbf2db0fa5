//! Clocks.
//!
//! Documentation:
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kequeryinterrupttimeprecise,
//! `nf-wdm-kequerysystemtimeprecise`,
//! learn.microsoft.com/windows-hardware/drivers/ddi/ntifs/nf-ntifs-kequeryperformancecounter.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::anywhere,
    trace::Value,
    types::{LARGE_INTEGER, PLARGE_INTEGER, PULONG64, ULONG64},
    verifier::irql::Ddi,
};

/// The frequency of the performance counter in ticks a second. It counts in the virtual clock's
/// units.
const FREQUENCY: i64 = 10_000_000;

/// Returns the virtual time since the simulation began, in 100-ns units.
///
/// Writes the same number to `QpcTimeStamp`, which has the same unit here, unless it is null. Any
/// IRQL (`nf-wdm-kequeryinterrupttimeprecise`).
///
/// # Safety
/// `QpcTimeStamp` is null, which is laxer than NT, or valid for a write.
pub unsafe extern "C" fn KeQueryInterruptTimePrecise(QpcTimeStamp: PULONG64) -> ULONG64 {
    let machine = &*enter(Ddi::KeQueryInterruptTimePrecise);
    let now = machine.clock.now();
    if !QpcTimeStamp.is_null() {
        // SAFETY: the caller promises that `QpcTimeStamp` is valid for a write.
        unsafe { QpcTimeStamp.write(now) };
    }
    machine.called(Ddi::KeQueryInterruptTimePrecise, |machine| {
        ([machine.pointer(QpcTimeStamp as usize)], Some(Value::Number(now)))
    });
    now
}

/// Writes the system time to `CurrentTime`, in 100-ns units.
///
/// The system clock starts at 0 with the simulation and follows the virtual clock, unless it is set
/// by [`set_system_time`](crate::set_system_time). Any IRQL (`nf-wdm-kequerysystemtimeprecise`).
///
/// # Safety
/// `CurrentTime` is valid for a write.
pub unsafe extern "C" fn KeQuerySystemTimePrecise(CurrentTime: PLARGE_INTEGER) {
    let machine = &*enter(Ddi::KeQuerySystemTimePrecise);
    let time = machine.clock.system_time();
    // SAFETY: the caller promises that `CurrentTime` is valid for a write; otherwise this write
    // faults.
    unsafe { anywhere::write(CurrentTime, LARGE_INTEGER { QuadPart: time.cast_signed() }) };
    machine.called(Ddi::KeQuerySystemTimePrecise, |_| ([], Some(Value::Number(time))));
}

/// Returns the performance counter, which is the virtual clock. Writes its frequency (10,000,000)
/// to `PerformanceFrequency` unless that is null. Any IRQL (`nf-ntifs-kequeryperformancecounter`).
///
/// # Safety
/// `PerformanceFrequency` is null or valid for a write.
pub unsafe extern "C" fn KeQueryPerformanceCounter(PerformanceFrequency: PLARGE_INTEGER) -> LARGE_INTEGER {
    let machine = &*enter(Ddi::KeQueryPerformanceCounter);
    let now = machine.clock.now();
    if !PerformanceFrequency.is_null() {
        // SAFETY: the caller promises that `PerformanceFrequency` is valid for a write.
        unsafe { PerformanceFrequency.write(LARGE_INTEGER { QuadPart: FREQUENCY }) };
    }
    machine.called(Ddi::KeQueryPerformanceCounter, |machine| {
        ([machine.pointer(PerformanceFrequency as usize)], Some(Value::Number(now)))
    });
    LARGE_INTEGER { QuadPart: now.cast_signed() }
}
