//! Initialises and releases mutexes. A satisfied wait acquires one.

extern crate alloc;

use super::{
    dispatcher::{self, Waitable},
    join, objects,
};
use crate::{
    engine::machine::Machine,
    kernel::thread::ThreadName,
    types::{BOOLEAN, DISPATCH_LEVEL, KMUTANT, LONG, PRKMUTEX, STATUS_MUTANT_NOT_OWNED},
    verifier::{
        Checked,
        bugcheck::{driver_verifier::locks, exception::raised_by_call},
        irql::Ddi,
    },
};

const KIND: &str = "mutex";

/// Initialises a mutex as free.
pub(crate) fn initialize(machine: &Machine, mutex: PRKMUTEX) -> Checked<()> {
    let address = objects::address(mutex);
    let holder = machine.kernel.borrow().mutexes.holder(address);
    if let Some(held) = holder {
        let (name, by) = (machine.name(address), ThreadName::of(held.thread));
        return Err(locks::held_mutex_initialised(address, name, by));
    }
    let header = dispatcher::fresh_header(machine, address, Waitable::Mutex, 1)?;
    // SAFETY: pool memory was checked; for other memory the caller promises that `mutex` is
    // valid for writes.
    unsafe { mutex.write_unaligned(KMUTANT { Header: header, ApcDisable: 1, ..KMUTANT::default() }) }
    Ok(())
}

/// Releases a mutex once and returns its state before. The mutex is free afterwards if that was
/// 0.
fn release_once(machine: &Machine, address: usize) -> Checked<LONG> {
    dispatcher::expect(machine, address, KIND)?;
    let (thread, name) = (machine.thread(), machine.name(address));
    let at_dispatch = u32::from(machine.irql()) >= DISPATCH_LEVEL;
    let holder = machine.kernel.borrow().mutexes.holder(address);
    let me = ThreadName::of(thread);
    let wrong = match holder {
        Some(held) if held.thread != thread => {
            alloc::format!("mutex {name} was released by {me}, but {} holds it", ThreadName::of(held.thread))
        }
        None => alloc::format!("mutex {name} was released by {me}, but no thread holds it"),
        Some(held) if held.at_dispatch != at_dispatch => {
            let (then, now) = if at_dispatch { ("below", "at") } else { ("at", "below") };
            alloc::format!("mutex {name} was acquired {then} DISPATCH_LEVEL, but released {now} it")
        }
        Some(_) => {
            let before = dispatcher::state(address);
            dispatcher::set_state(address, before + 1);
            if before == 0 {
                machine.kernel.borrow_mut().mutexes.release(address);
                dispatcher::set_owner(address, 0);
                dispatcher::signal(machine, address)?;
            }
            return Ok(before);
        }
    };
    Err(raised_by_call(STATUS_MUTANT_NOT_OWNED, &wrong))
}

/// Returns the state of a mutex.
pub(crate) fn state(machine: &Machine, address: usize) -> Checked<LONG> {
    dispatcher::expect(machine, address, KIND)?;
    Ok(dispatcher::state(address))
}

/// Releases a mutex once and returns its state before. With `wait`, the caller waits next.
pub(crate) fn release(machine: &Machine, address: usize, wait: BOOLEAN) -> Checked<LONG> {
    join::check_wait_argument(machine, Ddi::KeReleaseMutex, wait)?;
    let before = release_once(machine, address)?;
    join::begin(machine, wait);
    Ok(before)
}
