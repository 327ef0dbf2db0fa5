//! Being called back by somebody who cannot be told to stop, and whom nobody trusts `[C14]`, `[C17]`.
//!
//! A completion handler cannot be withdrawn: it may be called after whoever waits has gone; and a provider that breaks the contract calls
//! it twice, or after it has refused it. So what the handler is given is not an address but a *ticket*: a number that is given once, as
//! long as the image is loaded. Who may be called is found by it in a list, under a lock. A call with any other number does nothing, at any
//! time, and there is no memory to keep for it.
//!
//! - **K1** An entry is in the list from [`Callback::expect`] until its [`Callback`] is dropped, which is pinned: under the lock, what is in
//!   the list is allocated.
//! - **K2** Wakers are cloned, woken and dropped outside of the lock: they may run anybody's code.
//! - **K3** The tracker counts the calls that are owed: from [`Callback::expect`] until the first call, or until [`Callback::forgo`]. What a
//!   callback that is dropped is still owed its list counts, and the next call of a ticket that is in it no more is that: a provider that calls twice may so
//!   pay another's debt.

#[cfg(kernel)]
pub use in_kernel::{Callback, Pause, call_back};
#[cfg(not(kernel))]
pub use nowhere::{Callback, Pause, call_back};

#[cfg(kernel)]
mod in_kernel {
    //! Lists under spin locks.

    use core::{
        ffi::c_void,
        future::Future,
        marker::PhantomPinned,
        pin::Pin,
        ptr,
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use crate::{
        NTSTATUS, Sleep, sleep,
        sync::{AtomicUsize, KernelCell, Ordering, SpinLock, image_static},
        tracker::{TaskTracker, default_tracker},
    };

    /// As many lists as this: so a list is short, and seldom two processors want the same.
    const LISTS: usize = 64;

    struct Entry {
        called: bool,
        /// A call is owed `[K3]`.
        owed: bool,
        waker: Option<Waker>,
        next: *const Callback,
    }

    /// Somebody who may be called back, once it is registered.
    pub struct Callback {
        /// 0: not registered.
        ticket: usize,
        /// Only touched under the lock of its list.
        entry: KernelCell<Entry>,
        _pinned: PhantomPinned,
    }

    // SAFETY: once registered, the entry is only touched under a lock; a waker may be used and dropped on any processor.
    unsafe impl Send for Callback {}
    // SAFETY: a shared callback can do nothing.
    unsafe impl Sync for Callback {}

    /// Those whose tickets have the same remainder.
    struct Members {
        first: *const Callback,
        /// What those who have gone are still owed `[K3]`.
        owed: usize,
    }

    type List = SpinLock<Members>;

    struct Lists {
        /// How many tickets have been given.
        given: AtomicUsize,
        lists: [List; LISTS],
    }

    impl Lists {
        const fn new() -> Self {
            Self {
                given: AtomicUsize::new(0),
                lists: [const { List::new(Members { first: ptr::null(), owed: 0 }) }; LISTS],
            }
        }
    }

    impl Default for Lists {
        fn default() -> Self {
            Self::new()
        }
    }

    image_static! {
        /// Who of this image may be called back.
        fn with_lists -> Lists
    }

    /// Calls `f` under the lock of a ticket's list.
    fn locked<R>(ticket: usize, f: impl FnOnce(&mut Members) -> R) -> R {
        with_lists(|lists| {
            #[expect(clippy::indexing_slicing, reason = "a remainder of its length")]
            lists.lists[ticket % LISTS].locked(f)
        })
    }

    /// Whoever has this ticket is called; nobody, if nobody has. What is left of the caller's routine must be nothing: the image may go.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL.
    pub fn call_back(ticket: *mut c_void) {
        let ticket = ticket.addr();
        // Relaxed: a ticket was given before it came here.
        if ticket == 0 || ticket > with_lists(|lists| lists.given.load(Ordering::Relaxed)) {
            return;
        }
        let (waker, paid) = locked(ticket, |members| {
            let mut callback = members.first;
            // SAFETY: under the lock, what is in the list is allocated [K1].
            while let Some(current) = unsafe { callback.as_ref() } {
                // SAFETY: under the lock, nobody else has it.
                let entry = unsafe { &mut *current.entry.get() };
                if current.ticket == ticket {
                    entry.called = true;
                    return (entry.waker.take(), core::mem::take(&mut entry.owed));
                }
                callback = entry.next;
            }
            let paid = members.owed > 0;
            members.owed -= usize::from(paid);
            (None, paid)
        });
        if let Some(waker) = waker {
            waker.wake();
        }
        if paid {
            default_tracker(TaskTracker::end_handler);
        }
    }

    impl Callback {
        /// One that nobody can call.
        #[must_use]
        pub const fn new() -> Self {
            let entry = Entry { called: false, owed: false, waker: None, next: ptr::null() };
            Self { ticket: 0, entry: KernelCell::new(entry), _pinned: PhantomPinned }
        }

        /// Makes it one that [`call_back`] finds by the answer, from here on, and expects to be called.
        ///
        /// IRQL: ≤ DISPATCH_LEVEL.
        ///
        /// # Errors
        /// - `STATUS_DELETE_PENDING`: the image's tracker has been closed and has no unfinished task.
        /// - `STATUS_NOT_SUPPORTED`: without a kernel.
        pub fn expect(self: Pin<&mut Self>) -> Result<*mut c_void, NTSTATUS> {
            // SAFETY: it stays where it is.
            let this = unsafe { self.get_unchecked_mut() };
            if this.ticket == 0 {
                // Relaxed: only that each is given once counts. 64 bits do not come round.
                this.ticket = with_lists(|lists| lists.given.fetch_add(1, Ordering::Relaxed)) + 1;
                let this = &*this;
                locked(this.ticket, |members| {
                    // SAFETY: under the lock, and in no list yet.
                    unsafe { (*this.entry.get()).next = members.first };
                    members.first = this;
                });
            }
            default_tracker(TaskTracker::begin_handler)?;
            let expected = this.entry(|entry| core::mem::replace(&mut entry.owed, true));
            if expected {
                default_tracker(TaskTracker::end_handler);
            }
            Ok(ptr::without_provenance_mut(this.ticket))
        }

        /// Expects no call any more: it has been refused. IRQL: ≤ DISPATCH_LEVEL.
        pub fn forgo(self: Pin<&mut Self>) {
            if self.into_ref().get_ref().entry(|entry| core::mem::take(&mut entry.owed)) {
                default_tracker(TaskTracker::end_handler);
            }
        }

        /// Ready once it has been called. The waker of the last poll is woken. IRQL: ≤ DISPATCH_LEVEL.
        pub fn poll(self: Pin<&mut Self>, context: &Context<'_>) -> Poll<()> {
            let this = self.into_ref().get_ref();
            let looked = this.entry(|entry| {
                if entry.called {
                    return Some(Poll::Ready(()));
                }
                let same = entry.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
                same.then_some(Poll::Pending)
            });
            if let Some(polled) = looked {
                return polled;
            }
            let waker = context.waker().clone();
            let (polled, _old) = this.entry(|entry| {
                if entry.called {
                    return (Poll::Ready(()), Some(waker));
                }
                (Poll::Pending, entry.waker.replace(waker))
            });
            polled
        }

        /// Calls `f` under the lock.
        fn entry<R>(&self, f: impl FnOnce(&mut Entry) -> R) -> R {
            // SAFETY: under the lock, nobody else has it; before it is registered, nobody else knows it.
            locked(self.ticket, |_| f(unsafe { &mut *self.entry.get() }))
        }
    }

    impl Default for Callback {
        fn default() -> Self {
            Self::new()
        }
    }

    impl Drop for Callback {
        fn drop(&mut self) {
            if self.ticket == 0 {
                return;
            }
            locked(self.ticket, |members| {
                // SAFETY: under the lock, nobody else has it.
                let Entry { next, owed, .. } = unsafe { &*self.entry.get() };
                let next = *next;
                members.owed += usize::from(*owed);
                if ptr::eq(members.first, self) {
                    members.first = next;
                    return;
                }
                let mut callback = members.first;
                // SAFETY: under the lock, what is in the list is allocated [K1].
                while let Some(current) = unsafe { callback.as_ref() } {
                    // SAFETY: under the lock, nobody else has it.
                    let entry = unsafe { &mut *current.entry.get() };
                    if ptr::eq(entry.next, self) {
                        entry.next = next;
                        return;
                    }
                    callback = entry.next;
                }
            });
            // The waker goes with the entry, outside of the lock [K2].
        }
    }

    impl core::fmt::Debug for Callback {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.debug_struct("Callback").field("ticket", &self.ticket).finish_non_exhaustive()
        }
    }

    /// A while, between two looks at what tells nobody.
    #[derive(Debug)]
    pub struct Pause(Sleep);

    impl Pause {
        /// So long from now on.
        #[must_use]
        pub fn new(duration: Duration) -> Self {
            Self(sleep(duration))
        }

        /// Ready when it is over; see [`sleep`].
        ///
        /// # Errors
        /// As of the future of [`sleep`].
        pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NTSTATUS>> {
            Pin::new(&mut self.0).poll(context)
        }
    }
}

#[cfg(not(kernel))]
mod nowhere {
    //! Without a kernel nobody waits.

    use core::{
        ffi::c_void,
        marker::PhantomPinned,
        pin::Pin,
        task::{Context, Poll},
        time::Duration,
    };

    use crate::NTSTATUS;

    /// Nobody has a ticket.
    pub fn call_back(_ticket: *mut c_void) {}

    /// Nobody who may be called back.
    #[derive(Debug, Default)]
    pub struct Callback(PhantomPinned);

    impl Callback {
        /// One that nobody can call.
        #[must_use]
        pub const fn new() -> Self {
            Self(PhantomPinned)
        }

        /// Refuses.
        ///
        /// # Errors
        /// `STATUS_NOT_SUPPORTED`.
        pub const fn expect(self: Pin<&mut Self>) -> Result<*mut c_void, NTSTATUS> {
            Err(NTSTATUS::NOT_SUPPORTED)
        }

        /// Nothing was expected.
        pub const fn forgo(self: Pin<&mut Self>) {}

        /// Never ready.
        pub const fn poll(self: Pin<&mut Self>, _context: &Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    /// No while.
    #[derive(Debug)]
    pub struct Pause(());

    impl Pause {
        /// So long from now on.
        #[must_use]
        pub const fn new(_duration: Duration) -> Self {
            Self(())
        }

        /// Refuses.
        ///
        /// # Errors
        /// `STATUS_NOT_SUPPORTED`.
        pub const fn poll(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), NTSTATUS>> {
            Poll::Ready(Err(NTSTATUS::NOT_SUPPORTED))
        }
    }
}
