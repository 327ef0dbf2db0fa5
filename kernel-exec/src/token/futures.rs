//! The futures of a token.

use core::{
    future::Future,
    marker::PhantomPinned,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    Reference, WaitFor,
    tree::{Member, Waiter},
};
use crate::task::{CancelHandle, Share, polling_task};

pin_project! {
    /// The future of [`CancellationToken::run`](super::CancellationToken::run). `F` is dropped
    /// before the member leaves, because its field is the first.
    #[must_use = "futures do nothing unless polled"]
    pub struct Run<F> {
        #[pin]
        future: F,
        #[pin]
        membership: Membership,
    }
}

/// A member, counted from here to the drop.
struct Membership {
    token: Reference,
    member: Member,
    _pinned: PhantomPinned,
}

// SAFETY: the member is under the tree's lock, and its handle may be used on any processor.
unsafe impl Send for Membership {}
// SAFETY: as for Send.
unsafe impl Sync for Membership {}

impl Drop for Membership {
    fn drop(&mut self) {
        self.token.leave(&self.member);
    }
}

impl<F> Run<F> {
    pub(super) fn new(token: Reference, future: F) -> Self {
        token.enter();
        Self { future, membership: Membership { token, member: Member::new(), _pinned: PhantomPinned } }
    }
}

impl<F: Future> Future for Run<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Membership { token, member, .. } = this.membership.into_ref().get_ref();
        if let Some(task) = polling_task(context)
            && Reference::task_of(member) != Some(task)
        {
            // SAFETY: the context or the poll keeps the task, which is allocated.
            unsafe { task.add_reference() };
            // SAFETY: this is the reference just added.
            let handle = unsafe { CancelHandle::from_reference(task) };
            // SAFETY: the member is pinned, was counted by `new`, and leaves in its drop.
            unsafe { token.register(member, task, handle) };
        }
        this.future.poll(context)
    }
}

impl<F> core::fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}

/// A wait for an event of a token.
struct Wait<'a> {
    token: &'a Reference,
    waiter: Waiter,
    share: Share,
    event: WaitFor,
    _pinned: PhantomPinned,
}

// SAFETY: the waiter is under the tree's lock, and its waker may be used on any processor.
unsafe impl Send for Wait<'_> {}
// SAFETY: as for Send.
unsafe impl Sync for Wait<'_> {}

impl<'a> Wait<'a> {
    const fn new(token: &'a Reference, event: WaitFor) -> Self {
        Self { token, waiter: Waiter::new(), share: Share::new(), event, _pinned: PhantomPinned }
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: nothing is moved out of the wait.
        let this = unsafe { self.get_unchecked_mut() };
        let (token, waiter, event) = (this.token, &this.waiter, this.event);
        this.share.limit(context, |context| {
            // SAFETY: the waiter is pinned, and forgotten in the wait's drop.
            let done = unsafe { token.poll(waiter, event, context.waker()) };
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.token.forget(&self.waiter);
    }
}

/// Declares the future of one event.
macro_rules! waits {
    ($($(#[$doc:meta])* $name:ident of $event:ident;)*) => {$(
        pin_project! {
            $(#[$doc])*
            #[must_use = "futures do nothing unless polled"]
            pub struct $name<'a> {
                #[pin]
                wait: Wait<'a>,
            }
        }

        impl<'a> $name<'a> {
            pub(super) const fn new(token: &'a Reference) -> Self {
                Self { wait: Wait::new(token, WaitFor::$event) }
            }
        }

        impl Future for $name<'_> {
            type Output = ();

            fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
                self.project().wait.poll(context)
            }
        }

        impl core::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

waits! {
    /// The future of [`CancellationToken::cancelled`](super::CancellationToken::cancelled).
    Cancelled of Request;
    /// The future of [`CancellationToken::joined`](super::CancellationToken::joined).
    Joined of LastMember;
}
