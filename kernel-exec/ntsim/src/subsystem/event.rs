//! Initialises, sets and resets events.

extern crate alloc;

use super::{
    dispatcher::{self, Waitable},
    join, objects,
};
use crate::{
    engine::machine::Machine,
    types::{_EVENT_TYPE, BOOLEAN, DISPATCH_LEVEL, EVENT_TYPE, KEVENT, LONG, PRKEVENT},
    verifier::{Checked, bugcheck::driver_verifier::irql::event_set_too_high, irql::Ddi},
};

const KIND: &str = "event";

/// Sets or resets an event and returns its state before.
fn change(machine: &Machine, address: usize, signalled: bool) -> Checked<LONG> {
    dispatcher::expect(machine, address, KIND)?;
    let before = dispatcher::state(address);
    dispatcher::set_state(address, signalled.into());
    if signalled && before == 0 {
        dispatcher::signal(machine, address)?;
    }
    Ok(before)
}

/// Returns the state of an event.
pub(crate) fn state(machine: &Machine, address: usize) -> Checked<LONG> {
    dispatcher::expect(machine, address, KIND)?;
    Ok(dispatcher::state(address))
}

/// Initialises an event of this type. Another type ends the run.
pub(crate) fn initialize(
    machine: &Machine,
    event: PRKEVENT,
    kind: EVENT_TYPE,
    signalled: bool,
) -> Checked<()> {
    let synchronization = match kind {
        _EVENT_TYPE::NotificationEvent => false,
        _EVENT_TYPE::SynchronizationEvent => true,
        other => machine.fail(
            "not supported",
            alloc::format!("KeInitializeEvent with {other}, which is not an EVENT_TYPE"),
        ),
    };
    let (address, kind) = (objects::address(event), Waitable::Event { synchronization });
    let header = dispatcher::fresh_header(machine, address, kind, signalled.into())?;
    // SAFETY: `fresh_header` checked pool memory; for other memory the caller promises that `event`
    // is valid for writes.
    unsafe { event.write_unaligned(KEVENT { Header: header }) };
    Ok(())
}

/// Sets an event and returns its state before. With `wait`, the caller waits next.
pub(crate) fn set(machine: &Machine, address: usize, wait: BOOLEAN) -> Checked<LONG> {
    let irql = machine.irql();
    if u32::from(irql) > DISPATCH_LEVEL {
        return Err(event_set_too_high(irql, address));
    }
    join::check_wait_argument(machine, Ddi::KeSetEvent, wait)?;
    let before = change(machine, address, true)?;
    join::begin(machine, wait);
    Ok(before)
}

/// Resets an event and returns its state before.
pub(crate) fn reset(machine: &Machine, address: usize) -> Checked<LONG> {
    change(machine, address, false)
}
