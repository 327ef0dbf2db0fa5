//! Hosts on which ntsim does not handle faults, so that a fault ends the process.

/// The stack for a thread that leaves its coroutine. Empty on these hosts.
#[derive(Debug, Default)]
pub(crate) struct Aside;

/// The watch for runs without progress. It does not watch on these hosts.
#[derive(Debug, Default)]
pub(crate) struct Watch;

impl Watch {
    /// Does nothing.
    pub(crate) fn set(&self, _limit: core::time::Duration) {}
}

/// Checks that special pool is off, because these hosts do not support it.
///
/// # Panics
/// Panics with special pool.
#[expect(clippy::panic, reason = "the simulation says so")]
pub(crate) fn prepare(special_pool: bool) {
    if special_pool {
        panic!("ntsim: special pool is for x86-64 Linux hosts");
    }
}

/// Does nothing.
pub(crate) fn protect(_address: *mut u8, _size: usize, _open: bool) {}

/// The host reserves no addresses.
pub(crate) fn reserve(_size: usize) -> Option<core::ptr::NonNull<u8>> {
    None
}

/// Does nothing.
pub(crate) fn close(_address: *mut u8, _size: usize) {}
