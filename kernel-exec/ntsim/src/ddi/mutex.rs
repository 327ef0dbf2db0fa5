//! Mutexes (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keinitializemutex`,
//! `nf-wdm-kereleasemutex`, `nf-wdm-kereadstatemutex`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::{mutex, objects},
    trace::Value,
    types::{BOOLEAN, LONG, PRKMUTEX, ULONG},
    verifier::irql::Ddi,
};

/// Initialises a mutex as free. Any IRQL.
///
/// A thread with a satisfied wait holds it, may acquire it again, and must release it as often,
/// before the thread ends (bug check 0x4000008A). `Level` is ignored, as in NT. Bug check 0xD1 if
/// the storage is pageable; 0x139 if a thread waits for a mutex there; 0xC4/0x1005 if a thread
/// holds it (`nf-wdm-keinitializemutex`).
///
/// # Safety
/// `Mutex` is valid for writes, and stays valid and where it is while it is used.
pub unsafe extern "C" fn KeInitializeMutex(Mutex: PRKMUTEX, Level: ULONG) {
    let machine = &*enter(Ddi::KeInitializeMutex);
    machine.called(Ddi::KeInitializeMutex, |machine| {
        ([machine.pointer(Mutex as usize), Value::Number(Level.into())], None)
    });
    machine.checked(mutex::initialize(machine, Mutex));
}

/// Releases a mutex that the current thread holds. Returns 0 if it is free now.
///
/// IRQL ≤ DISPATCH_LEVEL, and at DISPATCH_LEVEL if and only if it was acquired there. If this
/// thread does not hold the mutex, the exception STATUS_MUTANT_NOT_OWNED is raised, which is bug
/// check 0x1E. Bug check 0x139 if `Mutex` is not a mutex. `Wait` as for
/// [`KeSetEvent`](super::KeSetEvent) (`nf-wdm-kereleasemutex`).
///
/// # Safety
/// `Mutex` was initialised and is valid.
pub unsafe extern "C" fn KeReleaseMutex(Mutex: PRKMUTEX, Wait: BOOLEAN) -> LONG {
    let ddi = Ddi::KeReleaseMutex;
    let machine = &*enter(ddi);
    let before = machine.checked(mutex::release(machine, objects::address(Mutex), Wait));
    machine.called(ddi, |machine| ([machine.pointer(Mutex as usize)], Some(Value::Signed(before.into()))));
    before
}

/// Returns a mutex's state, which is 1 if it is free. IRQL ≤ DISPATCH_LEVEL. Bug check 0x139 if
/// `Mutex` is not a mutex (`nf-wdm-kereadstatemutex`).
///
/// # Safety
/// The same as for [`KeReleaseMutex`].
pub unsafe extern "C" fn KeReadStateMutex(Mutex: PRKMUTEX) -> LONG {
    let machine = &*enter(Ddi::KeReadStateMutex);
    let state = machine.checked(mutex::state(machine, objects::address(Mutex)));
    machine.called(Ddi::KeReadStateMutex, |machine| {
        ([machine.pointer(Mutex as usize)], Some(Value::Signed(state.into())))
    });
    state
}
