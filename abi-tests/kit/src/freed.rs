//! Detection of writes to freed memory. While the kit watches, it fills a freed block and keeps it,
//! and at the end the block must be unchanged. This finds a library that uses an operation after
//! its last reference has gone, whatever the memory is used for next.
//!
//! This program's `free` comes before the C library's, and the library under test uses it too. It
//! calls the next `free`, which may be a sanitizer's. A sanitizer finds such uses by itself, and
//! then no block is kept.

use core::{
    ffi::c_void,
    mem::transmute,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst},
};

/// The byte with which a kept block is filled.
const FREED: u8 = 0xA5;
/// The largest number of blocks that are kept.
const MOST: usize = 4096;

static WATCHES: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: [AtomicPtr<u8>; MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST];

/// The state of the next `free`. It is unknown, being looked up, or its address.
static NEXT: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = 0;
const ASKED: usize = 1;

type Free = unsafe extern "C" fn(*mut c_void);

/// The `free` after this program's. `None` while it is being looked up.
fn next() -> Option<Free> {
    if NEXT.compare_exchange(UNKNOWN, ASKED, SeqCst, SeqCst).is_ok() {
        // SAFETY: the name is null-terminated.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"free".as_ptr()) };
        NEXT.store(found.addr().max(ASKED), SeqCst);
    }
    match NEXT.load(SeqCst) {
        UNKNOWN | ASKED => None,
        // SAFETY: a function of the name `free` has this type.
        address => Some(unsafe { transmute::<usize, Free>(address) }),
    }
}

/// Frees a block, or keeps it while the kit watches.
///
/// # Safety
/// The caller promises the same as for the C library's `free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    // A block that is freed during the lookup is not freed.
    let Some(next) = next() else { return };
    if block.is_null() || !WATCHES.load(SeqCst) || !keep(block.cast()) {
        // SAFETY: the caller owns the block and gives it up.
        unsafe { next(block) };
    }
}

/// Fills a block and keeps it. False if there is no room.
fn keep(block: *mut u8) -> bool {
    let number = COUNT.fetch_add(1, SeqCst);
    let Some(place) = BLOCKS.get(number) else { return false };
    // SAFETY: the caller of `free` owns this block.
    let size = unsafe { libc::malloc_usable_size(block.cast()) };
    // SAFETY: the block has this number of bytes.
    unsafe { block.write_bytes(FREED, size) };
    place.store(block, SeqCst);
    true
}

/// Does some work. Returns the number of the blocks freed meanwhile that were written afterwards.
pub(crate) fn written_after<R>(work: impl FnOnce() -> R) -> (R, usize) {
    COUNT.store(0, SeqCst);
    WATCHES.store(!has_sanitizer(), SeqCst);
    let answer = work();
    WATCHES.store(false, SeqCst);
    let mut written = 0;
    for place in BLOCKS.iter().take(COUNT.load(SeqCst)) {
        let block = place.swap(ptr::null_mut(), SeqCst);
        if !block.is_null() {
            written += usize::from(!is_as_filled(block));
            // SAFETY: `keep` kept the block, and the swap has made this call its only owner.
            unsafe { free(block.cast()) };
        }
    }
    (answer, written)
}

fn is_as_filled(block: *mut u8) -> bool {
    // SAFETY: the block is kept, so it is allocated.
    let size = unsafe { libc::malloc_usable_size(block.cast()) };
    // SAFETY: `keep` has filled this number of bytes.
    let bytes = unsafe { core::slice::from_raw_parts(block, size) };
    bytes.iter().all(|byte| *byte == FREED)
}

/// Whether the runtime of AddressSanitizer is loaded. It manages its own blocks.
fn has_sanitizer() -> bool {
    // SAFETY: the name is null-terminated.
    !unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__asan_init".as_ptr()) }.is_null()
}

#[cfg(test)]
mod tests {
    use super::written_after;

    #[test]
    fn a_write_after_free_is_seen_and_nothing_else_is() {
        let use_block = |after: bool| {
            // SAFETY: `malloc` accepts any size.
            let block = unsafe { libc::malloc(100) }.cast::<u8>();
            // SAFETY: the block has 100 bytes.
            unsafe { block.wrapping_add(40).write(1) };
            // SAFETY: the block is freed once.
            unsafe { libc::free(block.cast()) };
            if after {
                // SAFETY: this is a use after free. The kit keeps the block while it watches, so
                // the memory is still allocated.
                unsafe { block.wrapping_add(40).write(2) };
            }
            drop(vec![1_u8; 500]);
        };
        assert_eq!(written_after(|| use_block(false)).1, 0);
        assert_eq!(written_after(|| use_block(true)).1, 1);
        assert_eq!(written_after(|| ()).1, 0);
    }
}
