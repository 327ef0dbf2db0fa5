//! Spin locks (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-keinitializespinlock`, `nf-wdm-keacquirespinlock`, `nf-wdm-kereleasespinlock`,
//! `nf-wdm-keacquirespinlockatdpclevel`, `nf-wdm-kereleasespinlockfromdpclevel`).
//!
//! The lock's word is not zero while it is held. The verifier records the holder. A waiting
//! processor does not spin, and cannot run until the lock is released.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use alloc::vec::Vec;

use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::lock::Held,
    trace::Value,
    types::{BOOLEAN, DISPATCH_LEVEL, KIRQL, KSPIN_LOCK, PKSPIN_LOCK},
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

impl Machine {
    /// Returns a violation if IRQL is not in the range for this call.
    pub(crate) fn lock_irql(&self, lock: PKSPIN_LOCK, ddi: Ddi, call: SpinLockCall) -> Checked<()> {
        let irql = self.irql();
        let fits = match call {
            SpinLockCall::AcquireAndRaise => irql <= DISPATCH,
            SpinLockCall::ReleaseAndLower => irql == DISPATCH,
            SpinLockCall::AcquireAtDispatch | SpinLockCall::ReleaseFromDispatch => irql >= DISPATCH,
        };
        if fits {
            return Ok(());
        }
        let name = self.name(lock as usize);
        Err(locks::spin_lock_call_irql(call, irql, lock as usize, ddi.name(), name))
    }

    /// Waits until the lock is free and acquires it, with a queue handle or without one. IRQL ≥
    /// DISPATCH_LEVEL.
    pub(crate) fn acquire(&self, lock: PKSPIN_LOCK, ddi: Ddi, handle: usize) -> Checked<()> {
        if self.config.get().lock_order {
            self.check_lock_order(lock as usize)?;
        }
        self.take_lock(lock, ddi, handle)
    }

    /// Acquires a lock like [`Machine::acquire`], without a check of the lock order. The caller has
    /// seen that the lock is free, or the order was checked.
    fn take_lock(&self, lock: PKSPIN_LOCK, ddi: Ddi, handle: usize) -> Checked<()> {
        let (address, me) = (lock as usize, self.current.get());
        loop {
            self.check_memory(address, Use::Lock)?;
            let holder = self.kernel.borrow().locks.holder(address);
            match (holder, read(lock)) {
                (None, 0) => break,
                (Some(holder), _) if holder == me => {
                    return Err(locks::spin_lock_acquired_by_holder(address, self.name(address), me));
                }
                (Some(_), _) => self.wait_for_lock(address, ddi),
                (None, word) => {
                    return Err(locks::not_a_spin_lock(address, self.name(address), word as u64));
                }
            }
        }
        // The word is 1, or the address of the queue handle, as in NT.
        write(lock, if handle == 0 { 1 } else { handle as KSPIN_LOCK });
        self.kernel.borrow_mut().locks.acquire(Held { address, processor: me, handle });
        Ok(())
    }

    /// Returns how many spin locks this processor holds.
    pub(crate) fn locks_held(&self) -> usize {
        self.kernel.borrow().locks.held_by(self.current.get())
    }

    /// Returns a violation if this processor holds more spin locks than when it called a driver's
    /// routine.
    pub(crate) fn check_locks_given_back(&self, routine: &str, before: usize) -> Checked<()> {
        let me = self.current.get();
        let kernel = self.kernel.borrow();
        let held = kernel.locks.held().iter().filter(|held| held.processor == me).nth(before).copied();
        drop(kernel);
        let Some(held) = held else { return Ok(()) };
        Err(locks::returned_with_spin_lock(routine, held.address, self.name(held.address), me))
    }

    /// Returns a violation if this processor holds a lock that was once acquired while the one at
    /// `address` was held.
    #[cold]
    fn check_lock_order(&self, address: usize) -> Checked<()> {
        let mut kernel = self.kernel.borrow_mut();
        let me = self.current.get();
        let others = |held: &&Held| held.processor == me && held.address != address;
        let held: Vec<usize> = kernel.locks.held().iter().filter(others).map(|held| held.address).collect();
        let wrong = held.into_iter().find(|first| !kernel.order.add(*first, address));
        drop(kernel);
        let Some(first) = wrong else { return Ok(()) };
        Err(locks::opposite_order(address, self.name(address), first, self.name(first)))
    }

    /// Releases the lock if this processor acquired it with this queue handle or, with 0, without
    /// one.
    pub(crate) fn release(&self, lock: PKSPIN_LOCK, handle: usize) -> Checked<()> {
        let (address, me) = (lock as usize, self.current.get());
        self.check_memory(address, Use::Lock)?;
        let holder = self.kernel.borrow().locks.holder(address);
        match holder {
            Some(holder) if holder == me => {}
            Some(holder) => {
                return Err(locks::spin_lock_of_another(address, self.name(address), me, holder));
            }
            None => return Err(locks::spin_lock_not_held(address, self.name(address))),
        }
        let with = self.kernel.borrow().locks.handle(address);
        if with != handle {
            let (name, with, other) = (self.name(address), self.name(with), self.name(handle));
            return Err(locks::other_queue_handle(address, name, with, other));
        }
        write(lock, 0);
        self.kernel.borrow_mut().locks.release(address);
        self.wake_waiters(address);
        Ok(())
    }
}

/// Initialises a spin lock as free. Any IRQL. Bug check 0xC4/0x1005 if the lock is held
/// (`nf-wdm-keinitializespinlock`).
///
/// # Safety
/// `SpinLock` is valid for writes.
pub unsafe extern "C" fn KeInitializeSpinLock(SpinLock: PKSPIN_LOCK) {
    let machine = &*enter(Ddi::KeInitializeSpinLock);
    machine.called(Ddi::KeInitializeSpinLock, |machine| ([machine.pointer(SpinLock as usize)], None));
    machine.checked(machine.check_memory(SpinLock as usize, Use::Lock));
    let holder = machine.kernel.borrow().locks.holder(SpinLock as usize);
    if let Some(holder) = holder {
        let name = machine.name(SpinLock as usize);
        machine.bug_check(locks::held_spin_lock_initialised(SpinLock as usize, name, holder));
    }
    let address = SpinLock as usize;
    machine.kernel.borrow_mut().order.forget(address..address + 1);
    write(SpinLock, 0);
}

/// Raises IRQL to DISPATCH_LEVEL, acquires a spin lock and returns the IRQL before. On x64,
/// KeAcquireSpinLock is this function. IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC4/0x42. Bug
/// check 0xC4/0x1000 if this processor holds the lock; 0xC4/0x1002 if the word is not a lock's
/// (`nf-wdm-keacquirespinlock`).
///
/// # Safety
/// `SpinLock` was initialised and is valid until it is released.
pub unsafe extern "C" fn KeAcquireSpinLockRaiseToDpc(SpinLock: PKSPIN_LOCK) -> KIRQL {
    let ddi = Ddi::KeAcquireSpinLockRaiseToDpc;
    let machine = &*enter(ddi);
    let before = machine.irql();
    machine.checked(machine.lock_irql(SpinLock, ddi, SpinLockCall::AcquireAndRaise));
    machine.raise(DISPATCH);
    machine.checked(machine.acquire(SpinLock, ddi, 0));
    machine.called(ddi, |machine| ([machine.pointer(SpinLock as usize)], Some(Value::Number(before.into()))));
    before
}

/// Releases a spin lock and lowers IRQL to `NewIrql`. At DISPATCH_LEVEL, otherwise bug check
/// 0xC4/0x32. Bug check 0xC4/0x1007 if no processor holds the lock; 0xC4/0x1004 if another does
/// (`nf-wdm-kereleasespinlock`).
///
/// # Safety
/// `SpinLock` was acquired by this processor; `NewIrql` is the IRQL that the acquisition returned.
pub unsafe extern "C" fn KeReleaseSpinLock(SpinLock: PKSPIN_LOCK, NewIrql: KIRQL) {
    let ddi = Ddi::KeReleaseSpinLock;
    let machine = &*enter(ddi);
    machine.checked(machine.lock_irql(SpinLock, ddi, SpinLockCall::ReleaseAndLower));
    machine.checked(machine.release(SpinLock, 0));
    machine
        .called(ddi, |machine| ([machine.pointer(SpinLock as usize), Value::Number(NewIrql.into())], None));
    machine.lower(NewIrql);
}

/// Acquires a spin lock like [`KeAcquireSpinLockRaiseToDpc`], without a change of IRQL. At
/// DISPATCH_LEVEL or above, otherwise bug check 0xC4/0x40 (`nf-wdm-keacquirespinlockatdpclevel`).
///
/// # Safety
/// The same as for [`KeAcquireSpinLockRaiseToDpc`].
pub unsafe extern "C" fn KeAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK) {
    let ddi = Ddi::KeAcquireSpinLockAtDpcLevel;
    let machine = &*enter(ddi);
    machine.checked(machine.lock_irql(SpinLock, ddi, SpinLockCall::AcquireAtDispatch));
    machine.checked(machine.acquire(SpinLock, ddi, 0));
    machine.called(ddi, |machine| ([machine.pointer(SpinLock as usize)], None));
}

/// Releases a spin lock like [`KeReleaseSpinLock`], without a change of IRQL. At DISPATCH_LEVEL or
/// above, otherwise bug check 0xC4/0x41 (`nf-wdm-kereleasespinlockfromdpclevel`).
///
/// # Safety
/// `SpinLock` was acquired by this processor.
pub unsafe extern "C" fn KeReleaseSpinLockFromDpcLevel(SpinLock: PKSPIN_LOCK) {
    let ddi = Ddi::KeReleaseSpinLockFromDpcLevel;
    let machine = &*enter(ddi);
    machine.checked(machine.lock_irql(SpinLock, ddi, SpinLockCall::ReleaseFromDispatch));
    machine.checked(machine.release(SpinLock, 0));
    machine.called(ddi, |machine| ([machine.pointer(SpinLock as usize)], None));
}

/// Acquires a spin lock if it is free. Returns TRUE, or FALSE if a processor holds it, including
/// this one. At DISPATCH_LEVEL or above, otherwise bug check 0xC4/0x40. It never waits, so it does
/// not count for the lock order (`nf-wdm-ketrytoacquirespinlockatdpclevel`).
///
/// # Safety
/// The same as for [`KeAcquireSpinLockRaiseToDpc`].
pub unsafe extern "C" fn KeTryToAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK) -> BOOLEAN {
    let ddi = Ddi::KeTryToAcquireSpinLockAtDpcLevel;
    let machine = &*enter(ddi);
    let address = SpinLock as usize;
    machine.checked(machine.lock_irql(SpinLock, ddi, SpinLockCall::AcquireAtDispatch));
    machine.checked(machine.check_memory(address, Use::Lock));
    let free = machine.kernel.borrow().locks.holder(address).is_none();
    if free {
        machine.checked(machine.take_lock(SpinLock, ddi, 0));
    }
    machine.called(ddi, |machine| ([machine.pointer(address)], Some(Value::Boolean(free))));
    free.into()
}
