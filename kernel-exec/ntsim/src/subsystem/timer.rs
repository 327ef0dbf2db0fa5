//! Sets and cancels timers.

use super::{
    dispatcher,
    objects::{self, TIMER_OBJECT, USED_BY_HAND, USED_BY_TIMER},
};
use crate::{
    engine::machine::Machine,
    kernel::{thread::ThreadName, timer::SetTimer},
    types::{KDPC, KTIMER, TIMER_TYPE},
    verifier::{
        Checked,
        bugcheck::timer_or_dpc::{self, Object},
        memory::Use,
    },
};

/// The period of a timer and its tolerable delay, in milliseconds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Repeat {
    pub(crate) period: u32,
    pub(crate) tolerance: u32,
}

/// Initialises a timer that is neither set nor signalled.
pub(crate) fn initialize(machine: &Machine, timer: *mut KTIMER, kind: TIMER_TYPE) -> Checked<()> {
    let address = objects::address(timer);
    machine.check_memory(address, Use::Timer)?;
    let set = machine.kernel.borrow().timers.find_in(address..address + 1);
    if set.is_some_and(|entry| entry.address == address) {
        return Err(timer_or_dpc::set_timer_initialized(address, machine.name(address)));
    }
    let waiter = machine.kernel.borrow().waits.waiters(address).first().copied();
    if let Some(waiter) = waiter {
        let (thread, name) = (ThreadName::of(waiter), machine.name(address));
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
fn unset(machine: &Machine, timer: *mut KTIMER, value: &KTIMER) -> Checked<bool> {
    if value.Inserted == 0 {
        let overwritten = machine.kernel.borrow().timers.is_set(objects::address(timer));
        return if overwritten {
            Err(objects::changed(machine, Object::Timer, timer as usize))
        } else {
            Ok(false)
        };
    }
    let entry = machine.kernel.borrow_mut().timers.remove(objects::key(value), timer as usize);
    if entry.is_none() {
        return Err(objects::changed(machine, Object::Timer, timer as usize));
    }
    objects::write_timer(timer, KTIMER { Inserted: 0, ..*value });
    Ok(true)
}

/// Marks a DPC as used with a timer.
fn claim_dpc(machine: &Machine, dpc: *mut KDPC) -> Checked<()> {
    let value = objects::load_dpc(machine, dpc)?;
    let address = objects::address(dpc);
    if value.ProcessorHistory == USED_BY_HAND {
        return Err(timer_or_dpc::queued_dpc_used_with_timer(address, machine.name(address)));
    }
    objects::write_dpc(dpc, KDPC { ProcessorHistory: USED_BY_TIMER, ..value });
    Ok(())
}

/// Sets a timer. Returns true if it was set before.
pub(crate) fn set(
    machine: &Machine,
    timer: *mut KTIMER,
    due: i64,
    how: Repeat,
    dpc: *mut KDPC,
) -> Checked<bool> {
    let value = objects::load_timer(machine, timer)?;
    let was_set = unset(machine, timer, &value)?;
    if !dpc.is_null() {
        claim_dpc(machine, dpc)?;
    }
    let (due_time, mut tick) = machine.due(due);
    let passed = tick <= machine.clock.now();
    if how.tolerance != 0 && !passed {
        tick = machine.tolerant_tick_of(due_time, how.tolerance);
    }
    let entry = SetTimer {
        address: objects::address(timer),
        thread: None,
        dpc: objects::address(dpc),
        processor: machine.current.get(),
        period: how.period,
        tolerance: how.tolerance,
        absolute: u64::try_from(due).ok(),
    };
    let key = machine.kernel.borrow_mut().timers.insert(tick, entry);
    let set = KTIMER {
        Inserted: 1,
        SignalState: 0,
        DueTime: due_time,
        TimerListEntry: [key.tick as usize, key.sequence as usize],
        Dpc: dpc,
        Processor: machine.current.get() as u16,
        Period: how.period,
        ..value
    };
    objects::write_timer(timer, set);
    if passed {
        machine.expire()?;
    }
    machine.regrant();
    Ok(was_set)
}

/// Cancels a timer. Returns false if it is not set.
pub(crate) fn cancel(machine: &Machine, timer: *mut KTIMER) -> Checked<bool> {
    let value = objects::load_timer(machine, timer)?;
    unset(machine, timer, &value)
}

/// Whether a timer has expired since it was set.
pub(crate) fn is_signalled(machine: &Machine, timer: *mut KTIMER) -> Checked<bool> {
    Ok(objects::load_timer(machine, timer)?.SignalState != 0)
}
