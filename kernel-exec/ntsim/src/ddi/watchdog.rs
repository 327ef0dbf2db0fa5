//! The time that a processor may stay at DISPATCH_LEVEL
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keshouldyieldprocessor`,
//! `nf-wdm-kequerydpcwatchdoginformation`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{
        DISPATCH_LEVEL, KDPC_WATCHDOG_INFORMATION, LOGICAL, NTSTATUS, PKDPC_WATCHDOG_INFORMATION,
        STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
    },
    verifier::{bugcheck::driver_verifier::irql::call_too_low, irql::Ddi},
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;

impl Machine {
    /// Returns how long the processor has been at DISPATCH_LEVEL, since the first DPC of the drain,
    /// or since its thread raised the IRQL.
    pub(crate) fn time_at_dispatch(&self) -> u64 {
        let cpu = self.cpu();
        let since = if cpu.draining.get() { &cpu.drain_start } else { &cpu.dispatch_start };
        self.clock.now().saturating_sub(since.get())
    }

    fn watchdog_information(&self) -> KDPC_WATCHDOG_INFORMATION {
        let (cpu, limit) = (self.cpu(), self.config.get().dpc_watchdog);
        let number = |units: u64| u32::try_from(units).unwrap_or(u32::MAX);
        let left = |since: u64| {
            let used = if cpu.draining.get() { self.clock.now().saturating_sub(since) } else { 0 };
            number(limit.saturating_sub(used))
        };
        KDPC_WATCHDOG_INFORMATION {
            DpcTimeLimit: number(limit),
            DpcTimeCount: left(cpu.dpc_start.get()),
            DpcWatchdogLimit: number(limit),
            DpcWatchdogCount: left(cpu.drain_start.get()),
            Reserved: 0,
        }
    }
}

/// Returns whether the caller, which is at DISPATCH_LEVEL or above, should yield the processor. The
/// answer is TRUE once the processor has been there for longer than
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
    let irql = machine.irql();
    if irql < DISPATCH {
        machine.bug_check(call_too_low(Ddi::KeShouldYieldProcessor.name(), irql));
    }
    let should = machine.time_at_dispatch() > machine.config.get().yield_after;
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
    let status = if machine.irql() < DISPATCH { STATUS_UNSUCCESSFUL } else { STATUS_SUCCESS };
    if status == STATUS_SUCCESS {
        // SAFETY: the caller promises that `WatchdogInformation` is valid for a write.
        unsafe { WatchdogInformation.write(machine.watchdog_information()) };
    }
    machine.called(Ddi::KeQueryDpcWatchdogInformation, |machine| {
        let argument = machine.pointer(WatchdogInformation as usize);
        ([argument], Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}
