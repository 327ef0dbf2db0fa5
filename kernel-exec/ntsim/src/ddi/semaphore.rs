//! Semaphores (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-keinitializesemaphore`, `nf-wdm-kereleasesemaphore`, `nf-wdm-kereadstatesemaphore`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::{objects, semaphore},
    trace::Value,
    types::{BOOLEAN, KPRIORITY, LONG, PRKSEMAPHORE},
    verifier::irql::Ddi,
};

/// Initialises a semaphore. It is signalled while its count is above zero, and each wait that it
/// satisfies takes one. PASSIVE_LEVEL, otherwise bug check 0xC4/0x4E530002.
///
/// Bug check 0xD1 if the storage is pageable; 0x139 if a thread waits for a semaphore there. An
/// invalid count or limit ends the run as not supported (`nf-wdm-keinitializesemaphore`).
///
/// # Safety
/// `Semaphore` is valid for writes, and stays valid and where it is while it is used.
pub unsafe extern "C" fn KeInitializeSemaphore(Semaphore: PRKSEMAPHORE, Count: LONG, Limit: LONG) {
    let machine = &*enter(Ddi::KeInitializeSemaphore);
    machine.called(Ddi::KeInitializeSemaphore, |machine| {
        let arguments =
            [machine.pointer(Semaphore as usize), Value::Signed(Count.into()), Value::Signed(Limit.into())];
        (arguments, None)
    });
    machine.checked(semaphore::initialize(machine, Semaphore, Count, Limit));
}

/// Adds `Adjustment` to a semaphore's count and returns the count before. As many waiting threads
/// as it satisfies are then ready.
///
/// IRQL ≤ DISPATCH_LEVEL. A count beyond the limit, or an `Adjustment` of zero or less, raises the
/// exception STATUS_SEMAPHORE_LIMIT_EXCEEDED, which is bug check 0x1E. Bug check 0x139 if
/// `Semaphore` is not a semaphore. `Wait` as for [`KeSetEvent`](super::KeSetEvent)
/// (`nf-wdm-kereleasesemaphore`).
///
/// # Safety
/// `Semaphore` was initialised and is valid.
pub unsafe extern "C" fn KeReleaseSemaphore(
    Semaphore: PRKSEMAPHORE,
    Increment: KPRIORITY,
    Adjustment: LONG,
    Wait: BOOLEAN,
) -> LONG {
    let ddi = Ddi::KeReleaseSemaphore;
    let machine = &*enter(ddi);
    let before = machine.checked(semaphore::release(machine, Semaphore, Adjustment, Wait));
    machine.called(ddi, |machine| {
        let arguments = [
            machine.pointer(Semaphore as usize),
            Value::Signed(Increment.into()),
            Value::Signed(Adjustment.into()),
        ];
        (arguments, Some(Value::Signed(before.into())))
    });
    before
}

/// Returns a semaphore's count. Any IRQL. Bug check 0x139 if `Semaphore` is not a semaphore
/// (`nf-wdm-kereadstatesemaphore`).
///
/// # Safety
/// The same as for [`KeReleaseSemaphore`].
pub unsafe extern "C" fn KeReadStateSemaphore(Semaphore: PRKSEMAPHORE) -> LONG {
    let machine = &*enter(Ddi::KeReadStateSemaphore);
    let state = machine.checked(semaphore::state(machine, objects::address(Semaphore)));
    machine.called(Ddi::KeReadStateSemaphore, |machine| {
        ([machine.pointer(Semaphore as usize)], Some(Value::Signed(state.into())))
    });
    state
}
