//! Completion callbacks from a provider that cannot be made to stop calling and that is not trusted
//! `[C14]`, `[C17]`.
//!
//! A completion handler cannot be withdrawn, so the provider may call it after the waiting future
//! has gone. A provider that breaks the contract calls it twice, or after it has refused it. So the
//! handler's context is not an address but a *ticket*, a number that is issued once as long as the
//! image is loaded. A call looks up the callback by its ticket in a list, under a lock. A call with
//! any other number does nothing, at any time, and no memory has to be kept for it.
//!
//! - **K1** An entry is in the list from [`Callback::expect`] until its [`Callback`], which is
//!   pinned, is dropped. So every entry that is in the list is allocated while the lock is held.
//! - **K2** Wakers are cloned, woken and dropped outside the lock, because they may run any code.
//! - **K3** The tracker counts the outstanding handler calls, each from [`Callback::expect`] until
//!   the first call, or until [`Callback::cancel_expected`]. When a callback is dropped with a call
//!   outstanding, its list keeps the count, and the next call with an unknown ticket of that list
//!   decrements it. So the second call of a provider may count as the call of another callback.

#[cfg(kernel)]
pub use in_kernel::{Callback, PollInterval, complete_callback};
#[cfg(not(kernel))]
pub use unsupported::{Callback, PollInterval, complete_callback};

#[cfg(kernel)]
mod in_kernel {
    //! The callbacks of an image, in lists under spin locks.

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
        status::NTSTATUS,
        sync::{AtomicUsize, KernelCell, Ordering, SpinLock, image_static},
        timer::{Sleep, sleep},
        tracker::{TaskTracker, default_tracker},
    };

    /// The number of lists. With this many, a list is short, and two processors seldom need the
    /// same one.
    const LISTS: usize = 64;

    struct Entry {
        called: bool,
        /// A call is outstanding `[K3]`.
        outstanding: bool,
        waker: Option<Waker>,
        next: *const Callback,
    }

    /// A callback that a provider may call, once it is registered.
    pub struct Callback {
        /// The ticket, or 0 if the callback is not registered.
        ticket: usize,
        /// Only touched under the lock of its list.
        entry: KernelCell<Entry>,
        _pinned: PhantomPinned,
    }

    // SAFETY: once registered, the entry is only touched under a lock; a waker may be used and
    // dropped on any processor.
    unsafe impl Send for Callback {}
    // SAFETY: a shared callback has no operations.
    unsafe impl Sync for Callback {}

    /// The callbacks of one list, with tickets of the same remainder.
    struct Members {
        first: *const Callback,
        /// The outstanding calls of callbacks that have been dropped `[K3]`.
        outstanding: usize,
    }

    // SAFETY: the callbacks in the list are only touched under its lock, on any processor.
    unsafe impl Send for Members {}

    type List = SpinLock<Members>;

    struct Lists {
        /// The number of tickets that have been issued.
        issued: AtomicUsize,
        lists: [List; LISTS],
    }

    impl Lists {
        const fn new() -> Self {
            Self {
                issued: AtomicUsize::new(0),
                lists: [const { List::new(Members { first: ptr::null(), outstanding: 0 }) }; LISTS],
            }
        }
    }

    impl Default for Lists {
        fn default() -> Self {
            Self::new()
        }
    }

    image_static! {
        /// The callbacks of this image.
        fn with_lists -> Lists
    }

    /// Calls `f` under the lock of a ticket's list.
    fn locked<R>(ticket: usize, f: impl FnOnce(&mut Members) -> R) -> R {
        with_lists(|lists| {
            #[expect(clippy::indexing_slicing, reason = "a remainder of its length")]
            lists.lists[ticket % LISTS].locked(f)
        })
    }

    /// Wakes the callback that has this ticket, if there is one. The caller's routine must return
    /// at once afterwards, because the image may be unloaded.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL.
    pub fn complete_callback(ticket: *mut c_void) {
        let ticket = ticket.addr();
        // Relaxed is enough, because a ticket was issued before it came here.
        if ticket == 0 || ticket > with_lists(|lists| lists.issued.load(Ordering::Relaxed)) {
            return;
        }
        let (waker, was_outstanding) = locked(ticket, |members| {
            let mut callback = members.first;
            // SAFETY: the list's lock is held, so a callback in the list is allocated [K1].
            while let Some(current) = unsafe { callback.as_ref() } {
                // SAFETY: the list's lock is held, so no other code touches the entry.
                let entry = unsafe { &mut *current.entry.get() };
                if current.ticket == ticket {
                    entry.called = true;
                    return (entry.waker.take(), core::mem::take(&mut entry.outstanding));
                }
                callback = entry.next;
            }
            let was_outstanding = members.outstanding > 0;
            members.outstanding -= usize::from(was_outstanding);
            (None, was_outstanding)
        });
        if let Some(waker) = waker {
            waker.wake();
        }
        if was_outstanding {
            default_tracker(TaskTracker::end_handler);
        }
    }

    impl Callback {
        /// Makes a callback that is not registered, so no call reaches it.
        #[must_use]
        pub const fn new() -> Self {
            let entry = Entry { called: false, outstanding: false, waker: None, next: ptr::null() };
            Self { ticket: 0, entry: KernelCell::new(entry), _pinned: PhantomPinned }
        }

        /// Registers the callback and expects one call. [`complete_callback`] finds it by the
        /// ticket that this returns.
        ///
        /// IRQL: ≤ DISPATCH_LEVEL.
        ///
        /// # Errors
        /// - `STATUS_DELETE_PENDING`: the image's tracker has been closed and has no unfinished
        ///   task.
        /// - `STATUS_NOT_SUPPORTED`: the build has no kernel.
        pub fn expect(self: Pin<&mut Self>) -> Result<*mut c_void, NTSTATUS> {
            // SAFETY: nothing is moved out of the reference.
            let this = unsafe { self.get_unchecked_mut() };
            if this.ticket == 0 {
                // Relaxed is enough, because each ticket only has to be issued once. 64 bits do not
                // wrap around.
                this.ticket = with_lists(|lists| lists.issued.fetch_add(1, Ordering::Relaxed)) + 1;
                let this = &*this;
                locked(this.ticket, |members| {
                    // SAFETY: the list's lock is held, and the entry is in no list yet.
                    unsafe { (*this.entry.get()).next = members.first };
                    members.first = this;
                });
            }
            default_tracker(TaskTracker::begin_handler)?;
            let expected = this.entry(|entry| core::mem::replace(&mut entry.outstanding, true));
            if expected {
                default_tracker(TaskTracker::end_handler);
            }
            Ok(ptr::without_provenance_mut(this.ticket))
        }

        /// Expects no call any more, because the provider has refused the handler.
        /// IRQL: ≤ DISPATCH_LEVEL.
        pub fn cancel_expected(self: Pin<&mut Self>) {
            if self.into_ref().get_ref().entry(|entry| core::mem::take(&mut entry.outstanding)) {
                default_tracker(TaskTracker::end_handler);
            }
        }

        /// Ready once the callback has been called. The call wakes the waker of the last poll.
        /// IRQL: ≤ DISPATCH_LEVEL.
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

        /// Calls `f` with the entry, under the list's lock.
        fn entry<R>(&self, f: impl FnOnce(&mut Entry) -> R) -> R {
            // SAFETY: the list's lock is held, so no other code touches the entry; before it is
            // registered, no other code knows it.
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
                // SAFETY: the list's lock is held, so no other code touches the entry.
                let Entry { next, outstanding, .. } = unsafe { &*self.entry.get() };
                let next = *next;
                members.outstanding += usize::from(*outstanding);
                if ptr::eq(members.first, self) {
                    members.first = next;
                    return;
                }
                let mut callback = members.first;
                // SAFETY: the list's lock is held, so a callback in the list is allocated [K1].
                while let Some(current) = unsafe { callback.as_ref() } {
                    // SAFETY: the list's lock is held, so no other code touches the entry.
                    let entry = unsafe { &mut *current.entry.get() };
                    if ptr::eq(entry.next, self) {
                        entry.next = next;
                        return;
                    }
                    callback = entry.next;
                }
            });
            // The waker is dropped with the entry, outside the lock [K2].
        }
    }

    impl core::fmt::Debug for Callback {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.debug_struct("Callback").field("ticket", &self.ticket).finish_non_exhaustive()
        }
    }

    /// The interval at which an operation without a completion handler is polled.
    #[derive(Debug)]
    pub struct PollInterval(Sleep);

    impl PollInterval {
        /// Makes an interval of this length, from now on.
        #[must_use]
        pub fn new(duration: Duration) -> Self {
            Self(sleep(duration))
        }

        /// Ready when the interval is over; see [`sleep`].
        ///
        /// # Errors
        /// The errors of the future of [`sleep`].
        pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), NTSTATUS>> {
            Pin::new(&mut self.0).poll(context)
        }
    }
}

#[cfg(not(kernel))]
mod unsupported {
    //! Stubs for builds without a kernel, where no future waits for a callback.

    use core::{
        ffi::c_void,
        marker::PhantomPinned,
        pin::Pin,
        task::{Context, Poll},
        time::Duration,
    };

    use crate::status::NTSTATUS;

    /// Does nothing, because there are no tickets.
    pub fn complete_callback(_ticket: *mut c_void) {}

    /// A callback that cannot be registered.
    #[derive(Debug, Default)]
    pub struct Callback(PhantomPinned);

    impl Callback {
        /// Makes a callback that no call reaches.
        #[must_use]
        pub const fn new() -> Self {
            Self(PhantomPinned)
        }

        /// Refuses to register the callback.
        ///
        /// # Errors
        /// `STATUS_NOT_SUPPORTED`, always.
        pub const fn expect(self: Pin<&mut Self>) -> Result<*mut c_void, NTSTATUS> {
            Err(NTSTATUS::NOT_SUPPORTED)
        }

        /// Does nothing, because no call was expected.
        pub const fn cancel_expected(self: Pin<&mut Self>) {}

        /// Never ready.
        pub const fn poll(self: Pin<&mut Self>, _context: &Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    /// An interval that cannot be waited for.
    #[derive(Debug)]
    pub struct PollInterval(());

    impl PollInterval {
        /// Makes an interval that ignores its length.
        #[must_use]
        pub const fn new(_duration: Duration) -> Self {
            Self(())
        }

        /// Refuses to wait.
        ///
        /// # Errors
        /// `STATUS_NOT_SUPPORTED`, always.
        pub const fn poll(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), NTSTATUS>> {
            Poll::Ready(Err(NTSTATUS::NOT_SUPPORTED))
        }
    }
}
