//! Acquires and releases fast mutexes.

extern crate alloc;

use super::{dispatcher, irql, objects};
use crate::{
    engine::machine::Machine,
    kernel::{
        mutex::HeldMutex,
        thread::ThreadName,
        wait::{Wait, WaitKind},
    },
    types::{APC_LEVEL, DISPATCHER_HEADER, FAST_MUTEX, KEVENT, PFAST_MUTEX, STATUS_SUCCESS},
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

/// Initialises a fast mutex as free.
pub(crate) fn initialize(machine: &Machine, mutex: PFAST_MUTEX) -> Checked<()> {
    let address = objects::address(mutex);
    machine.check_memory(address, Use::FastMutex)?;
    let holder = machine.kernel.borrow().mutexes.holder(address);
    if let Some(held) = holder {
        let (name, by) = (machine.name(address), ThreadName::of(held.thread));
        return Err(locks::held_fast_mutex_initialised(address, name, by));
    }
    let list = dispatcher::empty_list(event(mutex));
    let (kind, size) = EVENT;
    let header =
        DISPATCHER_HEADER { Type: kind, Size: size, WaitListHead: list, ..DISPATCHER_HEADER::default() };
    write(mutex, FAST_MUTEX { Count: FREE, Event: KEVENT { Header: header }, ..FAST_MUTEX::default() });
    Ok(())
}

fn load(machine: &Machine, mutex: PFAST_MUTEX) -> Checked<FAST_MUTEX> {
    machine.check_memory(objects::address(mutex), Use::FastMutex)?;
    let value = read(mutex);
    let header = value.Event.Header;
    let intact = header.WaitListHead.Flink == dispatcher::empty_list(event(mutex)).Flink;
    if (header.Type, header.Size) == EVENT && intact {
        return Ok(value);
    }
    Err(security_check::not_initialised(machine.name(mutex as usize), "a fast mutex"))
}

/// Returns a violation if IRQL is not in the range for this call.
fn check_irql(machine: &Machine, mutex: PFAST_MUTEX, ddi: Ddi, call: FastMutexCall) -> Checked<()> {
    let irql = machine.irql();
    let fits = match call {
        FastMutexCall::Acquire => irql <= APC,
        FastMutexCall::Release => irql == APC,
    };
    if fits {
        return Ok(());
    }
    let name = machine.name(mutex as usize);
    Err(locks::fast_mutex_call_irql(call, irql, mutex as usize, ddi.name(), name))
}

/// Acquires a fast mutex if it is free; returns false if it is held.
fn take_if_free(machine: &Machine, mutex: PFAST_MUTEX, old_irql: u8) -> Checked<bool> {
    let value = load(machine, mutex)?;
    let (address, thread) = (mutex as usize, machine.thread());
    let holder = machine.kernel.borrow().mutexes.holder(address);
    if holder.is_some() {
        return Ok(false);
    }
    let owner = machine.thread_address(thread);
    machine.kernel.borrow_mut().mutexes.acquire(HeldMutex { address, thread, at_dispatch: false });
    let owner = core::ptr::with_exposed_provenance_mut(owner);
    write(mutex, FAST_MUTEX { Count: value.Count & !FREE, Owner: owner, OldIrql: old_irql.into(), ..value });
    Ok(true)
}

fn wait_and_take(machine: &Machine, mutex: PFAST_MUTEX, ddi: Ddi, old_irql: u8) -> Checked<()> {
    let (address, thread) = (mutex as usize, machine.thread());
    while !take_if_free(machine, mutex, old_irql)? {
        let holder = machine.kernel.borrow().mutexes.holder(address);
        if holder.is_some_and(|held| held.thread == thread) {
            let (name, me) = (machine.name(address), ThreadName::of(thread));
            return Err(locks::fast_mutex_acquired_by_holder(address, name, me));
        }
        let kind = WaitKind::Kernel("a fast mutex");
        let value = read(mutex);
        let (count, contention) = (value.Count + WAITER, value.Contention + 1);
        write(mutex, FAST_MUTEX { Count: count, Contention: contention, ..value });
        machine.block(Wait { thread, kind, objects: alloc::vec![address], timeout: None }, Some(ddi));
        let value = load(machine, mutex)?;
        write(mutex, FAST_MUTEX { Count: value.Count - WAITER, ..value });
    }
    Ok(())
}

/// Releases a fast mutex and returns the IRQL before its acquisition.
fn give_back(machine: &Machine, mutex: PFAST_MUTEX) -> Checked<u8> {
    let value = load(machine, mutex)?;
    let (address, thread, name) = (mutex as usize, machine.thread(), machine.name(mutex as usize));
    let holder = machine.kernel.borrow().mutexes.holder(address);
    let Some(held) = holder else {
        return Err(locks::fast_mutex_not_held(address, name));
    };
    if held.thread != thread {
        let (by, me) = (ThreadName::of(held.thread), ThreadName::of(thread));
        let threads = [held.thread, thread].map(|thread| machine.thread_address(thread));
        return Err(locks::fast_mutex_of_another(address, name, me, by, threads));
    }
    write(mutex, FAST_MUTEX { Count: value.Count | FREE, Owner: core::ptr::null_mut(), ..value });
    let mut kernel = machine.kernel.borrow_mut();
    kernel.mutexes.release(address);
    let waiters = kernel.waits.waiters(address);
    drop(kernel);
    for waiter in waiters {
        machine.end_wait(waiter, STATUS_SUCCESS);
    }
    Ok(value.OldIrql as u8)
}

/// Raises IRQL to the one at which a fast mutex is held.
pub(crate) fn raise(machine: &Machine) {
    irql::raise(machine, APC);
}

/// Raises IRQL and acquires a fast mutex, waiting until it is free.
pub(crate) fn acquire(machine: &Machine, mutex: PFAST_MUTEX, ddi: Ddi) -> Checked<()> {
    let before = machine.irql();
    check_irql(machine, mutex, ddi, FastMutexCall::Acquire)?;
    raise(machine);
    wait_and_take(machine, mutex, ddi, before)
}

/// Acquires a fast mutex if it is free. The caller raises IRQL then.
pub(crate) fn try_acquire(machine: &Machine, mutex: PFAST_MUTEX, ddi: Ddi) -> Checked<bool> {
    check_irql(machine, mutex, ddi, FastMutexCall::Acquire)?;
    take_if_free(machine, mutex, machine.irql())
}

/// Releases a fast mutex and restores the IRQL before its acquisition.
pub(crate) fn release(machine: &Machine, mutex: PFAST_MUTEX, ddi: Ddi) -> Checked<()> {
    check_irql(machine, mutex, ddi, FastMutexCall::Release)?;
    let before = give_back(machine, mutex)?;
    irql::lower(machine, before);
    Ok(())
}
