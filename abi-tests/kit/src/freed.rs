//! Memory that is written after it has been freed. While the kit watches, a block that is freed is
//! filled and kept; at the end it must be as it was filled. So a library is found out that uses an
//! operation after its last reference has gone, whatever its memory is used for next.
//!
//! This program's `free` comes before the C library's, for the library under test, too. It hands on
//! to the next one, which may be a sanitizer's: that finds such uses by itself, and nothing is kept
//! then.

use core::{
    ffi::c_void,
    mem::transmute,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst},
};

/// What a block that is kept is filled with.
const FREED: u8 = 0xA5;
/// Most blocks that are kept.
const MOST: usize = 4096;

static WATCHES: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: [AtomicPtr<u8>; MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST];

/// The next `free`: not asked for yet, being asked for, or its address.
static NEXT: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = 0;
const ASKED: usize = 1;

type Free = unsafe extern "C" fn(*mut c_void);

/// The next `free` after this program's. None while it is being asked for.
fn next() -> Option<Free> {
    if NEXT.compare_exchange(UNKNOWN, ASKED, SeqCst, SeqCst).is_ok() {
        // SAFETY: a name that ends with 0.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"free".as_ptr()) };
        NEXT.store(found.addr().max(ASKED), SeqCst);
    }
    match NEXT.load(SeqCst) {
        UNKNOWN | ASKED => None,
        // SAFETY: by its name this function has this type.
        address => Some(unsafe { transmute::<usize, Free>(address) }),
    }
}

/// Frees a block, or keeps it while the kit watches.
///
/// # Safety
/// As for the C library's `free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    // What is freed while the next `free` is asked for is left as it is.
    let Some(next) = next() else { return };
    if block.is_null() || !WATCHES.load(SeqCst) || !keep(block.cast()) {
        // SAFETY: this function's contract.
        unsafe { next(block) };
    }
}

/// Fills a block and keeps it. False: there is no room.
fn keep(block: *mut u8) -> bool {
    let number = COUNT.fetch_add(1, SeqCst);
    let Some(place) = BLOCKS.get(number) else { return false };
    // SAFETY: the caller of `free` owns this block.
    let size = unsafe { libc::malloc_usable_size(block.cast()) };
    // SAFETY: so many bytes are the block's.
    unsafe { block.write_bytes(FREED, size) };
    place.store(block, SeqCst);
    true
}

/// Does something, and tells how many of the blocks that were freed meanwhile have been written
/// afterwards.
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
    // SAFETY: a block that is kept.
    let size = unsafe { libc::malloc_usable_size(block.cast()) };
    // SAFETY: as `keep` has filled it.
    let bytes = unsafe { core::slice::from_raw_parts(block, size) };
    bytes.iter().all(|byte| *byte == FREED)
}

/// Whether the runtime of AddressSanitizer is loaded. Its blocks are its own.
fn has_sanitizer() -> bool {
    // SAFETY: a name that ends with 0.
    !unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__asan_init".as_ptr()) }.is_null()
}

#[cfg(test)]
mod tests {
    use super::written_after;

    #[test]
    fn a_write_after_free_is_seen_and_nothing_else_is() {
        let use_block = |after: bool| {
            // SAFETY: any size.
            let block = unsafe { libc::malloc(100) }.cast::<u8>();
            // SAFETY: the block has 100 bytes.
            unsafe { block.wrapping_add(40).write(1) };
            // SAFETY: the block, once.
            unsafe { libc::free(block.cast()) };
            if after {
                // SAFETY: none; but the block is kept while it is watched.
                unsafe { block.wrapping_add(40).write(2) };
            }
            drop(vec![1_u8; 500]);
        };
        assert_eq!(written_after(|| use_block(false)).1, 0);
        assert_eq!(written_after(|| use_block(true)).1, 1);
        assert_eq!(written_after(|| ()).1, 0);
    }
}
