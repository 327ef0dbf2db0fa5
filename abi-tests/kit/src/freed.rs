//! Memory that is used after it has been freed. While the kit watches, each new block has pages of
//! its own, which are closed when it is freed: a read or a write is a fault, and ends the process
//! with a word about it. A block of before that is freed meanwhile is filled and kept; at the end it
//! must be as it was filled. So a library is found out that uses an operation after its last
//! reference has gone, where its memory is the C library's.
//!
//! A sanitizer finds such uses by itself, and its blocks are its own: nothing is watched then.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst},
};

use crate::pages::{self, Fault};

/// What a block that is kept is filled with.
const FREED: u8 = 0xA5;
/// Most blocks that are kept.
const MOST: usize = 4096;

static WATCHES: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: [AtomicPtr<u8>; MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST];

/// What the lines begin with that a fault leaves in the standard error.
pub(crate) const SAYS: &str = "ntcom-kit: ";

/// The kit watches: new blocks have pages of their own.
pub(crate) fn watches() -> bool {
    WATCHES.load(SeqCst)
}

/// Whether a block that is freed is kept instead.
pub(crate) fn keeps(block: *mut u8) -> bool {
    watches() && keep(block)
}

/// Writes a line, in a handler of a signal as well.
fn tell(line: &str) {
    for text in [SAYS, line, "\n"] {
        // SAFETY: so many bytes of a text. What cannot be written is missing in a report, no more.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }
}

/// Ends the process: a block has been freed that was.
pub(crate) fn is_freed_twice() -> ! {
    tell("memory is freed that has been freed");
    // SAFETY: it may be called at any time.
    unsafe { libc::abort() }
}

/// A fault while the kit watches: says what it was, and lets it happen again without the kit.
extern "C" fn faulted(signal: i32, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the system's description of this fault.
    let info = unsafe { &*info };
    // SAFETY: this signal's description has an address.
    let address = unsafe { info.si_addr() };
    match pages::fault(address.cast()) {
        Some(Fault::Freed) => tell("memory is used after it has been freed"),
        Some(Fault::Outside) => tell("memory is used beyond the end of its block"),
        None => {}
    }
    // SAFETY: the default for this signal.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Has [`faulted`] called for faults; what was called before.
fn catch() -> libc::sigaction {
    // SAFETY: a structure of integers and optional pointers.
    let (mut new, mut old): (libc::sigaction, libc::sigaction) = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) = faulted;
    new.sa_sigaction = handler as usize;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both are good.
    unsafe { libc::sigaction(libc::SIGSEGV, &raw const new, &raw mut old) };
    old
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
    if has_sanitizer() {
        return (work(), 0);
    }
    COUNT.store(0, SeqCst);
    let before = catch();
    WATCHES.store(true, SeqCst);
    let answer = work();
    WATCHES.store(false, SeqCst);
    // SAFETY: what `catch` found.
    unsafe { libc::sigaction(libc::SIGSEGV, &raw const before, ptr::null_mut()) };
    let mut written = 0;
    for place in BLOCKS.iter().take(COUNT.load(SeqCst)) {
        let block = place.swap(ptr::null_mut(), SeqCst);
        if !block.is_null() {
            written += usize::from(!is_as_filled(block));
            // SAFETY: `keep` kept the block, and the swap has made this call its only owner.
            unsafe { libc::free(block.cast()) };
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
        // SAFETY: any size.
        let new = || unsafe { libc::malloc(100) }.cast::<u8>();
        let use_block = |block: *mut u8, after: bool| {
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
        let block = new();
        assert_eq!(written_after(|| use_block(block, false)).1, 0);
        let block = new();
        assert_eq!(written_after(|| use_block(block, true)).1, 1);
        assert_eq!(written_after(|| ()).1, 0);
    }
}
