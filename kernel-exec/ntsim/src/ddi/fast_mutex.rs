//! Fast mutexes.
//!
//! Documentation:
//! learn.microsoft.com/windows-hardware/drivers/kernel/fast-mutexes-and-guarded-mutexes and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-exinitializefastmutex`,
//! `nf-wdm-exacquirefastmutex`, `nf-wdm-extrytoacquirefastmutex`, `nf-wdm-exreleasefastmutex`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::{Entered, enter},
    subsystem::fast_mutex,
    trace::Value,
    types::{BOOLEAN, PFAST_MUTEX},
    verifier::irql::Ddi,
};

fn begin<'a>(ddi: Ddi, mutex: PFAST_MUTEX) -> Entered<'a> {
    let machine = enter(ddi);
    machine.called(ddi, |machine| ([machine.pointer(mutex as usize)], None));
    machine
}

/// Initialises a fast mutex as free.
///
/// In NT this is an inline function. IRQL ≤ DISPATCH_LEVEL. Bug check 0xD1 if the storage is
/// pageable; 0xC4/0x1005 if a thread holds the mutex (`nf-wdm-exinitializefastmutex`).
///
/// # Safety
/// `FastMutex` is valid for writes, and stays valid and where it is while it is used.
pub unsafe extern "C" fn ExInitializeFastMutex(FastMutex: PFAST_MUTEX) {
    let machine = &*begin(Ddi::ExInitializeFastMutex, FastMutex);
    machine.checked(fast_mutex::initialize(machine, FastMutex));
}

/// Raises IRQL to APC_LEVEL and acquires a fast mutex, waiting until it is free.
///
/// IRQL ≤ APC_LEVEL, otherwise bug check 0xC4/0x33. Bug check 0xC4/0x1000 if this thread holds the
/// mutex; 0x139 if it is not a fast mutex, or was moved (`nf-wdm-exacquirefastmutex`).
///
/// # Safety
/// `FastMutex` was initialised and is valid until it is released.
pub unsafe extern "C" fn ExAcquireFastMutex(FastMutex: PFAST_MUTEX) {
    let ddi = Ddi::ExAcquireFastMutex;
    let machine = &*begin(ddi, FastMutex);
    machine.checked(fast_mutex::acquire(machine, FastMutex, ddi));
}

/// Acquires a fast mutex if it is free, in which case it raises IRQL to APC_LEVEL and returns TRUE.
/// IRQL ≤ APC_LEVEL, otherwise bug check 0xC4/0x33 (`nf-wdm-extrytoacquirefastmutex`).
///
/// # Safety
/// The same as for [`ExAcquireFastMutex`].
pub unsafe extern "C" fn ExTryToAcquireFastMutex(FastMutex: PFAST_MUTEX) -> BOOLEAN {
    let ddi = Ddi::ExTryToAcquireFastMutex;
    let machine = &*enter(ddi);
    let acquired = machine.checked(fast_mutex::try_acquire(machine, FastMutex, ddi));
    machine.called(ddi, |machine| ([machine.pointer(FastMutex as usize)], Some(Value::Boolean(acquired))));
    if acquired {
        fast_mutex::raise(machine);
    }
    acquired.into()
}

/// Releases a fast mutex and restores the IRQL before its acquisition.
///
/// At APC_LEVEL, otherwise bug check 0xC4/0x34. Bug check 0xC4/0x1004 if another thread holds the
/// mutex; 0xC4/0x1007 if no thread does (`nf-wdm-exreleasefastmutex`).
///
/// # Safety
/// The same as for [`ExAcquireFastMutex`].
pub unsafe extern "C" fn ExReleaseFastMutex(FastMutex: PFAST_MUTEX) {
    let ddi = Ddi::ExReleaseFastMutex;
    let machine = &*begin(ddi, FastMutex);
    machine.checked(fast_mutex::release(machine, FastMutex, ddi));
}
