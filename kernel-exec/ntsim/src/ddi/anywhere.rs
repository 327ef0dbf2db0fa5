//! Reads and writes of what a driver has passed, wherever it is.

/// A value at any address, aligned or not.
///
/// std's `read_unaligned` and `write_unaligned` look for null in a build with debug assertions, and end the
/// process there. These accesses fault, which the run ends with.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Anywhere<T>(T);

/// # Safety
/// `place` is valid for a read, or the access faults; it needs no alignment.
pub(super) unsafe fn read<T: Copy>(place: *const T) -> T {
    // SAFETY: by this function's contract; a packed struct has no alignment.
    unsafe { place.cast::<Anywhere<T>>().read() }.0
}

/// # Safety
/// `place` is valid for a write, or the access faults; it needs no alignment.
pub(super) unsafe fn write<T>(place: *mut T, value: T) {
    // SAFETY: by this function's contract; a packed struct has no alignment.
    unsafe { place.cast::<Anywhere<T>>().write(Anywhere(value)) }
}
