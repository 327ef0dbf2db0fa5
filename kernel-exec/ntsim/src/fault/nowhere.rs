//! Hosts without fault handling in ntsim: a fault ends the process.

/// Room for a thread that leaves its coroutine: nothing.
#[derive(Debug, Default)]
pub(crate) struct Aside;

/// What looks whether a run makes progress: nothing.
#[derive(Debug, Default)]
pub(crate) struct Watch;

impl Watch {
    /// Nothing.
    pub(crate) fn set(&self, _limit: core::time::Duration) {}
}

/// # Panics
/// With special pool.
#[expect(clippy::panic, reason = "the simulation says so")]
pub(crate) fn prepare(special_pool: bool) {
    if special_pool {
        panic!("ntsim: special pool is for x86-64 Linux hosts");
    }
}

/// Nothing.
pub(crate) fn protect(_address: *mut u8, _size: usize, _open: bool) {}

/// The host reserves no addresses.
pub(crate) fn reserve(_size: usize) -> Option<core::ptr::NonNull<u8>> {
    None
}

/// Nothing.
pub(crate) fn close(_address: *mut u8, _size: usize) {}
