//! Remove locks (learn.microsoft.com/windows-hardware/drivers/kernel/using-remove-locks and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-ioinitializeremovelock`,
//! `nf-wdm-ioacquireremovelock`, `nf-wdm-ioreleaseremovelock`, `nf-wdm-ioreleaseremovelockandwait`,
//! all of them macros that call this module).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::objects;
use crate::{
    engine::{
        entry::{Entered, enter},
        machine::Machine,
    },
    kernel::wait::{Kind, Wait},
    trace::Value,
    types::{
        IO_REMOVE_LOCK, IO_REMOVE_LOCK_COMMON_BLOCK, LIST_ENTRY, NTSTATUS, PIO_REMOVE_LOCK, PVOID,
        STATUS_DELETE_PENDING, STATUS_SUCCESS, ULONG,
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

impl Machine {
    fn refuse_remove_lock_size(&self, ddi: Ddi, size: ULONG) {
        if size as usize != size_of::<IO_REMOVE_LOCK>() {
            let message = alloc::format!(
                "{} with a remove lock of {size} bytes: ntsim has only those of free builds, which have {} bytes",
                ddi.name(),
                size_of::<IO_REMOVE_LOCK>()
            );
            self.fail("not supported", message);
        }
    }

    fn load_remove_lock(&self, lock: PIO_REMOVE_LOCK) -> Checked<IO_REMOVE_LOCK_COMMON_BLOCK> {
        self.check_memory(objects::address(lock), Use::RemoveLock)?;
        let value = read(lock);
        if value.RemoveEvent.Header.WaitListHead.Flink == mark(lock) {
            return Ok(value);
        }
        Err(security_check::not_initialised(self.name(lock as usize), "a remove lock"))
    }

    /// Releases one acquisition, which must have been made with this tag.
    fn drop_remove_lock(&self, lock: PIO_REMOVE_LOCK, tag: usize) -> Checked<IO_REMOVE_LOCK_COMMON_BLOCK> {
        let mut value = self.load_remove_lock(lock)?;
        let held = self.kernel.borrow_mut().tags.release(lock as usize, tag);
        if !held {
            let (name, tag) = (self.name(lock as usize), self.name(tag));
            return Err(security_check::remove_lock_tag_not_held(name, tag));
        }
        value.IoCount -= 1;
        write(lock, value);
        Ok(value)
    }

    fn release_remove_lock(&self, lock: PIO_REMOVE_LOCK, tag: usize) -> Checked<()> {
        let value = self.drop_remove_lock(lock, tag)?;
        if value.IoCount == 0 {
            let waiters = self.kernel.borrow().waits.waiters(lock as usize);
            for thread in waiters {
                self.end_wait(thread, STATUS_SUCCESS);
            }
        }
        Ok(())
    }

    fn wait_for_removal(&self, lock: PIO_REMOVE_LOCK, tag: usize, ddi: Ddi) -> Checked<()> {
        let before = self.load_remove_lock(lock)?;
        if before.Removed != 0 {
            return Err(security_check::remove_lock_awaited_twice(self.name(lock as usize)));
        }
        write(lock, IO_REMOVE_LOCK_COMMON_BLOCK { Removed: 1, IoCount: before.IoCount - 1, ..before });
        let value = self.drop_remove_lock(lock, tag)?;
        if value.IoCount != 0 {
            let kind = Kind::Kernel("a remove lock to be released");
            let objects = alloc::vec![lock as usize];
            self.block(Wait { thread: self.thread(), kind, objects, timeout: None }, Some(ddi));
        }
        Ok(())
    }
}

fn begin<'a>(ddi: Ddi, lock: PIO_REMOVE_LOCK, size: ULONG) -> Entered<'a> {
    let machine = enter(ddi);
    machine.called(ddi, |machine| ([machine.pointer(lock as usize)], None));
    machine.refuse_remove_lock_size(ddi, size);
    machine
}

/// Initialises a remove lock. PASSIVE_LEVEL. Bug check 0x139 (14) if the lock at this address is
/// held. The times and marks are those of checked builds, and ignored as in free ones. Another size
/// ends the run as not supported (`nf-wdm-ioinitializeremovelock`).
///
/// # Safety
/// `Lock` is valid for writes, and stays valid and where it is while it is used.
pub unsafe extern "C" fn IoInitializeRemoveLockEx(
    Lock: PIO_REMOVE_LOCK,
    AllocateTag: ULONG,
    MaxLockedMinutes: ULONG,
    HighWatermark: ULONG,
    RemlockSize: ULONG,
) {
    let machine = &*begin(Ddi::IoInitializeRemoveLockEx, Lock, RemlockSize);
    let _ = (AllocateTag, MaxLockedMinutes, HighWatermark);
    machine.checked(machine.check_memory(objects::address(Lock), Use::RemoveLock));
    let held = machine.kernel.borrow().tags.is_held(Lock as usize);
    if held {
        machine.bug_check(security_check::held_remove_lock_initialised(machine.name(Lock as usize)));
    }
    let mut fresh = IO_REMOVE_LOCK_COMMON_BLOCK { IoCount: 1, ..IO_REMOVE_LOCK_COMMON_BLOCK::default() };
    fresh.RemoveEvent.Header.WaitListHead = LIST_ENTRY { Flink: mark(Lock), Blink: mark(Lock) };
    write(Lock, fresh);
}

/// Acquires a remove lock. Returns STATUS_DELETE_PENDING once [`IoReleaseRemoveLockAndWaitEx`] has
/// been called. IRQL ≤ DISPATCH_LEVEL. Bug check 0x139 (3) if `RemoveLock` is not a remove lock, or
/// was moved (`nf-wdm-ioacquireremovelock`).
///
/// # Safety
/// `RemoveLock` was initialised and is valid.
pub unsafe extern "C" fn IoAcquireRemoveLockEx(
    RemoveLock: PIO_REMOVE_LOCK,
    Tag: PVOID,
    File: *const i8,
    Line: ULONG,
    RemlockSize: ULONG,
) -> NTSTATUS {
    let ddi = Ddi::IoAcquireRemoveLockEx;
    let machine = &*enter(ddi);
    let _ = (File, Line);
    machine.refuse_remove_lock_size(ddi, RemlockSize);
    let value = machine.checked(machine.load_remove_lock(RemoveLock));
    let status = if value.Removed == 0 { STATUS_SUCCESS } else { STATUS_DELETE_PENDING };
    if value.Removed == 0 {
        write(RemoveLock, IO_REMOVE_LOCK_COMMON_BLOCK { IoCount: value.IoCount + 1, ..value });
        machine.kernel.borrow_mut().tags.acquire(RemoveLock as usize, Tag as usize);
    }
    machine.called(ddi, |machine| {
        ([machine.pointer(RemoveLock as usize)], Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Releases a remove lock. IRQL ≤ DISPATCH_LEVEL. Bug check 0x139 (14) if the lock was not acquired
/// with this tag (`nf-wdm-ioreleaseremovelock`).
///
/// # Safety
/// The same as for [`IoAcquireRemoveLockEx`].
pub unsafe extern "C" fn IoReleaseRemoveLockEx(RemoveLock: PIO_REMOVE_LOCK, Tag: PVOID, RemlockSize: ULONG) {
    let machine = &*begin(Ddi::IoReleaseRemoveLockEx, RemoveLock, RemlockSize);
    machine.checked(machine.release_remove_lock(RemoveLock, Tag as usize));
}

/// Releases the caller's acquisition of a remove lock and waits until all others have been
/// released. PASSIVE_LEVEL. Bug check 0x139 (14) on a second call, or if the lock was not acquired
/// with this tag (`nf-wdm-ioreleaseremovelockandwait`).
///
/// # Safety
/// The same as for [`IoAcquireRemoveLockEx`].
pub unsafe extern "C" fn IoReleaseRemoveLockAndWaitEx(
    RemoveLock: PIO_REMOVE_LOCK,
    Tag: PVOID,
    RemlockSize: ULONG,
) {
    let ddi = Ddi::IoReleaseRemoveLockAndWaitEx;
    let machine = &*begin(ddi, RemoveLock, RemlockSize);
    machine.checked(machine.wait_for_removal(RemoveLock, Tag as usize, ddi));
}
