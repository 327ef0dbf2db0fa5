//! Detection of uses of freed memory.
//!
//! While the kit watches, each new block has pages of its own, which `free` closes. A later read or
//! write is a fault, which ends the process with a message. The kit fills and keeps an older block
//! that is freed meanwhile, and at the end the block must be unchanged. This finds a library that
//! uses an operation after its last reference has gone, if the library's memory is from the C
//! library.
//!
//! A sanitizer finds such uses by itself, and has blocks of its own, so the kit does not watch
//! then.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst},
};

use crate::pages::{self, Fault};

/// The byte with which a kept block is filled.
const FREED: u8 = 0xA5;
/// The largest number of blocks that are kept.
const MOST: usize = 4096;

/// The thread that watches, as `pthread_self` names it, or 0. Other threads of the process allocate
/// and free as usual: their blocks are not the library's.
static WATCHER: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: [AtomicPtr<u8>; MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST];

/// The beginning of each line that this module writes to the standard error.
pub(crate) const SAYS: &str = "ntcom-kit: ";

/// Whether the kit watches this thread, and its new blocks have pages of their own.
pub(crate) fn watches() -> bool {
    let watcher = WATCHER.load(SeqCst);
    watcher != 0 && watcher == this_thread()
}

fn this_thread() -> usize {
    // SAFETY: every thread may ask for its name.
    unsafe { libc::pthread_self() as usize }
}

/// Keeps a block that is to be freed, while the kit watches. False if the block is not kept.
pub(crate) fn keeps(block: *mut u8) -> bool {
    watches() && keep(block)
}

/// Writes a line. A handler of a signal may call it.
fn tell(line: &str) {
    for text in [SAYS, line, "\n"] {
        // SAFETY: the text has so many bytes. A failed write only leaves the report without the
        // line.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }
}

/// Ends the process, because a block has been freed twice.
pub(crate) fn is_freed_twice() -> ! {
    tell("memory is freed that has been freed");
    // SAFETY: `abort` may be called at any time.
    unsafe { libc::abort() }
}

/// Handles a fault while the kit watches. It reports the fault, which then happens again and ends
/// the process.
extern "C" fn faulted(signal: i32, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the system passes a description of this fault.
    let info = unsafe { &*info };
    // SAFETY: the description of SIGSEGV has an address.
    let address = unsafe { info.si_addr() };
    match pages::fault(address.cast()) {
        Some(Fault::Freed) => tell("memory is used after it has been freed"),
        Some(Fault::Outside) => tell("memory is used beyond the end of its block"),
        None => {}
    }
    // SAFETY: every signal has a default action.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Installs [`faulted`] and returns the action before.
fn catch() -> libc::sigaction {
    // SAFETY: the structure has integers and optional pointers, for which zeros are values.
    let (mut new, mut old): (libc::sigaction, libc::sigaction) = unsafe { core::mem::zeroed() };
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) = faulted;
    new.sa_sigaction = handler as usize;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both actions are local.
    unsafe { libc::sigaction(libc::SIGSEGV, &raw const new, &raw mut old) };
    old
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

/// Does some work. Returns the number of the blocks that this thread freed meanwhile and that were
/// written afterwards.
pub(crate) fn written_after<R>(work: impl FnOnce() -> R) -> (R, usize) {
    if has_sanitizer() {
        return (work(), 0);
    }
    // The first call looks the C library's function up, and `dlsym` frees the text of its last
    // error. While the kit watches, that block would be freed before its size can be asked for.
    // SAFETY: null is no block, and has no bytes.
    unsafe { libc::malloc_usable_size(ptr::null_mut()) };
    COUNT.store(0, SeqCst);
    let before = catch();
    WATCHER.store(this_thread(), SeqCst);
    let answer = work();
    WATCHER.store(0, SeqCst);
    // SAFETY: `catch` has returned this action.
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
        // SAFETY: `malloc` accepts any size.
        let new = || unsafe { libc::malloc(100) }.cast::<u8>();
        let use_block = |block: *mut u8, after: bool| {
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
        let block = new();
        assert_eq!(written_after(|| use_block(block, false)).1, 0);
        let block = new();
        assert_eq!(written_after(|| use_block(block, true)).1, 1);
        assert_eq!(written_after(|| ()).1, 0);
    }
}
