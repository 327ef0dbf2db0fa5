//! Safe wrappers of locks other than spin locks.

use core::ptr::null;

use ntsim::{ddi, types::*};

use super::{Lock, free, object};

/// A handle of an in-stack queued spin lock, in pool.
#[derive(Clone, Copy)]
pub(crate) struct Handle(pub(crate) PKLOCK_QUEUE_HANDLE);

impl Handle {
    pub(crate) fn new() -> Self {
        Self(object())
    }

    pub(crate) fn acquire(self, lock: Lock) {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeAcquireInStackQueuedSpinLock(lock.0, self.0) }
    }

    pub(crate) fn release(self) {
        // SAFETY: the handle is of an acquisition; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeReleaseInStackQueuedSpinLock(self.0) }
    }

    pub(crate) fn acquire_at_dpc_level(self, lock: Lock) {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeAcquireInStackQueuedSpinLockAtDpcLevel(lock.0, self.0) }
    }

    pub(crate) fn release_from_dpc_level(self) {
        // SAFETY: a handle of an acquisition.
        unsafe { ddi::KeReleaseInStackQueuedSpinLockFromDpcLevel(self.0) }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}

/// Rundown protection in a block of pool of its own.
#[derive(Clone, Copy)]
pub(crate) struct Rundown(pub(crate) PEX_RUNDOWN_REF);

impl Rundown {
    pub(crate) fn new() -> Self {
        let rundown = Self(object());
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::ExInitializeRundownProtection(rundown.0) };
        rundown
    }

    pub(crate) fn acquire(self) -> bool {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExAcquireRundownProtection(self.0) != 0 }
    }

    pub(crate) fn acquire_many(self, count: u32) -> bool {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExAcquireRundownProtectionEx(self.0, count) != 0 }
    }

    pub(crate) fn release(self) {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExReleaseRundownProtection(self.0) }
    }

    pub(crate) fn release_many(self, count: u32) {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExReleaseRundownProtectionEx(self.0, count) }
    }

    pub(crate) fn wait(self) {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExWaitForRundownProtectionRelease(self.0) }
    }

    pub(crate) fn completed(self) {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExRundownCompleted(self.0) }
    }

    pub(crate) fn reinitialize(self) {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExReInitializeRundownProtection(self.0) }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}

/// A fast mutex in a block of pool of its own.
#[derive(Clone, Copy)]
pub(crate) struct FastMutex(pub(crate) PFAST_MUTEX);

impl FastMutex {
    pub(crate) fn new() -> Self {
        let mutex = Self(object());
        mutex.initialize();
        mutex
    }

    pub(crate) fn initialize(self) {
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::ExInitializeFastMutex(self.0) }
    }

    pub(crate) fn acquire(self) {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::ExAcquireFastMutex(self.0) }
    }

    pub(crate) fn try_acquire(self) -> bool {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExTryToAcquireFastMutex(self.0) != 0 }
    }

    pub(crate) fn release(self) {
        // SAFETY: the object is initialised.
        unsafe { ddi::ExReleaseFastMutex(self.0) }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}

/// A remove lock in a block of pool of its own.
#[derive(Clone, Copy)]
pub(crate) struct RemoveLock(pub(crate) PIO_REMOVE_LOCK);

const SIZE: u32 = size_of::<IO_REMOVE_LOCK>() as u32;

fn tag(tag: usize) -> PVOID {
    core::ptr::without_provenance_mut(tag)
}

impl RemoveLock {
    pub(crate) fn new() -> Self {
        let lock = Self(object());
        lock.initialize(SIZE);
        lock
    }

    pub(crate) fn initialize(self, size: u32) {
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::IoInitializeRemoveLockEx(self.0, super::TAG, 0, 0, size) }
    }

    pub(crate) fn acquire(self, with: usize) -> NTSTATUS {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoAcquireRemoveLockEx(self.0, tag(with), null(), 0, SIZE) }
    }

    pub(crate) fn release(self, with: usize) {
        // SAFETY: the object is initialised.
        unsafe { ddi::IoReleaseRemoveLockEx(self.0, tag(with), SIZE) }
    }

    pub(crate) fn release_and_wait(self, with: usize) {
        // SAFETY: the object is initialised.
        unsafe { ddi::IoReleaseRemoveLockAndWaitEx(self.0, tag(with), SIZE) }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}
