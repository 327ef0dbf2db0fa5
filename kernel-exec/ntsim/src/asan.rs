//! What AddressSanitizer is told about pool memory, so that it reports a use after free or an overrun itself.

/// True in builds with AddressSanitizer.
pub(crate) const ENABLED: bool = cfg!(feature = "sanitizer");

#[cfg(feature = "sanitizer")]
mod runtime {
    use core::ffi::c_void;

    unsafe extern "C" {
        pub(super) fn __asan_poison_memory_region(address: *const c_void, size: usize);
        pub(super) fn __asan_unpoison_memory_region(address: *const c_void, size: usize);
    }
}

/// Nobody may touch these bytes.
#[cfg(feature = "sanitizer")]
pub(crate) fn poison(address: *const u8, size: usize) {
    // SAFETY: only marks the range, which is the arena's.
    unsafe { runtime::__asan_poison_memory_region(address.cast(), size) }
}

/// These bytes may be touched.
#[cfg(feature = "sanitizer")]
pub(crate) fn unpoison(address: *const u8, size: usize) {
    // SAFETY: only marks the range, which is the arena's.
    unsafe { runtime::__asan_unpoison_memory_region(address.cast(), size) }
}

/// Nobody may touch these bytes.
#[cfg(not(feature = "sanitizer"))]
#[inline(always)]
pub(crate) fn poison(_address: *const u8, _size: usize) {}

/// These bytes may be touched.
#[cfg(not(feature = "sanitizer"))]
#[inline(always)]
pub(crate) fn unpoison(_address: *const u8, _size: usize) {}
