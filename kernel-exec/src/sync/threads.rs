//! A pointer for each thread that is in a poll below DISPATCH_LEVEL, where a thread may be
//! preempted and continue on another processor.
//!
//! The number of threads has no bound, and a poll must not allocate. So this is a list, under a
//! spin lock, of links that lie in the blocks of the tasks that are being polled. Blocks are
//! resident. A stack is not resident while its thread waits in user mode
//! (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kewaitforsingleobject, WaitMode),
//! and other threads walk the list at DISPATCH_LEVEL.

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

/// The threads of an image that are in a poll. The last to enter comes first.
struct Threads {
    lock: KernelCell<nt::KSPIN_LOCK>,
    first: KernelCell<*const ThreadLink>,
}

// SAFETY: the list is only touched under the spin lock; its pointers are handed to their own
// threads only.
unsafe impl Sync for Threads {}

impl Threads {
    const fn new() -> Self {
        // An initialised KSPIN_LOCK is zero.
        Self { lock: KernelCell::new(0), first: KernelCell::new(ptr::null()) }
    }

    /// Calls `f` with the head of the list, under the lock. IRQL: ≤ DISPATCH_LEVEL.
    fn locked<R>(&self, f: impl FnOnce(*mut *const ThreadLink) -> R) -> R {
        // SAFETY: the lock is initialised and resident; this processor does not hold it, because
        // nothing below takes it again.
        let irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        let result = f(self.first.get());
        // SAFETY: the lock has been held since the acquire above.
        unsafe { nt::KeReleaseSpinLock(self.lock.get(), irql) };
        result
    }

    /// # Safety
    /// `link` is allocated and in no list. It is taken out before it is freed.
    unsafe fn insert(&self, link: &ThreadLink, thread: *const (), pointer: *const ()) {
        self.locked(|first| {
            // SAFETY: the lock is held, so no other code touches the list.
            let next = unsafe { first.read() };
            // SAFETY: the lock is held, so no other code touches the list.
            unsafe { link.0.get().write(Entry { thread, pointer, next }) };
            // SAFETY: the lock is held, so no other code touches the list.
            unsafe { first.write(link) };
        });
    }

    fn remove(&self, link: &ThreadLink) {
        self.locked(|mut place| {
            // SAFETY: the lock is held; `place` is the list's head, or the next pointer of a link
            // in the list, which is allocated.
            let mut current = unsafe { place.read() };
            // SAFETY: the lock is held, and a link in the list is allocated.
            while let Some(found) = unsafe { current.as_ref() } {
                let entry = found.0.get();
                // SAFETY: the lock is held, and a link in the list is allocated.
                let next = unsafe { &raw mut (*entry).next };
                // SAFETY: the lock is held, and a link in the list is allocated.
                current = unsafe { next.read() };
                if ptr::eq(found, link) {
                    // SAFETY: the lock is held; `place` is the list's head, or the next pointer of
                    // a link in the list, which is allocated.
                    return unsafe { place.write(current) };
                }
                place = next;
            }
        });
    }

    fn find(&self, thread: *const ()) -> *const () {
        self.locked(|first| {
            // SAFETY: the lock is held, so no other code touches the list.
            let mut link = unsafe { first.read() };
            // SAFETY: the lock is held, and a link in the list is allocated.
            while let Some(current) = unsafe { link.as_ref() } {
                // SAFETY: the lock is held, and a link in the list is allocated.
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

/// Calls `f`, and until it returns, [`get`] returns `pointer`. The caller is this thread, below
/// DISPATCH_LEVEL; the link is in no list.
pub(super) fn with<R>(thread: *const (), link: &ThreadLink, pointer: *const (), f: impl FnOnce() -> R) -> R {
    // SAFETY: the link is borrowed until it has been taken out below. If `f` unwinds, its poll
    // stops the machine [C12].
    with_threads(|threads| unsafe { threads.insert(link, thread, pointer) });
    let result = f();
    with_threads(|threads| threads.remove(link));
    result
}

/// Returns the pointer of the innermost [`with`] of a thread, or null. The caller is this thread.
/// IRQL: ≤ DISPATCH_LEVEL.
pub(super) fn get(thread: *const ()) -> *const () {
    with_threads(|threads| threads.find(thread))
}
