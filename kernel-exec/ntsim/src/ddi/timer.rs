//! Timers (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keinitializetimerex`,
//! `nf-wdm-kesettimerex`, `nf-wdm-kecanceltimer`, `nf-wdm-kereadstatetimer`;
//! learn.microsoft.com/windows-hardware/drivers/kernel/using-a-customtimerdpc-routine).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::{
    dispatcher,
    objects::{self, TIMER_OBJECT, USED_BY_HAND, USED_BY_TIMER},
};
use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::{thread::ThreadName, timer::Entry},
    trace::Value,
    types::{BOOLEAN, KDPC, KTIMER, LARGE_INTEGER, LONG, PKDPC, PKTIMER, TIMER_TYPE, ULONG},
    verifier::{
        Checked,
        bugcheck::timer_or_dpc::{self, Object},
        irql::Ddi,
        memory::Use,
    },
};

/// The highest LONG.
const MAXLONG: ULONG = LONG::MAX.cast_unsigned();

/// The period of a timer and its tolerable delay, in milliseconds.
#[derive(Debug, Default, Clone, Copy)]
struct Repeat {
    period: u32,
    tolerance: u32,
}

impl Machine {
    fn initialize_timer(&self, timer: *mut KTIMER, kind: TIMER_TYPE) -> Checked<()> {
        let address = objects::address(timer);
        self.check_memory(address, Use::Timer)?;
        let set = self.kernel.borrow().timers.find_in(address..address + 1);
        if set.is_some_and(|entry| entry.address == address) {
            return Err(timer_or_dpc::set_timer_initialized(address, self.name(address)));
        }
        let waiter = self.kernel.borrow().waits.waiters(address).first().copied();
        if let Some(waiter) = waiter {
            let (thread, name) = (ThreadName::of(waiter), self.name(address));
            return Err(timer_or_dpc::awaited_timer_initialized(address, thread, name));
        }
        let kind = u8::from(kind != 0);
        let list = dispatcher::empty_list(address);
        let fresh = KTIMER {
            Type: TIMER_OBJECT + kind,
            WaitListHead: [list.Flink.cast(), list.Blink.cast()],
            ..KTIMER::default()
        };
        objects::write_timer(timer, fresh);
        Ok(())
    }

    /// Removes a timer from the timer queue. Returns false if it is not in it.
    fn unset(&self, timer: *mut KTIMER, value: &KTIMER) -> Checked<bool> {
        if value.Inserted == 0 {
            let overwritten = self.kernel.borrow().timers.is_set(objects::address(timer));
            return if overwritten {
                Err(objects::changed(self, Object::Timer, timer as usize))
            } else {
                Ok(false)
            };
        }
        let entry = self.kernel.borrow_mut().timers.remove(objects::key(value), timer as usize);
        if entry.is_none() {
            return Err(objects::changed(self, Object::Timer, timer as usize));
        }
        objects::write_timer(timer, KTIMER { Inserted: 0, ..*value });
        Ok(true)
    }

    /// Marks a DPC as used with a timer.
    fn claim_dpc(&self, dpc: *mut KDPC) -> Checked<()> {
        let value = objects::load_dpc(self, dpc)?;
        let address = objects::address(dpc);
        if value.ProcessorHistory == USED_BY_HAND {
            return Err(timer_or_dpc::queued_dpc_used_with_timer(address, self.name(address)));
        }
        objects::write_dpc(dpc, KDPC { ProcessorHistory: USED_BY_TIMER, ..value });
        Ok(())
    }

    /// Sets a timer. Returns true if it was set before.
    fn set_timer(&self, timer: *mut KTIMER, due: i64, how: Repeat, dpc: *mut KDPC) -> Checked<bool> {
        let value = objects::load_timer(self, timer)?;
        let was_set = self.unset(timer, &value)?;
        if !dpc.is_null() {
            self.claim_dpc(dpc)?;
        }
        let (due_time, mut tick) = self.due(due);
        let passed = tick <= self.clock.now();
        if how.tolerance != 0 && !passed {
            tick = self.tolerant_tick_of(due_time, how.tolerance);
        }
        let entry = Entry {
            address: objects::address(timer),
            thread: None,
            dpc: objects::address(dpc),
            processor: self.current.get(),
            period: how.period,
            tolerance: how.tolerance,
            absolute: u64::try_from(due).ok(),
        };
        let key = self.kernel.borrow_mut().timers.insert(tick, entry);
        let set = KTIMER {
            Inserted: 1,
            SignalState: 0,
            DueTime: due_time,
            TimerListEntry: [key.tick as usize, key.sequence as usize],
            Dpc: dpc,
            Processor: self.current.get() as u16,
            Period: how.period,
            ..value
        };
        objects::write_timer(timer, set);
        if passed {
            self.expire()?;
        }
        self.regrant();
        Ok(was_set)
    }
}

/// Initialises a notification timer that is neither set nor signalled. IRQL ≤ DISPATCH_LEVEL. Bug
/// check 0xC7 if a set timer is there; 0xD1 in paged pool (`nf-wdm-keinitializetimer`).
///
/// # Safety
/// `Timer` is valid for writes, and stays valid while it is set.
pub unsafe extern "C" fn KeInitializeTimer(Timer: PKTIMER) {
    let machine = &*enter(Ddi::KeInitializeTimer);
    machine.called(Ddi::KeInitializeTimer, |machine| ([machine.pointer(Timer as usize)], None));
    machine.checked(machine.initialize_timer(Timer, 0));
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
    machine.checked(machine.initialize_timer(Timer, Type));
}

fn set(machine: &Machine, ddi: Ddi, timer: PKTIMER, due: LARGE_INTEGER, how: Repeat, dpc: PKDPC) -> BOOLEAN {
    // SAFETY: the union has only this field, and any bits are a value.
    let due = unsafe { due.QuadPart };
    let was_set = machine.checked(machine.set_timer(timer, due, how, dpc));
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

/// Sets a timer like [`KeSetTimerEx`]. Each expiry may be up to `TolerableDelay` milliseconds late,
/// which is a schedule choice. A period or delay above MAXLONG ends the run as not supported
/// (`nf-wdm-kesetcoalescabletimer`).
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
    let value = machine.checked(objects::load_timer(machine, Timer));
    let was_set = machine.checked(machine.unset(Timer, &value));
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
    let value = machine.checked(objects::load_timer(machine, Timer));
    let signalled = value.SignalState != 0;
    machine.called(Ddi::KeReadStateTimer, |machine| {
        ([machine.pointer(Timer as usize)], Some(Value::Boolean(signalled)))
    });
    signalled.into()
}
