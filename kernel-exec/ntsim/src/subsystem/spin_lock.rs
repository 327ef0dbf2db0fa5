//! Acquires and releases spin locks, and checks the order of acquisitions.
//!
//! The lock's word is not zero while it is held. The verifier records the holder. A waiting
//! processor does not spin, and cannot run until the lock is released.

extern crate alloc;

use alloc::vec::Vec;

use super::irql;
use crate::{
    engine::machine::Machine,
    kernel::lock::HeldLock,
    types::{DISPATCH_LEVEL, KIRQL, KSPIN_LOCK, PKSPIN_LOCK},
    verifier::{
        Checked,
        bugcheck::driver_verifier::locks::{self, SpinLockCall},
        irql::Ddi,
        memory::Use,
    },
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;

fn read(lock: PKSPIN_LOCK) -> KSPIN_LOCK {
    // SAFETY: pool memory was checked; for other memory the driver promised that the lock is valid.
    unsafe { lock.read_unaligned() }
}

fn write(lock: PKSPIN_LOCK, value: KSPIN_LOCK) {
    // SAFETY: pool memory was checked; for other memory the driver promised that the lock is valid.
    unsafe { lock.write_unaligned(value) }
}

/// Returns a violation if IRQL is not in the range for this call.
fn check_irql(machine: &Machine, lock: PKSPIN_LOCK, ddi: Ddi, call: SpinLockCall) -> Checked<()> {
    let irql = machine.irql();
    let fits = match call {
        SpinLockCall::AcquireAndRaise => irql <= DISPATCH,
        SpinLockCall::ReleaseAndLower => irql == DISPATCH,
        SpinLockCall::AcquireAtDispatch | SpinLockCall::ReleaseFromDispatch => irql >= DISPATCH,
    };
    if fits {
        return Ok(());
    }
    let name = machine.name(lock as usize);
    Err(locks::spin_lock_call_irql(call, irql, lock as usize, ddi.name(), name))
}

/// Waits until the lock is free and acquires it, with a queue handle or without one. IRQL ≥
/// DISPATCH_LEVEL.
fn acquire(machine: &Machine, lock: PKSPIN_LOCK, ddi: Ddi, handle: usize) -> Checked<()> {
    if machine.config.get().lock_order {
        check_order(machine, lock as usize)?;
    }
    take(machine, lock, ddi, handle)
}

/// Acquires a lock like [`acquire`], without a check of the lock order. The caller has
/// seen that the lock is free, or the order was checked.
fn take(machine: &Machine, lock: PKSPIN_LOCK, ddi: Ddi, handle: usize) -> Checked<()> {
    let (address, me) = (lock as usize, machine.current.get());
    loop {
        machine.check_memory(address, Use::Lock)?;
        let holder = machine.kernel.borrow().locks.holder(address);
        match (holder, read(lock)) {
            (None, 0) => break,
            (Some(holder), _) if holder == me => {
                return Err(locks::spin_lock_acquired_by_holder(address, machine.name(address), me));
            }
            (Some(_), _) => machine.wait_for_lock(address, ddi),
            (None, word) => {
                return Err(locks::not_a_spin_lock(address, machine.name(address), word));
            }
        }
    }
    // The word is 1, or the address of the queue handle, as in NT.
    write(lock, if handle == 0 { 1 } else { handle as KSPIN_LOCK });
    machine.kernel.borrow_mut().locks.acquire(HeldLock { address, processor: me, handle });
    Ok(())
}

/// Returns how many spin locks this processor holds.
pub(crate) fn held(machine: &Machine) -> usize {
    machine.kernel.borrow().locks.held_by(machine.current.get())
}

/// Returns a violation if this processor holds more spin locks than when it called a driver's
/// routine.
pub(crate) fn check_given_back(machine: &Machine, routine: &str, before: usize) -> Checked<()> {
    let me = machine.current.get();
    let kernel = machine.kernel.borrow();
    let held = kernel.locks.held().iter().filter(|held| held.processor == me).nth(before).copied();
    drop(kernel);
    let Some(held) = held else { return Ok(()) };
    Err(locks::returned_with_spin_lock(routine, held.address, machine.name(held.address), me))
}

/// Returns a violation if this processor holds a lock that was once acquired while the one at
/// `address` was held.
#[cold]
fn check_order(machine: &Machine, address: usize) -> Checked<()> {
    let mut kernel = machine.kernel.borrow_mut();
    let me = machine.current.get();
    let others = |held: &&HeldLock| held.processor == me && held.address != address;
    let held: Vec<usize> = kernel.locks.held().iter().filter(others).map(|held| held.address).collect();
    let wrong = held.into_iter().find(|first| !kernel.order.add(*first, address));
    drop(kernel);
    let Some(first) = wrong else { return Ok(()) };
    Err(locks::opposite_order(address, machine.name(address), first, machine.name(first)))
}

/// Initialises a spin lock as free, and forgets the order in which it was acquired.
pub(crate) fn initialize(machine: &Machine, lock: PKSPIN_LOCK) -> Checked<()> {
    let address = lock as usize;
    machine.check_memory(address, Use::Lock)?;
    let holder = machine.kernel.borrow().locks.holder(address);
    if let Some(holder) = holder {
        return Err(locks::held_spin_lock_initialised(address, machine.name(address), holder));
    }
    machine.kernel.borrow_mut().order.forget(address..address + 1);
    write(lock, 0);
    Ok(())
}

/// Raises IRQL to DISPATCH_LEVEL and acquires a lock, with a queue handle or without one. Returns
/// the IRQL before.
pub(crate) fn acquire_and_raise(
    machine: &Machine,
    lock: PKSPIN_LOCK,
    ddi: Ddi,
    handle: usize,
) -> Checked<KIRQL> {
    let before = machine.irql();
    check_irql(machine, lock, ddi, SpinLockCall::AcquireAndRaise)?;
    irql::raise(machine, DISPATCH);
    acquire(machine, lock, ddi, handle)?;
    Ok(before)
}

/// Acquires a lock at DISPATCH_LEVEL or above, with a queue handle or without one.
pub(crate) fn acquire_at_dispatch(
    machine: &Machine,
    lock: PKSPIN_LOCK,
    ddi: Ddi,
    handle: usize,
) -> Checked<()> {
    check_irql(machine, lock, ddi, SpinLockCall::AcquireAtDispatch)?;
    acquire(machine, lock, ddi, handle)
}

/// Acquires a lock at DISPATCH_LEVEL or above if it is free. Returns false if it is held.
pub(crate) fn try_acquire(machine: &Machine, lock: PKSPIN_LOCK, ddi: Ddi) -> Checked<bool> {
    let address = lock as usize;
    check_irql(machine, lock, ddi, SpinLockCall::AcquireAtDispatch)?;
    machine.check_memory(address, Use::Lock)?;
    let free = machine.kernel.borrow().locks.holder(address).is_none();
    if free {
        take(machine, lock, ddi, 0)?;
    }
    Ok(free)
}

/// Releases the lock if this processor acquired it with this queue handle or, with 0, without
/// one. The caller lowers IRQL if the call is one that does so.
pub(crate) fn release(
    machine: &Machine,
    lock: PKSPIN_LOCK,
    ddi: Ddi,
    call: SpinLockCall,
    handle: usize,
) -> Checked<()> {
    check_irql(machine, lock, ddi, call)?;
    let (address, me) = (lock as usize, machine.current.get());
    machine.check_memory(address, Use::Lock)?;
    let holder = machine.kernel.borrow().locks.holder(address);
    match holder {
        Some(holder) if holder == me => {}
        Some(holder) => {
            return Err(locks::spin_lock_of_another(address, machine.name(address), me, holder));
        }
        None => return Err(locks::spin_lock_not_held(address, machine.name(address))),
    }
    let with = machine.kernel.borrow().locks.handle(address);
    if with != handle {
        let (name, with, other) = (machine.name(address), machine.name(with), machine.name(handle));
        return Err(locks::other_queue_handle(address, name, with, other));
    }
    write(lock, 0);
    machine.kernel.borrow_mut().locks.release(address);
    machine.wake_waiters(address);
    Ok(())
}
