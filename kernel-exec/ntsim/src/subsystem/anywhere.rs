//! Reads and writes at addresses that a driver has passed, whatever they are.

/// A value at any address, aligned or not.
///
/// In a build with debug assertions, std's `read_unaligned` and `write_unaligned` check for null
/// and abort the process. These accesses fault instead, and the run ends with that fault.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Anywhere<T>(T);

/// Reads a value from any address.
///
/// # Safety
/// `place` is valid for a read, or the access faults; it needs no alignment.
pub(crate) unsafe fn read<T: Copy>(place: *const T) -> T {
    // SAFETY: the caller promises that `place` is readable or faults; a packed struct has no
    // alignment.
    unsafe { place.cast::<Anywhere<T>>().read() }.0
}

/// Writes a value to any address.
///
/// # Safety
/// `place` is valid for a write, or the access faults; it needs no alignment.
pub(crate) unsafe fn write<T>(place: *mut T, value: T) {
    // SAFETY: the caller promises that `place` is writable or faults; a packed struct has no
    // alignment.
    unsafe { place.cast::<Anywhere<T>>().write(Anywhere(value)) }
}
