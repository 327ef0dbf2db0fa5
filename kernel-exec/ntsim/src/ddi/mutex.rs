//! Mutexes (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keinitializemutex`,
//! `nf-wdm-kereleasemutex`, `nf-wdm-kereadstatemutex`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::{
    dispatcher::{self, Waitable},
    objects,
};
use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::thread::ThreadName,
    trace::Value,
    types::{BOOLEAN, DISPATCH_LEVEL, KMUTANT, LONG, PRKMUTEX, STATUS_MUTANT_NOT_OWNED, ULONG},
    verifier::{
        Checked,
        bugcheck::{driver_verifier::locks, exception::raised_by_call},
        irql::Ddi,
    },
};

const KIND: &str = "mutex";

impl Machine {
    fn initialize_mutex(&self, mutex: PRKMUTEX) -> Checked<()> {
        let address = objects::address(mutex);
        let holder = self.kernel.borrow().mutexes.holder(address);
        if let Some(held) = holder {
            let (name, by) = (self.name(address), ThreadName::of(held.thread));
            return Err(locks::held_mutex_initialised(address, name, by));
        }
        let header = self.fresh_header(address, Waitable::Mutex, 1)?;
        // SAFETY: pool memory was checked; for other memory the caller promises that `mutex` is
        // valid for writes.
        unsafe { mutex.write_unaligned(KMUTANT { Header: header, ApcDisable: 1, ..KMUTANT::default() }) }
        Ok(())
    }

    /// Releases a mutex once and returns its state before. The mutex is free afterwards if that was
    /// 0.
    fn release_mutex(&self, address: usize) -> Checked<LONG> {
        self.expect_waitable(address, KIND)?;
        let (thread, name) = (self.thread(), self.name(address));
        let at_dispatch = u32::from(self.irql()) >= DISPATCH_LEVEL;
        let holder = self.kernel.borrow().mutexes.holder(address);
        let me = ThreadName::of(thread);
        let wrong = match holder {
            Some(held) if held.thread != thread => {
                alloc::format!(
                    "mutex {name} was released by {me}, but {} holds it",
                    ThreadName::of(held.thread)
                )
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
                    self.kernel.borrow_mut().mutexes.release(address);
                    dispatcher::set_owner(address, 0);
                    self.signal(address)?;
                }
                return Ok(before);
            }
        };
        Err(raised_by_call(STATUS_MUTANT_NOT_OWNED, &wrong))
    }
}

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
    machine.checked(machine.initialize_mutex(Mutex));
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
    machine.checked(machine.check_wait_argument(ddi, Wait));
    let before = machine.checked(machine.release_mutex(objects::address(Mutex)));
    machine.join(Wait);
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
    let address = objects::address(Mutex);
    machine.checked(machine.expect_waitable(address, KIND));
    let state = dispatcher::state(address);
    machine.called(Ddi::KeReadStateMutex, |machine| {
        ([machine.pointer(Mutex as usize)], Some(Value::Signed(state.into())))
    });
    state
}
