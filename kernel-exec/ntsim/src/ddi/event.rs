//! Events (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keinitializeevent`,
//! `nf-wdm-kesetevent`, `nf-wdm-keresetevent`, `nf-wdm-keclearevent`, `nf-wdm-kereadstateevent`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::{enter, enter_run},
    subsystem::{event, objects},
    trace::Value,
    types::{BOOLEAN, EVENT_TYPE, KPRIORITY, LONG, PRKEVENT},
    verifier::irql::Ddi,
};

/// Initialises an event.
///
/// A notification event, once set, satisfies every wait until it is reset. A synchronization event
/// satisfies one wait, which resets it. Any IRQL. Bug check 0xD1 if the storage is pageable; 0x139
/// if a thread waits for an event there. Another type ends the run as not supported
/// (`nf-wdm-keinitializeevent`).
///
/// # Safety
/// `Event` is valid for writes, and stays valid and where it is while it is used.
pub unsafe extern "C" fn KeInitializeEvent(Event: PRKEVENT, Type: EVENT_TYPE, State: BOOLEAN) {
    let machine = &*enter(Ddi::KeInitializeEvent);
    machine.called(Ddi::KeInitializeEvent, |machine| {
        let arguments =
            [machine.pointer(Event as usize), Value::Signed(Type.into()), Value::Boolean(State != 0)];
        (arguments, None)
    });
    machine.checked(event::initialize(machine, Event, Type, State != 0));
}

/// Signals an event and returns its state before, which is 0 if it was not signalled.
///
/// Each thread with a satisfied wait is ready when this returns. If several threads wait for a
/// synchronization event, the schedule chooses one. IRQL ≤ DISPATCH_LEVEL, otherwise bug check
/// 0xC4/0x80. Bug check 0x139 if `Event` is not an event.
///
/// With `Wait`, IRQL ≤ APC_LEVEL, otherwise bug check 0xC4/0x4E530002, and the call returns at
/// DISPATCH_LEVEL. The next call must be [`KeWaitForSingleObject`](super::KeWaitForSingleObject) or
/// [`KeWaitForMultipleObjects`](super::KeWaitForMultipleObjects), which restores IRQL; otherwise
/// bug check 0xC4/0x4E530004 (`nf-wdm-kesetevent`).
///
/// # Safety
/// `Event` was initialised and is valid.
pub unsafe extern "C" fn KeSetEvent(Event: PRKEVENT, Increment: KPRIORITY, Wait: BOOLEAN) -> LONG {
    let ddi = Ddi::KeSetEvent;
    let Some(machine) = enter_run(ddi) else { return 0 };
    let before = machine.checked(event::set(&machine, objects::address(Event), Wait));
    machine.called(ddi, |machine| {
        let arguments = [machine.pointer(Event as usize), Value::Signed(Increment.into())];
        (arguments, Some(Value::Signed(before.into())))
    });
    before
}

/// Resets an event and returns its state before. IRQL ≤ DISPATCH_LEVEL. Bug check 0x139 if `Event`
/// is not an event (`nf-wdm-keresetevent`).
///
/// # Safety
/// The same as for [`KeSetEvent`].
pub unsafe extern "C" fn KeResetEvent(Event: PRKEVENT) -> LONG {
    let machine = &*enter(Ddi::KeResetEvent);
    let before = machine.checked(event::reset(machine, objects::address(Event)));
    machine.called(Ddi::KeResetEvent, |machine| {
        ([machine.pointer(Event as usize)], Some(Value::Signed(before.into())))
    });
    before
}

/// Resets an event. IRQL ≤ DISPATCH_LEVEL. Bug check 0x139 if `Event` is not an event
/// (`nf-wdm-keclearevent`).
///
/// # Safety
/// The same as for [`KeSetEvent`].
pub unsafe extern "C" fn KeClearEvent(Event: PRKEVENT) {
    let machine = &*enter(Ddi::KeClearEvent);
    machine.checked(event::reset(machine, objects::address(Event)));
    machine.called(Ddi::KeClearEvent, |machine| ([machine.pointer(Event as usize)], None));
}

/// Returns an event's state, which is 0 if it is not signalled. Any IRQL, also in an interrupt
/// service routine. Bug check 0x139 if `Event` is not an event (`nf-wdm-kereadstateevent`).
///
/// # Safety
/// The same as for [`KeSetEvent`].
pub unsafe extern "C" fn KeReadStateEvent(Event: PRKEVENT) -> LONG {
    let machine = &*enter(Ddi::KeReadStateEvent);
    let state = machine.checked(event::state(machine, objects::address(Event)));
    machine.called(Ddi::KeReadStateEvent, |machine| {
        ([machine.pointer(Event as usize)], Some(Value::Signed(state.into())))
    });
    state
}
