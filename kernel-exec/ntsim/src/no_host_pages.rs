//! Hosts on which ntsim neither closes nor reserves pages.

/// Does nothing.
pub(crate) fn protect(_address: *mut u8, _size: usize, _open: bool) {}

/// The host reserves no addresses.
pub(crate) fn reserve(_size: usize) -> Option<core::ptr::NonNull<u8>> {
    None
}

/// Does nothing.
pub(crate) fn close(_address: *mut u8, _size: usize) {}
