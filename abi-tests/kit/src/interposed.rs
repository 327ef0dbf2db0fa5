//! This program's functions for memory.
//!
//! They come before the C library's, and the library under test uses them too. Each calls the next
//! function of its name, which may be a sanitizer's. While the kit watches, blocks have pages of
//! their own.

use core::{
    ffi::{CStr, c_void},
    mem::transmute_copy,
    ptr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use crate::{freed, pages};

/// The next function of a name. It is unknown, being looked up, or its address.
struct Next(AtomicUsize, &'static CStr);

const UNKNOWN: usize = 0;
const ASKED: usize = 1;

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self(AtomicUsize::new(UNKNOWN), name)
    }

    /// The function. `None` while it is being looked up.
    ///
    /// # Safety
    /// A function of this name has the type `F`.
    unsafe fn get<F: Copy>(&self) -> Option<F> {
        if self.0.compare_exchange(UNKNOWN, ASKED, SeqCst, SeqCst).is_ok() {
            // SAFETY: the name is null-terminated.
            let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.1.as_ptr()) };
            self.0.store(found.addr().max(ASKED), SeqCst);
        }
        match self.0.load(SeqCst) {
            UNKNOWN | ASKED => None,
            // SAFETY: the address is of a function that has the type `F`, as the caller promises.
            address => Some(unsafe { transmute_copy::<usize, F>(&address) }),
        }
    }
}

type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Two = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type Size = unsafe extern "C" fn(*mut c_void) -> usize;

static MALLOC: Next = Next::new(c"malloc");
static CALLOC: Next = Next::new(c"calloc");
static REALLOC: Next = Next::new(c"realloc");
static ALIGNED_ALLOC: Next = Next::new(c"aligned_alloc");
static FREE: Next = Next::new(c"free");
static USABLE: Next = Next::new(c"malloc_usable_size");

/// Allocates a block on pages of its own while the kit watches, and while the next function is
/// being looked up. Otherwise the next function allocates it.
fn allocate(size: usize, align: usize, next: impl FnOnce() -> Option<*mut c_void>) -> *mut c_void {
    let own = freed::watches().then(|| pages::allocate(size, align)).flatten();
    let given = own.map(<*mut u8>::cast).or_else(next);
    given.or_else(|| pages::allocate(size, align).map(<*mut u8>::cast)).unwrap_or(ptr::null_mut())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: by its name it has this type, and takes any size.
    allocate(size, 1, || unsafe { MALLOC.get::<Malloc>() }.map(|next| unsafe { next(size) }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { return ptr::null_mut() };
    // SAFETY: the C library's `calloc` has this type, and takes any sizes.
    allocate(bytes, 1, || unsafe { CALLOC.get::<Two>() }.map(|next| unsafe { next(count, size) }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    let next = || {
        // SAFETY: the C library's `aligned_alloc` has this type.
        let next = unsafe { ALIGNED_ALLOC.get::<Two>() }?;
        // SAFETY: it answers null to an alignment or size that it refuses.
        Some(unsafe { next(align, size) })
    };
    if align.is_power_of_two() { allocate(size, align, next) } else { next().unwrap_or(ptr::null_mut()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> i32 {
    if !align.is_power_of_two() || align < size_of::<usize>() {
        return libc::EINVAL;
    }
    // SAFETY: a power of two.
    let block = unsafe { aligned_alloc(align, size) };
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller passes a writable `out`.
    unsafe { out.write(block) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        // SAFETY: any size.
        return unsafe { malloc(size) };
    }
    let Some(old) = pages::size(block.cast()) else {
        // SAFETY: by its name it has this type.
        let next = unsafe { REALLOC.get::<Realloc>() };
        // SAFETY: the caller owns `block`, which the next allocator made.
        return next.map_or(ptr::null_mut(), |next| unsafe { next(block, size) });
    };
    // SAFETY: any size.
    let new = unsafe { malloc(size) };
    if !new.is_null() {
        // SAFETY: both blocks have so many bytes, and one is new.
        unsafe { new.cast::<u8>().copy_from_nonoverlapping(block.cast(), old.min(size)) };
        // SAFETY: the caller owns `block` and gives it up to `realloc`.
        unsafe { free(block) };
    }
    new
}

#[unsafe(no_mangle)]
unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    // SAFETY: the caller owns `block`, and gives it up if this succeeds.
    count.checked_mul(size).map_or(ptr::null_mut(), |size| unsafe { realloc(block, size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    pages::size(block.cast()).unwrap_or_else(|| {
        // SAFETY: by its name it has this type.
        let next = unsafe { USABLE.get::<Size>() };
        // SAFETY: the caller's block, which is the next function's, or null.
        next.map_or(0, |next| unsafe { next(block) })
    })
}

/// Frees a block: closes its pages, or keeps it while the kit watches.
///
/// # Safety
/// As for the C library's `free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    match pages::free(block.cast()) {
        Some(true) => {}
        Some(false) => freed::is_freed_twice(),
        None if block.is_null() || freed::keeps(block.cast()) => {}
        // SAFETY: by its name it has this type. What is freed while it is asked for is left as it
        // is.
        None => unsafe { FREE.get::<Free>() }.into_iter().for_each(|next| {
            // SAFETY: the caller of `free` owns `block`, which the next allocator made.
            unsafe { next(block) }
        }),
    }
}
