//! A pointer for each thread that is in a poll below DISPATCH_LEVEL, where a thread may be preempted and go on elsewhere.
//!
//! There is no bound to the threads, and no memory may be wanted for a poll: so this is a list, under a spin lock, of links that
//! lie in the blocks of the tasks that are being polled. Blocks are resident; a stack is not while its thread waits in a certain way
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kewaitforsingleobject, WaitMode), and others walk the list at
//! DISPATCH_LEVEL.

use core::ptr;

use super::{KernelCell, image::image_static};
use crate::nt;

/// A thread's place in the list. Only touched under the list's lock.
pub(crate) struct ThreadLink(KernelCell<Entry>);

#[derive(Clone, Copy)]
struct Entry {
    thread: *const (),
    pointer: *const (),
    next: *const ThreadLink,
}

impl ThreadLink {
    pub(crate) const fn new() -> Self {
        Self(KernelCell::new(Entry { thread: ptr::null(), pointer: ptr::null(), next: ptr::null() }))
    }
}

/// The threads of an image that are in a poll, those that entered last first.
struct Threads {
    lock: KernelCell<nt::KSPIN_LOCK>,
    first: KernelCell<*const ThreadLink>,
}

// SAFETY: the list is only touched under the spin lock; its pointers are handed to their own threads only.
unsafe impl Sync for Threads {}

impl Threads {
    const fn new() -> Self {
        // An initialised KSPIN_LOCK is zero.
        Self { lock: KernelCell::new(0), first: KernelCell::new(ptr::null()) }
    }

    /// IRQL ≤ DISPATCH_LEVEL.
    fn locked<R>(&self, f: impl FnOnce(*mut *const ThreadLink) -> R) -> R {
        // SAFETY: initialised, resident; not held by this processor, because nothing below calls back.
        let irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        let result = f(self.first.get());
        // SAFETY: held since above.
        unsafe { nt::KeReleaseSpinLock(self.lock.get(), irql) };
        result
    }

    /// # Safety
    /// `link` is allocated and in no list; it is taken out before it is freed.
    unsafe fn insert(&self, link: &ThreadLink, thread: *const (), pointer: *const ()) {
        self.locked(|first| {
            // SAFETY: under the lock.
            let next = unsafe { first.read() };
            // SAFETY: under the lock.
            unsafe { link.0.get().write(Entry { thread, pointer, next }) };
            // SAFETY: under the lock.
            unsafe { first.write(link) };
        });
    }

    fn remove(&self, link: &ThreadLink) {
        self.locked(|mut place| {
            // SAFETY: under the lock; the list's head, or the next pointer of a link that is in the list, so allocated.
            let mut current = unsafe { place.read() };
            // SAFETY: as above.
            while let Some(found) = unsafe { current.as_ref() } {
                let entry = found.0.get();
                // SAFETY: as above.
                let next = unsafe { &raw mut (*entry).next };
                // SAFETY: as above.
                current = unsafe { next.read() };
                if ptr::eq(found, link) {
                    // SAFETY: as above.
                    return unsafe { place.write(current) };
                }
                place = next;
            }
        });
    }

    fn find(&self, thread: *const ()) -> *const () {
        self.locked(|first| {
            // SAFETY: under the lock.
            let mut link = unsafe { first.read() };
            // SAFETY: under the lock, what is in the list is allocated.
            while let Some(current) = unsafe { link.as_ref() } {
                // SAFETY: as above.
                let entry = unsafe { current.0.get().read() };
                if entry.thread == thread {
                    return entry.pointer;
                }
                link = entry.next;
            }
            ptr::null()
        })
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self::new()
    }
}

image_static! {
    /// The threads of this image.
    fn with_threads -> Threads
}

/// Calls `f` while this is what [`get`] answers. The caller is this thread, below DISPATCH_LEVEL; the link is in no list.
pub(super) fn with<R>(thread: *const (), link: &ThreadLink, pointer: *const (), f: impl FnOnce() -> R) -> R {
    // SAFETY: borrowed until it has been taken out, below: if `f` unwinds, its poll stops the machine [C12].
    with_threads(|threads| unsafe { threads.insert(link, thread, pointer) });
    let result = f();
    with_threads(|threads| threads.remove(link));
    result
}

/// The pointer of the innermost [`with`] of a thread, or null. The caller is this thread. IRQL ≤ DISPATCH_LEVEL.
pub(super) fn get(thread: *const ()) -> *const () {
    with_threads(|threads| threads.find(thread))
}
