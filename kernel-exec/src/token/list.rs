//! Circular lists of links, under the lock of a token's tree.
//!
//! A head is a link in a list of its own. A link is the first field of its container, so a pointer
//! to the container is a pointer to the link, and the other way round.

use core::ptr;

use crate::sync::KernelCell;

/// A place in a list, or the head of one. It stays where it is while it is in a list.
pub(super) struct Link(KernelCell<Ends>);

#[derive(Clone, Copy)]
struct Ends {
    previous: *const Link,
    next: *const Link,
}

impl Link {
    /// Makes a link that is in no list.
    pub(super) const fn new() -> Self {
        Self(KernelCell::new(Ends { previous: ptr::null(), next: ptr::null() }))
    }

    /// # Safety
    /// The link is allocated, and the lock is held, or no other code has the link yet. The same
    /// holds for all functions below and for all links of the list.
    unsafe fn ends(link: *const Self) -> *mut Ends {
        // SAFETY: the caller's duty.
        unsafe { &*link }.0.get()
    }

    /// Makes the link the head of an empty list.
    ///
    /// # Safety
    /// As for [`ends`](Self::ends).
    pub(super) unsafe fn make_head(head: *const Self) {
        // SAFETY: the caller's duty.
        let ends = unsafe { Self::ends(head) };
        // SAFETY: the caller's duty.
        unsafe { ends.write(Ends { previous: head, next: head }) };
    }

    /// Adds a link that is in no list at the end.
    ///
    /// # Safety
    /// As for [`ends`](Self::ends).
    pub(super) unsafe fn push(head: *const Self, link: *const Self) {
        // SAFETY: the caller's duty.
        let at_head = unsafe { Self::ends(head) };
        // SAFETY: the caller's duty.
        let last = unsafe { (*at_head).previous };
        // SAFETY: the caller's duty.
        let ends = unsafe { Self::ends(link) };
        // SAFETY: the caller's duty.
        unsafe { ends.write(Ends { previous: last, next: head }) };
        // SAFETY: the caller's duty.
        let at_last = unsafe { Self::ends(last) };
        // SAFETY: the caller's duty.
        unsafe { (*at_last).next = link };
        // SAFETY: the caller's duty.
        unsafe { (*at_head).previous = link };
    }

    /// Takes a link out of its list, if it is in one.
    ///
    /// # Safety
    /// As for [`ends`](Self::ends).
    pub(super) unsafe fn remove(link: *const Self) {
        // SAFETY: the caller's duty.
        let ends = unsafe { Self::ends(link) };
        // SAFETY: the caller's duty.
        let Ends { previous, next } = unsafe { ends.read() };
        if next.is_null() {
            return;
        }
        // SAFETY: the caller's duty.
        let before = unsafe { Self::ends(previous) };
        // SAFETY: the caller's duty.
        unsafe { (*before).next = next };
        // SAFETY: the caller's duty.
        let after = unsafe { Self::ends(next) };
        // SAFETY: the caller's duty.
        unsafe { (*after).previous = previous };
        // SAFETY: the caller's duty.
        unsafe { ends.write(Ends { previous: ptr::null(), next: ptr::null() }) };
    }

    /// Tells whether the link is in a list.
    ///
    /// # Safety
    /// As for [`ends`](Self::ends).
    pub(super) unsafe fn is_in_list(link: *const Self) -> bool {
        // SAFETY: the caller's duty.
        let ends = unsafe { Self::ends(link) };
        // SAFETY: the caller's duty.
        unsafe { !(*ends).next.is_null() }
    }

    /// The link behind `link`, which may be the head. `None` at the end of the list.
    ///
    /// # Safety
    /// As for [`ends`](Self::ends).
    pub(super) unsafe fn next(head: *const Self, link: *const Self) -> Option<*const Self> {
        // SAFETY: the caller's duty.
        let ends = unsafe { Self::ends(link) };
        // SAFETY: the caller's duty.
        let next = unsafe { (*ends).next };
        (next != head).then_some(next)
    }
}
