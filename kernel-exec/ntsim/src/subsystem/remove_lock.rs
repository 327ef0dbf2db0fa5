//! Acquires remove locks, releases them, and waits for their last release.

extern crate alloc;

use super::objects;
use crate::{
    engine::machine::Machine,
    kernel::wait::{Wait, WaitKind},
    types::{
        IO_REMOVE_LOCK, IO_REMOVE_LOCK_COMMON_BLOCK, LIST_ENTRY, PIO_REMOVE_LOCK, STATUS_SUCCESS, ULONG,
    },
    verifier::{Checked, bugcheck::security_check, irql::Ddi, memory::Use},
};

fn read(lock: PIO_REMOVE_LOCK) -> IO_REMOVE_LOCK_COMMON_BLOCK {
    // SAFETY: pool memory was checked; for other memory the driver promised that the lock is valid.
    unsafe { lock.read_unaligned() }.Common
}

fn write(lock: PIO_REMOVE_LOCK, value: IO_REMOVE_LOCK_COMMON_BLOCK) {
    // SAFETY: pool memory was checked; for other memory the driver promised that the lock is valid.
    unsafe { lock.write_unaligned(IO_REMOVE_LOCK { Common: value }) }
}

/// The list head of an initialised lock's event. It is the lock's own address, so that a moved lock
/// is noticed.
fn mark(lock: PIO_REMOVE_LOCK) -> *mut LIST_ENTRY {
    lock.cast()
}

/// Ends the run for a remove lock that has not the size of a free build.
pub(crate) fn refuse_size(machine: &Machine, ddi: Ddi, size: ULONG) {
    if size as usize != size_of::<IO_REMOVE_LOCK>() {
        let message = alloc::format!(
            "{} with a remove lock of {size} bytes: ntsim has only those of free builds, which have {} bytes",
            ddi.name(),
            size_of::<IO_REMOVE_LOCK>()
        );
        machine.fail("not supported", message);
    }
}

fn load(machine: &Machine, lock: PIO_REMOVE_LOCK) -> Checked<IO_REMOVE_LOCK_COMMON_BLOCK> {
    machine.check_memory(objects::address(lock), Use::RemoveLock)?;
    let value = read(lock);
    if value.RemoveEvent.Header.WaitListHead.Flink == mark(lock) {
        return Ok(value);
    }
    Err(security_check::not_initialised(machine.name(lock as usize), "a remove lock"))
}

/// Releases one acquisition, which must have been made with this tag.
fn remove_acquisition(
    machine: &Machine,
    lock: PIO_REMOVE_LOCK,
    tag: usize,
) -> Checked<IO_REMOVE_LOCK_COMMON_BLOCK> {
    let mut value = load(machine, lock)?;
    let held = machine.kernel.borrow_mut().tags.release(lock as usize, tag);
    if !held {
        let (name, tag) = (machine.name(lock as usize), machine.name(tag));
        return Err(security_check::remove_lock_tag_not_held(name, tag));
    }
    value.IoCount -= 1;
    write(lock, value);
    Ok(value)
}

/// Releases a remove lock, which ends the wait for it with the last release.
pub(crate) fn release(machine: &Machine, lock: PIO_REMOVE_LOCK, tag: usize) -> Checked<()> {
    let value = remove_acquisition(machine, lock, tag)?;
    if value.IoCount == 0 {
        let waiters = machine.kernel.borrow().waits.waiters(lock as usize);
        for thread in waiters {
            machine.end_wait(thread, STATUS_SUCCESS);
        }
    }
    Ok(())
}

/// Releases the caller's acquisition and waits until all others have been released.
pub(crate) fn wait_for_removal(
    machine: &Machine,
    lock: PIO_REMOVE_LOCK,
    tag: usize,
    ddi: Ddi,
) -> Checked<()> {
    let before = load(machine, lock)?;
    if before.Removed != 0 {
        return Err(security_check::remove_lock_awaited_twice(machine.name(lock as usize)));
    }
    write(lock, IO_REMOVE_LOCK_COMMON_BLOCK { Removed: 1, IoCount: before.IoCount - 1, ..before });
    let value = remove_acquisition(machine, lock, tag)?;
    if value.IoCount != 0 {
        let kind = WaitKind::Kernel("a remove lock to be released");
        let objects = alloc::vec![lock as usize];
        machine.block(Wait { thread: machine.thread(), kind, objects, timeout: None }, Some(ddi));
    }
    Ok(())
}

/// Initialises a remove lock.
pub(crate) fn initialize(machine: &Machine, lock: PIO_REMOVE_LOCK) -> Checked<()> {
    machine.check_memory(objects::address(lock), Use::RemoveLock)?;
    let held = machine.kernel.borrow().tags.is_held(lock as usize);
    if held {
        return Err(security_check::held_remove_lock_initialised(machine.name(lock as usize)));
    }
    let mut fresh = IO_REMOVE_LOCK_COMMON_BLOCK { IoCount: 1, ..IO_REMOVE_LOCK_COMMON_BLOCK::default() };
    fresh.RemoveEvent.Header.WaitListHead = LIST_ENTRY { Flink: mark(lock), Blink: mark(lock) };
    write(lock, fresh);
    Ok(())
}

/// Acquires a remove lock. Returns false once a thread waits for its release, or has done so.
pub(crate) fn acquire(machine: &Machine, lock: PIO_REMOVE_LOCK, tag: usize) -> Checked<bool> {
    let value = load(machine, lock)?;
    if value.Removed != 0 {
        return Ok(false);
    }
    write(lock, IO_REMOVE_LOCK_COMMON_BLOCK { IoCount: value.IoCount + 1, ..value });
    machine.kernel.borrow_mut().tags.acquire(lock as usize, tag);
    Ok(true)
}
