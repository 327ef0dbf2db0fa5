//! The time that a processor may stay at DISPATCH_LEVEL
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keshouldyieldprocessor`,
//! `nf-wdm-kequerydpcwatchdoginformation`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::watchdog,
    trace::Value,
    types::{LOGICAL, NTSTATUS, PKDPC_WATCHDOG_INFORMATION, STATUS_SUCCESS, STATUS_UNSUCCESSFUL},
    verifier::irql::Ddi,
};

/// Returns whether the caller, which is at DISPATCH_LEVEL or above, should yield the processor.
///
/// The answer is TRUE once the processor has been there for longer than
/// [`Config::yield_after`](crate::Config::yield_after).
///
/// The time counts from the first DPC of the current drain, or, in a thread, from where it raised
/// the IRQL. NT leaves open when the answer becomes TRUE. Bug check 0xC4/0xE5 below DISPATCH_LEVEL
/// (`nf-wdm-keshouldyieldprocessor`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeShouldYieldProcessor() -> LOGICAL {
    let machine = &*enter(Ddi::KeShouldYieldProcessor);
    let should = machine.checked(watchdog::should_yield(machine));
    machine.called(Ddi::KeShouldYieldProcessor, |_| ([], Some(Value::Boolean(should))));
    should.into()
}

/// Writes the limits of this processor's DPC watchdog, and the time that remains, in units of 100
/// ns. Any IRQL (`nf-wdm-kequerydpcwatchdoginformation`).
///
/// Returns STATUS_SUCCESS, or STATUS_UNSUCCESSFUL below DISPATCH_LEVEL, where no DPC runs. Both
/// limits are [`Config::dpc_watchdog`](crate::Config::dpc_watchdog), or 0 if that is off. In a
/// thread at DISPATCH_LEVEL none of the limits is used up.
///
/// # Safety
/// `WatchdogInformation` is valid for a write.
pub unsafe extern "C" fn KeQueryDpcWatchdogInformation(
    WatchdogInformation: PKDPC_WATCHDOG_INFORMATION,
) -> NTSTATUS {
    let machine = &*enter(Ddi::KeQueryDpcWatchdogInformation);
    let information = watchdog::information(machine);
    let status = if information.is_some() { STATUS_SUCCESS } else { STATUS_UNSUCCESSFUL };
    if let Some(information) = information {
        // SAFETY: the caller promises that `WatchdogInformation` is valid for a write.
        unsafe { WatchdogInformation.write(information) };
    }
    machine.called(Ddi::KeQueryDpcWatchdogInformation, |machine| {
        let argument = machine.pointer(WatchdogInformation as usize);
        ([argument], Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}
