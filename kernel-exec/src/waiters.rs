//! Futures that wait in line, in the order of their first polls.
//!
//! [`Notify`](crate::Notify) and [`Semaphore`](crate::Semaphore) are a [`Rule`] each, which says
//! when the first in line may go on. The rule and the line are under one spin lock, and each
//! future's place in the line is a node in the future itself, so nothing here allocates.
//!
//! # The protocol
//!
//! - **W1** A node is only touched under the lock. It is in the line from the poll that put it
//!   there until it is granted, or until its future is dropped, and the future is pinned.
//! - **W2** Each change of the rule or of the line's first place is followed, under the same lock,
//!   by grants until the first in line has to wait. So no node waits for a thing that is there.
//!   The lock is released after each full batch of wakers. Until the last batch the rule may be
//!   changed with nodes in line that are yet to be granted.
//! - **W3** A grant takes the node out of the line, and leaves its outcome in the node. A future
//!   that is dropped with an outcome puts it back, which is a change of the rule [W2].
//! - **W4** Wakers are cloned before the lock, and called and dropped after it.

use core::{
    cell::Cell,
    future::Future,
    marker::PhantomPinned,
    pin::Pin,
    ptr,
    task::{Context, Poll, Waker},
};

use crate::{
    sync::{SpinLock, UnsafeCell, const_fn},
    task::Share,
};

/// The rule that says when the first in line may go on.
pub(crate) trait Rule: Send {
    /// The end of a wait.
    type Outcome: Copy + Send;

    /// Returns the ticket of a future that gets in line now, and asks for `wants`.
    fn ticket(&self, wants: usize) -> usize;

    /// Takes what the first in line asks for. Returns `None` if it must wait.
    fn grant(&mut self, ticket: usize) -> Option<Self::Outcome>;

    /// Puts back what a future was granted and did not use.
    fn put_back(&mut self, ticket: usize, outcome: Self::Outcome);

    /// Drops the excess of an empty line, such as a second stored notification.
    fn line_is_empty(&mut self) {}
}

/// The number of wakers that are taken under one hold of the lock.
const BATCH: usize = 8;

/// Wakers to call when the lock is released.
#[derive(Default)]
struct Batch([Option<Waker>; BATCH]);

impl Batch {
    fn wake(self) {
        for waker in self.0.into_iter().flatten() {
            waker.wake();
        }
    }
}

/// A future's place in the line.
struct Node<O> {
    place: UnsafeCell<Place<O>>,
    _pinned: PhantomPinned,
}

struct Place<O> {
    next: *const Node<O>,
    previous: *const Node<O>,
    ticket: usize,
    waker: Option<Waker>,
    outcome: Option<O>,
}

impl<O> Node<O> {
    const_fn! {
        fn new() -> Self {
            Self {
                place: UnsafeCell::new(Place {
                    next: ptr::null(),
                    previous: ptr::null(),
                    ticket: 0,
                    waker: None,
                    outcome: None,
                }),
                _pinned: PhantomPinned,
            }
        }
    }

    /// Calls `f` with the place.
    ///
    /// # Safety
    /// The caller holds the lock of the line, and `f` reaches this place by no other way.
    unsafe fn with<R>(&self, f: impl FnOnce(&mut Place<O>) -> R) -> R {
        // SAFETY: the caller holds the lock [W1].
        self.place.with_mut(|place| f(unsafe { &mut *place }))
    }
}

/// The rule and the line. Only touched under the lock.
struct Line<R: Rule> {
    rule: R,
    first: *const Node<R::Outcome>,
    last: *const Node<R::Outcome>,
}

// SAFETY: the nodes of the line are only touched under its lock, on any processor [W1].
unsafe impl<R: Rule> Send for Line<R> {}

impl<R: Rule> Line<R> {
    /// Grants what there is, until the first in line must wait or the batch is full. Returns true
    /// if the batch is full [W2].
    fn grant(&mut self, batch: &mut Batch) -> bool {
        for slot in &mut batch.0 {
            // SAFETY: a node in the line is allocated [W1].
            let Some(first) = (unsafe { self.first.as_ref() }) else {
                self.rule.line_is_empty();
                return false;
            };
            // SAFETY: `self` is borrowed under the lock.
            let ticket = unsafe { first.with(|place| place.ticket) };
            let Some(outcome) = self.rule.grant(ticket) else { return false };
            self.unlink(first);
            // SAFETY: `self` is borrowed under the lock.
            *slot = unsafe {
                first.with(|place| {
                    place.outcome = Some(outcome);
                    place.waker.take()
                })
            };
        }
        true
    }

    /// Puts a node at the end of the line. The node's future is pinned, and takes it out before it
    /// ends [W1].
    fn push(&mut self, node: &Node<R::Outcome>, ticket: usize, waker: Waker) {
        let previous = self.last;
        // SAFETY: `self` is borrowed under the lock.
        unsafe {
            node.with(|place| {
                *place = Place { next: ptr::null(), previous, ticket, waker: Some(waker), outcome: None };
            });
        };
        self.link(previous, node);
        self.last = node;
    }

    /// Takes a node out of the line.
    fn unlink(&mut self, node: &Node<R::Outcome>) {
        // SAFETY: `self` is borrowed under the lock.
        let (previous, next) = unsafe { node.with(|place| (place.previous, place.next)) };
        self.link(previous, next);
        // SAFETY: a node in the line is allocated [W1].
        match unsafe { next.as_ref() } {
            // SAFETY: `self` is borrowed under the lock.
            Some(next) => unsafe { next.with(|place| place.previous = previous) },
            None => self.last = previous,
        }
    }

    /// Has `next` follow `previous`, or be the first if `previous` is null.
    fn link(&mut self, previous: *const Node<R::Outcome>, next: *const Node<R::Outcome>) {
        // SAFETY: a node in the line is allocated [W1].
        match unsafe { previous.as_ref() } {
            // SAFETY: `self` is borrowed under the lock.
            Some(previous) => unsafe { previous.with(|place| place.next = next) },
            None => self.first = next,
        }
    }

    /// Takes a permit or notification, if no future is in line.
    fn try_take(&mut self, wants: usize) -> Option<R::Outcome> {
        if self.first.is_null() {
            // The processor that emptied the line may not have looked at it again yet.
            self.rule.line_is_empty();
            let ticket = self.rule.ticket(wants);
            return self.rule.grant(ticket);
        }
        None
    }
}

/// A line of futures, with its rule.
pub(crate) struct Waiters<R: Rule>(SpinLock<Line<R>>);

impl<R: Rule> Waiters<R> {
    const_fn! {
        pub(crate) fn new(rule: R) -> Self {
            Self(SpinLock::new(Line { rule, first: ptr::null(), last: ptr::null() }))
        }
    }

    /// Calls `read` with the rule. IRQL: ≤ DISPATCH_LEVEL.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&R) -> T) -> T {
        self.0.locked(|line| read(&line.rule))
    }

    /// Changes the rule, and wakes the futures that may go on after that. IRQL: ≤ DISPATCH_LEVEL.
    pub(crate) fn change(&self, change: impl FnOnce(&mut R)) {
        self.change_line(|line| change(&mut line.rule));
    }

    /// Takes a permit or notification, if no future is in line. IRQL: ≤ DISPATCH_LEVEL.
    pub(crate) fn try_take(&self, wants: usize) -> Option<R::Outcome> {
        self.0.locked(|line| line.try_take(wants))
    }

    /// Makes a future that gets in line at its first poll.
    pub(crate) fn wait(&self, wants: usize) -> Waiting<'_, R> {
        let (share, queued) = (Cell::new(Share::new()), Cell::new(false));
        Waiting { waiters: self, wants, share, queued, node: Node::new() }
    }

    fn change_line(&self, change: impl FnOnce(&mut Line<R>)) {
        let mut batch = Batch::default();
        let mut full = self.0.locked(|line| {
            change(line);
            line.grant(&mut batch)
        });
        batch.wake();
        while full {
            let mut batch = Batch::default();
            full = self.0.locked(|line| line.grant(&mut batch));
            batch.wake();
        }
    }
}

/// The future of an outcome. Each outcome that it ends with is the caller's.
pub(crate) struct Waiting<'a, R: Rule> {
    waiters: &'a Waiters<R>,
    wants: usize,
    share: Cell<Share>,
    /// The node is in the line, or has an outcome.
    queued: Cell<bool>,
    node: Node<R::Outcome>,
}

// SAFETY: the node is only touched under the lock, on any processor [W1]; the rest moves with the
// future.
unsafe impl<R: Rule> Send for Waiting<'_, R> {}
// SAFETY: a shared future has no operations.
unsafe impl<R: Rule> Sync for Waiting<'_, R> {}

impl<R: Rule> Waiting<'_, R> {
    /// Takes the outcome, or gets in line, or stays there with a new waker.
    fn poll_outcome(self: Pin<&Self>, waker: &Waker) -> Poll<R::Outcome> {
        let mut fresh = Some(waker.clone());
        let (polled, replaced) = self.waiters.0.locked(|line| {
            if !self.queued.get() {
                if let Some(outcome) = line.try_take(self.wants) {
                    return (Poll::Ready(outcome), None);
                }
                if let Some(waker) = fresh.take() {
                    line.push(&self.node, line.rule.ticket(self.wants), waker);
                }
                self.queued.set(true);
                return (Poll::Pending, None);
            }
            // SAFETY: the lock is held.
            unsafe {
                self.node.with(|place| match place.outcome.take() {
                    Some(outcome) => {
                        self.queued.set(false);
                        (Poll::Ready(outcome), None)
                    }
                    None => (Poll::Pending, core::mem::replace(&mut place.waker, fresh.take())),
                })
            }
        });
        drop((fresh, replaced));
        polled
    }
}

impl<R: Rule> Future for Waiting<'_, R> {
    type Output = R::Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R::Outcome> {
        let this = self.into_ref();
        let mut share = this.share.take();
        let polled = share.limit(context, |context| this.poll_outcome(context.waker()));
        // A future that has ended and is polled again waits again.
        this.share.set(if polled.is_ready() { Share::new() } else { share });
        polled
    }
}

impl<R: Rule> Drop for Waiting<'_, R> {
    fn drop(&mut self) {
        if !self.queued.get() {
            return;
        }
        let mut waker = None;
        self.waiters.change_line(|line| {
            // SAFETY: the lock is held.
            let (ticket, outcome) = unsafe {
                self.node.with(|place| {
                    waker = place.waker.take();
                    (place.ticket, place.outcome.take())
                })
            };
            match outcome {
                Some(outcome) => line.rule.put_back(ticket, outcome),
                None => line.unlink(&self.node),
            }
        });
        drop(waker);
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
