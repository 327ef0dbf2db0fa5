//! Timers.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-keinitializetimerex`, `nf-wdm-kesettimerex`, `nf-wdm-kecanceltimer`,
//! `nf-wdm-kereadstatetimer`;
//! learn.microsoft.com/windows-hardware/drivers/kernel/using-a-customtimerdpc-routine.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use crate::{
    engine::{entry::enter, machine::Machine},
    subsystem::timer::{self, Repeat},
    trace::Value,
    types::{BOOLEAN, LARGE_INTEGER, LONG, PKDPC, PKTIMER, TIMER_TYPE, ULONG},
    verifier::irql::Ddi,
};

/// The highest LONG.
const MAXLONG: ULONG = LONG::MAX.cast_unsigned();

/// Initialises a notification timer that is neither set nor signalled. IRQL ≤ DISPATCH_LEVEL. Bug
/// check 0xC7 if a set timer is there; 0xD1 in paged pool (`nf-wdm-keinitializetimer`).
///
/// # Safety
/// `Timer` is valid for writes, and stays valid while it is set.
pub unsafe extern "C" fn KeInitializeTimer(Timer: PKTIMER) {
    let machine = &*enter(Ddi::KeInitializeTimer);
    machine.called(Ddi::KeInitializeTimer, |machine| ([machine.pointer(Timer as usize)], None));
    machine.checked(timer::initialize(machine, Timer, 0));
}

/// Initialises a timer of the given type, otherwise like [`KeInitializeTimer`]
/// (`nf-wdm-keinitializetimerex`).
///
/// # Safety
/// The same as for [`KeInitializeTimer`].
pub unsafe extern "C" fn KeInitializeTimerEx(Timer: PKTIMER, Type: TIMER_TYPE) {
    let machine = &*enter(Ddi::KeInitializeTimerEx);
    machine.called(Ddi::KeInitializeTimerEx, |machine| {
        ([machine.pointer(Timer as usize), Value::Signed(Type.into())], None)
    });
    machine.checked(timer::initialize(machine, Timer, Type));
}

fn set(machine: &Machine, ddi: Ddi, timer: PKTIMER, due: LARGE_INTEGER, how: Repeat, dpc: PKDPC) -> BOOLEAN {
    // SAFETY: the union has only this field, and any bits are a value.
    let due = unsafe { due.QuadPart };
    let was_set = machine.checked(timer::set(machine, timer, due, how, dpc));
    machine.called(ddi, |machine| {
        let arguments = [machine.pointer(timer as usize), Value::Signed(due), machine.pointer(dpc as usize)];
        (arguments, Some(Value::Boolean(was_set)))
    });
    // Takes the interrupt of a DPC that is due at once.
    machine.take_interrupts();
    was_set.into()
}

/// Sets a timer, and the DPC that is queued when it expires unless `Dpc` is null. IRQL ≤
/// DISPATCH_LEVEL.
///
/// Returns TRUE if the timer was set before, in which case that setting and its period are
/// cancelled. A DPC that an earlier expiry has queued stays queued.
///
/// `DueTime` is in 100-ns units. A negative time is relative to the last clock tick. Other times
/// are absolute, by the system clock
/// ([`KeQuerySystemTimePrecise`](super::KeQuerySystemTimePrecise)), and follow that clock when it
/// is set. Timers expire at clock ticks (15.625 ms), the next at the earliest. A timer with
/// an absolute time that has passed expires in the call.
///
/// The DPC runs on its target, or on the processor that set the timer. The schedule chooses whether
/// it is in a queue between the expiry and its call.
///
/// Bug check 0xC7 if the timer is not initialised or freed, or if the DPC has been queued by hand
/// (`nf-wdm-kesettimer`).
///
/// # Safety
/// `Timer` and `Dpc` were initialised and stay valid: the timer until it has expired or was
/// cancelled, the DPC until its routine has begun or the timer was cancelled.
pub unsafe extern "C" fn KeSetTimer(Timer: PKTIMER, DueTime: LARGE_INTEGER, Dpc: PKDPC) -> BOOLEAN {
    set(&enter(Ddi::KeSetTimer), Ddi::KeSetTimer, Timer, DueTime, Repeat::default(), Dpc)
}

/// Sets a timer like [`KeSetTimer`], with a `Period` in milliseconds.
///
/// A timer with a period is set again whenever it expires, for a period from when it was due. Its
/// DPC may run on two processors at once, and does not run twice if it is still queued. A period
/// below zero ends the run as not supported (`nf-wdm-kesettimerex`).
///
/// # Safety
/// The same as for [`KeSetTimer`]; a periodic timer and its DPC stay valid until the timer was
/// cancelled and the DPC has run for the last time. KeFlushQueuedDpcs waits for that.
pub unsafe extern "C" fn KeSetTimerEx(
    Timer: PKTIMER,
    DueTime: LARGE_INTEGER,
    Period: LONG,
    Dpc: PKDPC,
) -> BOOLEAN {
    let machine = &*enter(Ddi::KeSetTimerEx);
    let Ok(period) = u32::try_from(Period) else {
        machine.fail("not supported", alloc::format!("KeSetTimerEx with a period of {Period} ms"))
    };
    set(machine, Ddi::KeSetTimerEx, Timer, DueTime, Repeat { period, tolerance: 0 }, Dpc)
}

/// Sets a timer like [`KeSetTimerEx`].
///
/// Each expiry may be up to `TolerableDelay` milliseconds late, which is a schedule choice. A
/// period or delay above MAXLONG ends the run as not supported (`nf-wdm-kesetcoalescabletimer`).
///
/// # Safety
/// The same as for [`KeSetTimerEx`].
pub unsafe extern "C" fn KeSetCoalescableTimer(
    Timer: PKTIMER,
    DueTime: LARGE_INTEGER,
    Period: ULONG,
    TolerableDelay: ULONG,
    Dpc: PKDPC,
) -> BOOLEAN {
    let ddi = Ddi::KeSetCoalescableTimer;
    let machine = &*enter(ddi);
    if Period > MAXLONG || TolerableDelay > MAXLONG {
        let message =
            alloc::format!("KeSetCoalescableTimer with period {Period} and delay {TolerableDelay} ms");
        machine.fail("not supported", message);
    }
    set(machine, ddi, Timer, DueTime, Repeat { period: Period, tolerance: TolerableDelay }, Dpc)
}

/// Cancels a timer. IRQL ≤ DISPATCH_LEVEL (`nf-wdm-kecanceltimer`).
///
/// Returns TRUE if it was set. A periodic timer is set until it is cancelled. Returns FALSE if it
/// was not set or has expired, in which case its DPC still runs.
///
/// # Safety
/// `Timer` was initialised and is valid.
pub unsafe extern "C" fn KeCancelTimer(Timer: PKTIMER) -> BOOLEAN {
    let machine = &*enter(Ddi::KeCancelTimer);
    let was_set = machine.checked(timer::cancel(machine, Timer));
    machine.called(Ddi::KeCancelTimer, |machine| {
        ([machine.pointer(Timer as usize)], Some(Value::Boolean(was_set)))
    });
    was_set.into()
}

/// Returns whether a timer has expired since it was set. IRQL ≤ DISPATCH_LEVEL
/// (`nf-wdm-kereadstatetimer`).
///
/// # Safety
/// `Timer` was initialised and is valid.
pub unsafe extern "C" fn KeReadStateTimer(Timer: PKTIMER) -> BOOLEAN {
    let machine = &*enter(Ddi::KeReadStateTimer);
    let signalled = machine.checked(timer::is_signalled(machine, Timer));
    machine.called(Ddi::KeReadStateTimer, |machine| {
        ([machine.pointer(Timer as usize)], Some(Value::Boolean(signalled)))
    });
    signalled.into()
}
