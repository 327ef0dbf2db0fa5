//! The tree of tokens, which has a block for each token, all under the lock of the root.
//!
//! - **K1** Links, counts, wakers and tasks of a tree are touched only under its root's lock.
//! - **K2** A child holds a reference to its parent, a member and a waiter one to their token. So a
//!   block in a list, under the lock, is allocated, and a block without references has empty lists.
//! - **K3** A member in a list holds a reference to its task.
//! - **K4** A request is delivered to the members of a token when none is left below the token.
//! - **K5** No waker is called, cloned or dropped under the lock, because it may be foreign code. A
//!   waiter that is to be woken goes to the root's list `ready`, from which it is woken one by one.

use core::{alloc::Layout, ptr::NonNull, task::Waker};

use super::list::Link;
use crate::{
    alloc::{Allocator, GlobalAllocator},
    refcount::ReferenceCount,
    status::NTSTATUS,
    sync::{AtomicUsize, KernelCell, Ordering, SpinLock},
    task::{CancelHandle, TaskPtr},
};

/// A token in its tree.
#[repr(C)]
pub(super) struct Block {
    /// Its place among its parent's children.
    sibling: Link,
    pub(super) children: Link,
    pub(super) members: Link,
    /// The waits for the request, and for the end of the last member.
    pub(super) waits: [Link; 2],
    /// The waiters that are to be woken, in the root only `[K5]`.
    pub(super) ready: Link,
    pub(super) counts: KernelCell<Counts>,
    pub(super) cancelled: AtomicUsize,
    references: ReferenceCount,
    pub(super) parent: Option<NonNull<Self>>,
    /// `None` for the root itself.
    root: Option<NonNull<Self>>,
    /// The lock of the tree, in the root only.
    lock: SpinLock<()>,
}

#[derive(Clone, Copy)]
pub(super) struct Counts {
    /// The members of the token itself.
    pub(super) own: usize,
    /// The members of the token and of all below it.
    pub(super) inside: usize,
    /// The request has been delivered to the members.
    pub(super) delivered: bool,
}

/// The event that a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitFor {
    Request = 0,
    LastMember = 1,
}

/// A body that has joined a token. It is in a pinned future.
#[repr(C)]
pub(super) struct Member {
    link: Link,
    pub(super) task: KernelCell<Option<(TaskPtr, CancelHandle)>>,
}

/// A wait. It is in a pinned future.
#[repr(C)]
pub(super) struct Waiter {
    link: Link,
    waker: KernelCell<Option<Waker>>,
    /// The event has come.
    pub(super) done: KernelCell<bool>,
}

impl Member {
    pub(super) const fn new() -> Self {
        Self { link: Link::new(), task: KernelCell::new(None) }
    }
}

impl Waiter {
    pub(super) const fn new() -> Self {
        Self { link: Link::new(), waker: KernelCell::new(None), done: KernelCell::new(false) }
    }
}

/// A reference to a token.
pub(super) struct Reference(NonNull<Block>);

// SAFETY: the tree is under its lock [K1], and wakers and handles may be used on any processor.
unsafe impl Send for Reference {}
// SAFETY: as for Send.
unsafe impl Sync for Reference {}

impl Clone for Reference {
    fn clone(&self) -> Self {
        self.block().references.add();
        Self(self.0)
    }
}

impl Reference {
    /// Makes a token, below `parent` if there is one.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub(super) fn make(parent: Option<&Self>) -> Result<Self, NTSTATUS> {
        let layout = Layout::new::<Block>();
        let memory = GlobalAllocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?;
        let place = memory.cast::<Block>();
        let fresh = Block {
            sibling: Link::new(),
            children: Link::new(),
            members: Link::new(),
            waits: [Link::new(), Link::new()],
            ready: Link::new(),
            counts: KernelCell::new(Counts { own: 0, inside: 0, delivered: false }),
            cancelled: AtomicUsize::new(0),
            references: ReferenceCount::one(),
            parent: parent.map(|parent| parent.clone().into_raw()),
            root: parent.map(|parent| parent.block().root.unwrap_or(parent.0)),
            lock: SpinLock::new(()),
        };
        // SAFETY: `place` is new memory of this layout.
        unsafe { place.write(fresh) };
        let token = Self(place);
        let block = token.block();
        let [request, last] = &block.waits;
        for head in [&block.children, &block.members, request, last, &block.ready] {
            // SAFETY: no other code has the block yet, and it stays in its place.
            unsafe { Link::make_head(head) };
        }
        if let Some(parent) = parent {
            token.locked(|_| {
                // SAFETY: the lock is held, the parent is kept by its reference [K2].
                unsafe { Link::push(&raw const parent.block().children, place.as_ptr().cast()) };
                if parent.block().is_cancelled() {
                    block.cancelled.store(1, Ordering::Release);
                    block.try_deliver();
                }
            });
        }
        Ok(token)
    }

    fn into_raw(self) -> NonNull<Block> {
        core::mem::ManuallyDrop::new(self).0
    }

    fn block(&self) -> &Block {
        // SAFETY: this reference keeps the block.
        unsafe { self.0.as_ref() }
    }

    fn root(&self) -> &Block {
        // SAFETY: a block keeps its parents, up to the root [K2].
        self.block().root.map_or(self.block(), |root| unsafe { root.as_ref() })
    }

    fn locked<R>(&self, f: impl FnOnce(&Block) -> R) -> R {
        let root = self.root();
        root.lock.locked(|()| f(root))
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.block().is_cancelled()
    }

    /// Requests cancellation of the token and of all below it.
    pub(super) fn cancel(&self) {
        self.locked(|root| {
            if self.is_cancelled() {
                return;
            }
            self.block().for_each(|block| {
                block.cancelled.store(1, Ordering::Release);
                block.tell(root, WaitFor::Request);
            });
            self.block().for_each(Block::try_deliver);
        });
        self.wake_ready();
    }

    /// Counts a member.
    pub(super) fn enter(&self) {
        self.locked(|_| {
            self.block().count(|counts| counts.own += 1);
            self.block().for_each_up(|block| block.count(|counts| counts.inside += 1));
        });
    }

    /// Puts a member, which has been counted, into the list with its task.
    ///
    /// # Safety
    /// The member is pinned, belongs to this token, and leaves before it goes.
    pub(super) unsafe fn register(&self, member: &Member, task: TaskPtr, handle: CancelHandle) {
        let old = self.locked(|_| {
            // SAFETY: the lock is held [K1].
            let old = unsafe { (*member.task.get()).replace((task, handle)) };
            let (head, link) = (&raw const self.block().members, core::ptr::from_ref(member).cast());
            // SAFETY: the lock is held, and the member is pinned.
            if !unsafe { Link::is_in_list(link) } {
                // SAFETY: the lock is held, and the member is pinned.
                unsafe { Link::push(head, link) };
            }
            if self.block().count(|counts| counts.delivered) {
                member.cancel();
            }
            old
        });
        drop(old);
    }

    /// The task that the member was registered with.
    ///
    /// The caller is the member's future, which alone registers it.
    pub(super) fn task_of(member: &Member) -> Option<TaskPtr> {
        // SAFETY: only the caller writes the task.
        unsafe { (*member.task.get()).as_ref() }.map(|(task, _)| *task)
    }

    /// Takes out a member, which is gone.
    pub(super) fn leave(&self, member: &Member) {
        let task = self.locked(|root| {
            // SAFETY: the lock is held, and the member is still there.
            unsafe { Link::remove(core::ptr::from_ref(member).cast()) };
            self.block().count(|counts| counts.own -= 1);
            self.block().for_each_up(|block| {
                if block.count(|counts| {
                    counts.inside -= 1;
                    counts.inside == 0
                }) {
                    block.tell(root, WaitFor::LastMember);
                }
                block.try_deliver();
            });
            // SAFETY: the lock is held [K1].
            unsafe { (*member.task.get()).take() }
        });
        drop(task);
        self.wake_ready();
    }

    /// The number of members of the token and of all below it.
    pub(super) fn members(&self) -> usize {
        self.locked(|_| self.block().count(|counts| counts.inside))
    }

    /// Polls a wait. Returns whether its event has come.
    ///
    /// # Safety
    /// The waiter is pinned, belongs to this token, and is [forgotten](Self::forget) in its drop.
    pub(super) unsafe fn poll(&self, waiter: &Waiter, event: WaitFor, waker: &Waker) -> bool {
        let mut fresh = Some(waker.clone());
        let done = self.locked(|_| {
            // SAFETY: the lock is held [K1].
            let done = unsafe { *waiter.done.get() } || self.block().has_come(event);
            let link = core::ptr::from_ref(waiter).cast();
            if done {
                // SAFETY: the lock is held, and the waiter is pinned.
                unsafe { Link::remove(link) };
            // SAFETY: the lock is held, and the waiter is pinned.
            } else if !unsafe { Link::is_in_list(link) } {
                // SAFETY: the lock is held, and the waiter is pinned.
                unsafe { Link::push(self.block().waits(event), link) };
            }
            // SAFETY: the lock is held [K1].
            core::mem::swap(unsafe { &mut *waiter.waker.get() }, &mut fresh);
            done
        });
        // The waker that was there before, or none [K5].
        drop(fresh);
        done
    }

    /// Takes out a waiter, which is going.
    pub(super) fn forget(&self, waiter: &Waiter) {
        let waker = self.locked(|_| {
            // SAFETY: the lock is held, and the waiter is still there.
            unsafe { Link::remove(core::ptr::from_ref(waiter).cast()) };
            // SAFETY: the lock is held [K1].
            unsafe { (*waiter.waker.get()).take() }
        });
        drop(waker);
    }

    /// Wakes the waiters that the caller has made ready, and those of other callers `[K5]`.
    fn wake_ready(&self) {
        while let Some(waker) = self.locked(|root| {
            let head = &raw const root.ready;
            // SAFETY: the lock is held.
            let link = unsafe { Link::next(head, head) }?;
            // SAFETY: the lock is held.
            unsafe { Link::remove(link) };
            // SAFETY: only waiters are in this list, and one in a list is there [K2].
            let waiter = unsafe { &*link.cast::<Waiter>() };
            // SAFETY: the lock is held [K1].
            Some(unsafe { (*waiter.waker.get()).take() })
        }) {
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let mut block = self.0;
        loop {
            // SAFETY: the reference that is given up keeps the block.
            if unsafe { block.as_ref() }.references.remove() > 0 {
                return;
            }
            // SAFETY: the count is zero, so the block is the caller's. Its parent is still kept.
            let parent = unsafe { block.as_ref() }.parent;
            if parent.is_some() {
                let gone = core::mem::ManuallyDrop::new(Self(block));
                // SAFETY: the lock is held, and the block is still allocated.
                gone.locked(|_| unsafe { Link::remove(block.as_ptr().cast_const().cast()) });
            }
            // SAFETY: the block is in no list, and no other code has it [K2].
            unsafe { block.drop_in_place() };
            // SAFETY: the block came from `make` with this layout, and is not used again.
            unsafe { GlobalAllocator.free(block.cast(), Layout::new::<Block>()) };
            // The block held a reference to its parent, which is given up next.
            let Some(parent) = parent else { return };
            block = parent;
        }
    }
}
