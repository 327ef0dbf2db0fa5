//! Locks other than spin locks.

use core::ptr::null_mut;

use super::{BOOLEAN, KEVENT, KIRQL, LONG, PKSPIN_LOCK, PKTHREAD, PVOID, ULONG, ULONG_PTR};

/// A link of the queue for an in-stack queued spin lock.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _KSPIN_LOCK_QUEUE {
    pub(crate) Next: PVOID,
    pub(crate) Lock: PKSPIN_LOCK,
}
/// A link of the queue for an in-stack queued spin lock.
pub type KSPIN_LOCK_QUEUE = _KSPIN_LOCK_QUEUE;

/// The handle that the holder of an in-stack queued spin lock has on its stack.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _KLOCK_QUEUE_HANDLE {
    pub(crate) LockQueue: KSPIN_LOCK_QUEUE,
    pub(crate) OldIrql: KIRQL,
}
/// The handle that the holder of an in-stack queued spin lock has on its stack.
pub type KLOCK_QUEUE_HANDLE = _KLOCK_QUEUE_HANDLE;
/// A pointer to a queue handle.
pub type PKLOCK_QUEUE_HANDLE = *mut KLOCK_QUEUE_HANDLE;

impl Default for _KLOCK_QUEUE_HANDLE {
    /// All zero, for no lock.
    fn default() -> Self {
        Self { LockQueue: KSPIN_LOCK_QUEUE { Next: null_mut(), Lock: null_mut() }, OldIrql: 0 }
    }
}

/// Rundown protection. The count is twice the number of acquisitions, and one more once rundown has
/// begun.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct _EX_RUNDOWN_REF {
    pub(crate) Count: ULONG_PTR,
}
/// Rundown protection.
pub type EX_RUNDOWN_REF = _EX_RUNDOWN_REF;
/// A pointer to rundown protection.
pub type PEX_RUNDOWN_REF = *mut EX_RUNDOWN_REF;

/// A fast mutex.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _FAST_MUTEX {
    pub(crate) Count: LONG,
    pub(crate) Owner: PKTHREAD,
    pub(crate) Contention: ULONG,
    pub(crate) Event: KEVENT,
    pub(crate) OldIrql: ULONG,
}
/// A fast mutex.
pub type FAST_MUTEX = _FAST_MUTEX;
/// A pointer to a fast mutex.
pub type PFAST_MUTEX = *mut FAST_MUTEX;

impl Default for _FAST_MUTEX {
    /// All zero, which is not initialised.
    fn default() -> Self {
        Self { Count: 0, Owner: null_mut(), Contention: 0, Event: KEVENT::default(), OldIrql: 0 }
    }
}

/// A remove lock's fields in every build.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct _IO_REMOVE_LOCK_COMMON_BLOCK {
    pub(crate) Removed: BOOLEAN,
    pub(crate) Reserved: [BOOLEAN; 3],
    pub(crate) IoCount: LONG,
    pub(crate) RemoveEvent: KEVENT,
}
/// A remove lock's fields in every build.
pub type IO_REMOVE_LOCK_COMMON_BLOCK = _IO_REMOVE_LOCK_COMMON_BLOCK;

/// A remove lock, as free builds have it.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct _IO_REMOVE_LOCK {
    pub(crate) Common: IO_REMOVE_LOCK_COMMON_BLOCK,
}
/// A remove lock.
pub type IO_REMOVE_LOCK = _IO_REMOVE_LOCK;
/// A pointer to a remove lock.
pub type PIO_REMOVE_LOCK = *mut IO_REMOVE_LOCK;

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<KLOCK_QUEUE_HANDLE>() == 24 && offset_of!(KLOCK_QUEUE_HANDLE, OldIrql) == 16);
    assert!(size_of::<EX_RUNDOWN_REF>() == 8);
    assert!(size_of::<FAST_MUTEX>() == 56 && offset_of!(FAST_MUTEX, Event) == 24);
    assert!(offset_of!(FAST_MUTEX, Owner) == 8 && offset_of!(FAST_MUTEX, OldIrql) == 48);
    assert!(size_of::<IO_REMOVE_LOCK>() == 32 && offset_of!(IO_REMOVE_LOCK_COMMON_BLOCK, RemoveEvent) == 8);
};
