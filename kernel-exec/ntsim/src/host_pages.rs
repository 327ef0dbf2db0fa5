//! The host's pages: opens, closes and reserves them.

use core::ptr::NonNull;

use crate::asan;

/// Opens or closes pages.
pub(crate) fn protect(address: *mut u8, size: usize, open: bool) {
    let protection = if open { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_NONE };
    // SAFETY: these are pages of the arena or of a stack's guard. They are accessed through raw
    // pointers only, and an access to them while they are closed stops the run.
    let failed = unsafe { libc::mprotect(address.cast(), size, protection) };
    assert_eq!(failed, 0, "ntsim: the host does not let pages be protected");
}

/// Reserves addresses that cannot be accessed; none where the host refuses, and with
/// AddressSanitizer: LeakSanitizer looks for pointers in what the allocator has, only.
pub(crate) fn reserve(size: usize) -> Option<NonNull<u8>> {
    if asan::ENABLED {
        return None;
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: addresses that the host chooses.
    let memory = unsafe { libc::mmap(core::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
    if memory == libc::MAP_FAILED { None } else { NonNull::new(memory.cast()) }
}

/// Closes addresses that [`reserve`] has reserved, as they were then: closed neighbours are one
/// mapping of the host's.
pub(crate) fn close(address: *mut u8, size: usize) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: whole pages of a reservation that nothing uses any more.
    let memory = unsafe { libc::mmap(address.cast(), size, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED, "ntsim: the host does not let pages be closed");
}
