//! Fast mutexes
//! (learn.microsoft.com/windows-hardware/drivers/kernel/fast-mutexes-and-guarded-mutexes and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-exinitializefastmutex`,
//! `nf-wdm-exacquirefastmutex`, `nf-wdm-extrytoacquirefastmutex`, `nf-wdm-exreleasefastmutex`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::{dispatcher, objects};
use crate::{
    engine::{
        entry::{Entered, enter},
        machine::Machine,
    },
    kernel::{
        mutex::Held,
        thread::ThreadName,
        wait::{Kind, Wait},
    },
    trace::Value,
    types::{APC_LEVEL, BOOLEAN, DISPATCHER_HEADER, FAST_MUTEX, KEVENT, PFAST_MUTEX, STATUS_SUCCESS},
    verifier::{
        Checked,
        bugcheck::{
            driver_verifier::locks::{self, FastMutexCall},
            security_check,
        },
        irql::Ddi,
        memory::Use,
    },
};

const APC: u8 = APC_LEVEL as u8;
/// The bit of `Count` that is set while a fast mutex is free, and the amount that each waiting
/// thread adds.
const FREE: i32 = 1;
const WAITER: i32 = 4;
/// The type and size of the event in an initialised fast mutex, which are those of a
/// synchronization event.
const EVENT: (u8, u8) = (1, 6);

fn read(mutex: PFAST_MUTEX) -> FAST_MUTEX {
    // SAFETY: pool memory was checked; for other memory the driver promised that the mutex is
    // valid.
    unsafe { mutex.read_unaligned() }
}

fn write(mutex: PFAST_MUTEX, value: FAST_MUTEX) {
    // SAFETY: pool memory was checked; for other memory the driver promised that the mutex is
    // valid.
    unsafe { mutex.write_unaligned(value) }
}

/// Returns the address of the event in a fast mutex.
fn event(mutex: PFAST_MUTEX) -> usize {
    mutex as usize + core::mem::offset_of!(FAST_MUTEX, Event)
}

impl Machine {
    fn initialize_fast_mutex(&self, mutex: PFAST_MUTEX) -> Checked<()> {
        let address = objects::address(mutex);
        self.check_memory(address, Use::FastMutex)?;
        let holder = self.kernel.borrow().mutexes.holder(address);
        if let Some(held) = holder {
            let (name, by) = (self.name(address), ThreadName::of(held.thread));
            return Err(locks::held_fast_mutex_initialised(address, name, by));
        }
        let list = dispatcher::empty_list(event(mutex));
        let (kind, size) = EVENT;
        let header =
            DISPATCHER_HEADER { Type: kind, Size: size, WaitListHead: list, ..DISPATCHER_HEADER::default() };
        write(mutex, FAST_MUTEX { Count: FREE, Event: KEVENT { Header: header }, ..FAST_MUTEX::default() });
        Ok(())
    }

    fn load_fast_mutex(&self, mutex: PFAST_MUTEX) -> Checked<FAST_MUTEX> {
        self.check_memory(objects::address(mutex), Use::FastMutex)?;
        let value = read(mutex);
        let header = value.Event.Header;
        let intact = header.WaitListHead.Flink == dispatcher::empty_list(event(mutex)).Flink;
        if (header.Type, header.Size) == EVENT && intact {
            return Ok(value);
        }
        Err(security_check::not_initialised(self.name(mutex as usize), "a fast mutex"))
    }

    /// Returns a violation if IRQL is not in the range for this call.
    fn fast_mutex_irql(&self, mutex: PFAST_MUTEX, ddi: Ddi, call: FastMutexCall) -> Checked<()> {
        let irql = self.irql();
        let fits = match call {
            FastMutexCall::Acquire => irql <= APC,
            FastMutexCall::Release => irql == APC,
        };
        if fits {
            return Ok(());
        }
        let name = self.name(mutex as usize);
        Err(locks::fast_mutex_call_irql(call, irql, mutex as usize, ddi.name(), name))
    }

    /// Acquires a fast mutex if it is free; returns false if it is held.
    fn try_fast_mutex(&self, mutex: PFAST_MUTEX, old_irql: u8) -> Checked<bool> {
        let value = self.load_fast_mutex(mutex)?;
        let (address, thread) = (mutex as usize, self.thread());
        let holder = self.kernel.borrow().mutexes.holder(address);
        if holder.is_some() {
            return Ok(false);
        }
        let owner = self.thread_address(thread);
        self.kernel.borrow_mut().mutexes.acquire(Held { address, thread, at_dispatch: false });
        let owner = core::ptr::with_exposed_provenance_mut(owner);
        write(
            mutex,
            FAST_MUTEX { Count: value.Count & !FREE, Owner: owner, OldIrql: old_irql.into(), ..value },
        );
        Ok(true)
    }

    fn acquire_fast_mutex(&self, mutex: PFAST_MUTEX, ddi: Ddi, old_irql: u8) -> Checked<()> {
        let (address, thread) = (mutex as usize, self.thread());
        while !self.try_fast_mutex(mutex, old_irql)? {
            let holder = self.kernel.borrow().mutexes.holder(address);
            if holder.is_some_and(|held| held.thread == thread) {
                let (name, me) = (self.name(address), ThreadName::of(thread));
                return Err(locks::fast_mutex_acquired_by_holder(address, name, me));
            }
            let kind = Kind::Kernel("a fast mutex");
            let value = read(mutex);
            let (count, contention) = (value.Count + WAITER, value.Contention + 1);
            write(mutex, FAST_MUTEX { Count: count, Contention: contention, ..value });
            self.block(Wait { thread, kind, objects: alloc::vec![address], timeout: None }, Some(ddi));
            let value = self.load_fast_mutex(mutex)?;
            write(mutex, FAST_MUTEX { Count: value.Count - WAITER, ..value });
        }
        Ok(())
    }

    /// Releases a fast mutex and returns the IRQL before its acquisition.
    fn release_fast_mutex(&self, mutex: PFAST_MUTEX) -> Checked<u8> {
        let value = self.load_fast_mutex(mutex)?;
        let (address, thread, name) = (mutex as usize, self.thread(), self.name(mutex as usize));
        let holder = self.kernel.borrow().mutexes.holder(address);
        let Some(held) = holder else {
            return Err(locks::fast_mutex_not_held(address, name));
        };
        if held.thread != thread {
            let (by, me) = (ThreadName::of(held.thread), ThreadName::of(thread));
            let threads = [held.thread, thread].map(|thread| self.thread_address(thread));
            return Err(locks::fast_mutex_of_another(address, name, me, by, threads));
        }
        write(mutex, FAST_MUTEX { Count: value.Count | FREE, Owner: core::ptr::null_mut(), ..value });
        let mut kernel = self.kernel.borrow_mut();
        kernel.mutexes.release(address);
        let waiters = kernel.waits.waiters(address);
        drop(kernel);
        for waiter in waiters {
            self.end_wait(waiter, STATUS_SUCCESS);
        }
        Ok(value.OldIrql as u8)
    }
}

fn begin<'a>(ddi: Ddi, mutex: PFAST_MUTEX) -> Entered<'a> {
    let machine = enter(ddi);
    machine.called(ddi, |machine| ([machine.pointer(mutex as usize)], None));
    machine
}

/// Initialises a fast mutex as free. In NT this is an inline function. IRQL ≤ DISPATCH_LEVEL. Bug
/// check 0xD1 if the storage is pageable; 0xC4/0x1005 if a thread holds the mutex
/// (`nf-wdm-exinitializefastmutex`).
///
/// # Safety
/// `FastMutex` is valid for writes, and stays valid and where it is while it is used.
pub unsafe extern "C" fn ExInitializeFastMutex(FastMutex: PFAST_MUTEX) {
    let machine = &*begin(Ddi::ExInitializeFastMutex, FastMutex);
    machine.checked(machine.initialize_fast_mutex(FastMutex));
}

/// Raises IRQL to APC_LEVEL and acquires a fast mutex, waiting until it is free. IRQL ≤ APC_LEVEL,
/// otherwise bug check 0xC4/0x33. Bug check 0xC4/0x1000 if this thread holds the mutex; 0x139 if it
/// is not a fast mutex, or was moved (`nf-wdm-exacquirefastmutex`).
///
/// # Safety
/// `FastMutex` was initialised and is valid until it is released.
pub unsafe extern "C" fn ExAcquireFastMutex(FastMutex: PFAST_MUTEX) {
    let ddi = Ddi::ExAcquireFastMutex;
    let machine = &*begin(ddi, FastMutex);
    let before = machine.irql();
    machine.checked(machine.fast_mutex_irql(FastMutex, ddi, FastMutexCall::Acquire));
    machine.raise(APC);
    machine.checked(machine.acquire_fast_mutex(FastMutex, ddi, before));
}

/// Acquires a fast mutex if it is free, in which case it raises IRQL to APC_LEVEL and returns TRUE.
/// IRQL ≤ APC_LEVEL, otherwise bug check 0xC4/0x33 (`nf-wdm-extrytoacquirefastmutex`).
///
/// # Safety
/// The same as for [`ExAcquireFastMutex`].
pub unsafe extern "C" fn ExTryToAcquireFastMutex(FastMutex: PFAST_MUTEX) -> BOOLEAN {
    let ddi = Ddi::ExTryToAcquireFastMutex;
    let machine = &*enter(ddi);
    let before = machine.irql();
    machine.checked(machine.fast_mutex_irql(FastMutex, ddi, FastMutexCall::Acquire));
    let acquired = machine.checked(machine.try_fast_mutex(FastMutex, before));
    machine.called(ddi, |machine| ([machine.pointer(FastMutex as usize)], Some(Value::Boolean(acquired))));
    if acquired {
        machine.raise(APC);
    }
    acquired.into()
}

/// Releases a fast mutex and restores the IRQL before its acquisition. At APC_LEVEL, otherwise bug
/// check 0xC4/0x34. Bug check 0xC4/0x1004 if another thread holds the mutex; 0xC4/0x1007 if no
/// thread does (`nf-wdm-exreleasefastmutex`).
///
/// # Safety
/// The same as for [`ExAcquireFastMutex`].
pub unsafe extern "C" fn ExReleaseFastMutex(FastMutex: PFAST_MUTEX) {
    let ddi = Ddi::ExReleaseFastMutex;
    let machine = &*begin(ddi, FastMutex);
    machine.checked(machine.fast_mutex_irql(FastMutex, ddi, FastMutexCall::Release));
    let before = machine.checked(machine.release_fast_mutex(FastMutex));
    machine.lower(before);
}
