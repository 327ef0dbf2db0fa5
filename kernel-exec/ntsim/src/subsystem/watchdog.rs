//! Measures the time that a processor stays at DISPATCH_LEVEL.

use crate::{
    engine::machine::Machine,
    types::{DISPATCH_LEVEL, KDPC_WATCHDOG_INFORMATION},
    verifier::{Checked, bugcheck::driver_verifier::irql::call_too_low, irql::Ddi},
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;

/// Returns how long the processor has been at DISPATCH_LEVEL, since the first DPC of the drain,
/// or since its thread raised the IRQL.
pub(crate) fn time_at_dispatch(machine: &Machine) -> u64 {
    let cpu = machine.cpu();
    let since = if cpu.draining.get() { &cpu.drain_start } else { &cpu.dispatch_start };
    machine.clock.now().saturating_sub(since.get())
}

/// Returns the limits of the processor's DPC watchdog and the time that remains, at DISPATCH_LEVEL
/// and above.
pub(crate) fn information(machine: &Machine) -> Option<KDPC_WATCHDOG_INFORMATION> {
    if machine.irql() < DISPATCH {
        return None;
    }
    let (cpu, limit) = (machine.cpu(), machine.config.get().dpc_watchdog);
    let number = |units: u64| u32::try_from(units).unwrap_or(u32::MAX);
    let left = |since: u64| {
        let used = if cpu.draining.get() { machine.clock.now().saturating_sub(since) } else { 0 };
        number(limit.saturating_sub(used))
    };
    Some(KDPC_WATCHDOG_INFORMATION {
        DpcTimeLimit: number(limit),
        DpcTimeCount: left(cpu.dpc_start.get()),
        DpcWatchdogLimit: number(limit),
        DpcWatchdogCount: left(cpu.drain_start.get()),
        Reserved: 0,
    })
}

/// Whether the processor has been at DISPATCH_LEVEL for longer than drivers should be.
pub(crate) fn should_yield(machine: &Machine) -> Checked<bool> {
    let irql = machine.irql();
    if irql < DISPATCH {
        return Err(call_too_low(Ddi::KeShouldYieldProcessor.name(), irql));
    }
    Ok(time_at_dispatch(machine) > machine.config.get().yield_after)
}
