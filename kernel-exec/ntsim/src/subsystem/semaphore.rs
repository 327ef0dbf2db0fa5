//! Initialises and releases semaphores. A satisfied wait takes one from the count.

extern crate alloc;

use super::{
    dispatcher::{self, Waitable},
    join, objects,
};
use crate::{
    engine::machine::Machine,
    types::{BOOLEAN, KSEMAPHORE, LONG, PRKSEMAPHORE, STATUS_SEMAPHORE_LIMIT_EXCEEDED},
    verifier::{Checked, bugcheck::exception::raised_by_call, irql::Ddi},
};

const KIND: &str = "semaphore";

const PASSIVE: u8 = 0;

/// Adds to a semaphore's count and returns the count before.
fn add(machine: &Machine, semaphore: PRKSEMAPHORE, adjustment: LONG) -> Checked<LONG> {
    let address = objects::address(semaphore);
    dispatcher::expect(machine, address, KIND)?;
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
                machine.name(address)
            );
            return Err(raised_by_call(STATUS_SEMAPHORE_LIMIT_EXCEEDED, &what));
        }
    }
    dispatcher::signal(machine, address)?;
    Ok(before)
}

/// Returns the state of a semaphore.
pub(crate) fn state(machine: &Machine, address: usize) -> Checked<LONG> {
    dispatcher::expect(machine, address, KIND)?;
    Ok(dispatcher::state(address))
}

/// Initialises a semaphore. An invalid count or limit ends the run.
pub(crate) fn initialize(
    machine: &Machine,
    semaphore: PRKSEMAPHORE,
    count: LONG,
    limit: LONG,
) -> Checked<()> {
    machine.check_documented_irql(Ddi::KeInitializeSemaphore, PASSIVE)?;
    if limit <= 0 || !(0..=limit).contains(&count) {
        let message = alloc::format!(
            "KeInitializeSemaphore with count {count} and limit {limit}: 0 ≤ count ≤ limit and 0 < limit are expected"
        );
        machine.fail("not supported", message);
    }
    let address = objects::address(semaphore);
    let header = dispatcher::fresh_header(machine, address, Waitable::Semaphore, count)?;
    // SAFETY: `fresh_header` checked pool memory; for other memory the caller promises that
    // `semaphore` is valid for writes.
    unsafe { semaphore.write_unaligned(KSEMAPHORE { Header: header, Limit: limit }) };
    Ok(())
}

/// Adds to a semaphore's count and returns the count before. With `wait`, the caller waits next.
pub(crate) fn release(
    machine: &Machine,
    semaphore: PRKSEMAPHORE,
    adjustment: LONG,
    wait: BOOLEAN,
) -> Checked<LONG> {
    join::check_wait_argument(machine, Ddi::KeReleaseSemaphore, wait)?;
    let before = add(machine, semaphore, adjustment)?;
    join::begin(machine, wait);
    Ok(before)
}
