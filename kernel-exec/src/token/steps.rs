//! The steps of a tree under its lock.

use super::{
    list::Link,
    tree::{Block, Counts, Member, WaitFor, Waiter},
};
use crate::sync::Ordering;

/// The steps under the lock `[K1]`. Every caller holds it.
impl Block {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire) != 0
    }

    pub(super) fn count<R>(&self, f: impl FnOnce(&mut Counts) -> R) -> R {
        // SAFETY: the lock is held, and `f` does not call this function.
        f(unsafe { &mut *self.counts.get() })
    }

    pub(super) fn waits(&self, event: WaitFor) -> *const Link {
        let [request, last] = &self.waits;
        match event {
            WaitFor::Request => request,
            WaitFor::LastMember => last,
        }
    }

    pub(super) fn has_come(&self, event: WaitFor) -> bool {
        match event {
            WaitFor::Request => self.is_cancelled(),
            WaitFor::LastMember => self.count(|counts| counts.inside == 0),
        }
    }

    /// Makes the waiters for the event ready.
    pub(super) fn tell(&self, root: &Self, event: WaitFor) {
        let head = self.waits(event);
        // SAFETY: the lock is held.
        while let Some(link) = unsafe { Link::next(head, head) } {
            // SAFETY: the lock is held.
            unsafe { Link::remove(link) };
            // SAFETY: the lock is held.
            unsafe { Link::push(&raw const root.ready, link) };
            // SAFETY: only waiters are in this list, and one in a list is there [K2].
            let waiter = unsafe { &*link.cast::<Waiter>() };
            // SAFETY: the lock is held [K1].
            unsafe { *waiter.done.get() = true };
        }
    }

    /// Delivers the request to the members, if there is one and no member is left below `[K4]`.
    pub(super) fn try_deliver(&self) {
        let due = self.count(|counts| !counts.delivered && counts.inside == counts.own);
        if !due || !self.is_cancelled() {
            return;
        }
        self.count(|counts| counts.delivered = true);
        let head = &raw const self.members;
        let mut link = head;
        // SAFETY: the lock is held.
        while let Some(next) = unsafe { Link::next(head, link) } {
            // SAFETY: only members are in this list, and one in a list is there [K2].
            unsafe { &*next.cast::<Member>() }.cancel();
            link = next;
        }
    }

    pub(super) fn for_each_up(&self, mut f: impl FnMut(&Self)) {
        let mut block = self;
        loop {
            f(block);
            let Some(parent) = block.parent else { return };
            // SAFETY: a block keeps its parent [K2].
            block = unsafe { parent.as_ref() };
        }
    }

    /// Calls `f` with this block and all below it, parents first.
    pub(super) fn for_each(&self, mut f: impl FnMut(&Self)) {
        let mut block = self;
        loop {
            f(block);
            let head = &raw const block.children;
            // SAFETY: the lock is held.
            let mut next = unsafe { Link::next(head, head) };
            while next.is_none() && !core::ptr::eq(block, self) {
                let Some(parent) = block.parent else { return };
                // SAFETY: a block keeps its parent [K2].
                let parent = unsafe { parent.as_ref() };
                // SAFETY: the lock is held, and the block is in its parent's list.
                next = unsafe { Link::next(&raw const parent.children, core::ptr::from_ref(block).cast()) };
                block = parent;
            }
            // SAFETY: only blocks are in this list, and one in a list is there [K2].
            let Some(child) = next.map(|link| unsafe { &*link.cast::<Self>() }) else { return };
            block = child;
        }
    }
}

impl Member {
    /// Delivers the request. The lock is held.
    pub(super) fn cancel(&self) {
        // SAFETY: the lock is held [K1].
        if let Some((_, handle)) = unsafe { (*self.task.get()).as_ref() } {
            handle.cancel();
        }
    }
}
