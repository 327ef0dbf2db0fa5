//! Reports to AddressSanitizer about pool memory, so that it detects a use after free or an overrun
//! itself.

/// True in builds with AddressSanitizer.
pub(crate) const ENABLED: bool = cfg!(feature = "sanitizer");

#[cfg(feature = "sanitizer")]
mod runtime {
    use core::ffi::c_void;

    unsafe extern "C" {
        pub(super) fn __asan_poison_memory_region(address: *const c_void, size: usize);
        pub(super) fn __asan_unpoison_memory_region(address: *const c_void, size: usize);
        pub(super) fn __asan_handle_no_return();
    }
}

/// Closes these bytes to every access.
#[cfg(feature = "sanitizer")]
pub(crate) fn poison(address: *const u8, size: usize) {
    // SAFETY: the call only marks the range, which belongs to the arena.
    unsafe { runtime::__asan_poison_memory_region(address.cast(), size) }
}

/// Opens these bytes to accesses.
#[cfg(feature = "sanitizer")]
pub(crate) fn unpoison(address: *const u8, size: usize) {
    // SAFETY: the call only marks the range, which belongs to the arena or to a stack.
    unsafe { runtime::__asan_unpoison_memory_region(address.cast(), size) }
}

/// Says that frames of this thread may end without returning.
#[cfg(feature = "sanitizer")]
pub(crate) fn leave_frames() {
    // SAFETY: the call only opens the redzones on this thread's stack.
    unsafe { runtime::__asan_handle_no_return() }
}

/// Says that frames of this thread may end without returning.
#[cfg(not(feature = "sanitizer"))]
#[inline(always)]
pub(crate) fn leave_frames() {}

/// Closes these bytes to every access.
#[cfg(not(feature = "sanitizer"))]
#[inline(always)]
pub(crate) fn poison(_address: *const u8, _size: usize) {}

/// Opens these bytes to accesses.
#[cfg(not(feature = "sanitizer"))]
#[inline(always)]
pub(crate) fn unpoison(_address: *const u8, _size: usize) {}
