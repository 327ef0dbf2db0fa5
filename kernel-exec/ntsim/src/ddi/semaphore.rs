//! Semaphores (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-keinitializesemaphore`, `nf-wdm-kereleasesemaphore`, `nf-wdm-kereadstatesemaphore`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::{
    dispatcher::{self, Waitable},
    objects,
};
use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{BOOLEAN, KPRIORITY, KSEMAPHORE, LONG, PRKSEMAPHORE, STATUS_SEMAPHORE_LIMIT_EXCEEDED},
    verifier::{Checked, bugcheck::exception::raised_by_call, irql::Ddi},
};

const KIND: &str = "semaphore";

const PASSIVE: u8 = 0;

impl Machine {
    /// Adds to a semaphore's count and returns the count before.
    fn release_semaphore(&self, semaphore: PRKSEMAPHORE, adjustment: LONG) -> Checked<LONG> {
        let address = objects::address(semaphore);
        self.expect_waitable(address, KIND)?;
        // SAFETY: the object is a semaphore, which the caller promises to be valid; no reference is
        // made.
        let limit = unsafe { &raw const (*semaphore).Limit };
        // SAFETY: the field is part of the semaphore, which the caller promises to be valid.
        let limit = unsafe { limit.read_unaligned() };
        let before = dispatcher::state(address);
        match before.checked_add(adjustment) {
            Some(count) if count <= limit && adjustment > 0 => dispatcher::set_state(address, count),
            _ => {
                let what = alloc::format!(
                    "semaphore {} has a count of {before} and a limit of {limit}: {adjustment} cannot be added",
                    self.name(address)
                );
                return Err(raised_by_call(STATUS_SEMAPHORE_LIMIT_EXCEEDED, &what));
            }
        }
        self.signal(address)?;
        Ok(before)
    }
}

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
    machine.checked(machine.check_documented_irql(Ddi::KeInitializeSemaphore, PASSIVE));
    if Limit <= 0 || !(0..=Limit).contains(&Count) {
        let message = alloc::format!(
            "KeInitializeSemaphore with count {Count} and limit {Limit}: 0 ≤ count ≤ limit and 0 < limit are expected"
        );
        machine.fail("not supported", message);
    }
    let address = objects::address(Semaphore);
    let header = machine.checked(machine.fresh_header(address, Waitable::Semaphore, Count));
    // SAFETY: `fresh_header` checked pool memory; for other memory the caller promises that
    // `Semaphore` is valid for writes.
    unsafe { Semaphore.write_unaligned(KSEMAPHORE { Header: header, Limit }) }
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
    machine.checked(machine.check_wait_argument(ddi, Wait));
    let before = machine.checked(machine.release_semaphore(Semaphore, Adjustment));
    machine.join(Wait);
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
    let address = objects::address(Semaphore);
    machine.checked(machine.expect_waitable(address, KIND));
    let state = dispatcher::state(address);
    machine.called(Ddi::KeReadStateSemaphore, |machine| {
        ([machine.pointer(Semaphore as usize)], Some(Value::Signed(state.into())))
    });
    state
}
