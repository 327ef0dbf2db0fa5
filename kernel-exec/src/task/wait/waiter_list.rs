//! The image's list of waiters, its lock, and the waiters' events. Without a kernel these are
//! stubs.

#[cfg(any(kernel, all(test, loom)))]
pub(super) use in_kernel::{can_wait, with_waiters};
#[cfg(not(any(kernel, all(test, loom))))]
pub(super) use unsupported::{Event, Reset, can_wait, with_waiters};

#[cfg(any(kernel, all(test, loom)))]
pub(super) use crate::sync::{Event, Reset};

#[cfg(any(kernel, all(test, loom)))]
mod in_kernel {
    use super::super::Waiters;
    use crate::{
        nt,
        sync::{SpinLock, const_fn, image_static},
    };

    pub(in super::super) fn can_wait() -> bool {
        nt::is_passive()
    }

    struct LockedWaiters(SpinLock<Waiters>);

    impl LockedWaiters {
        const_fn! {
            fn new() -> Self {
                Self(SpinLock::new(Waiters::new()))
            }
        }
    }

    impl Default for LockedWaiters {
        fn default() -> Self {
            Self::new()
        }
    }

    image_static! {
        /// The waiters of this image.
        fn with_list -> LockedWaiters
    }

    /// Calls `f` under the list's lock. IRQL: ≤ DISPATCH_LEVEL.
    pub(in super::super) fn with_waiters<R>(f: impl FnOnce(&Waiters) -> R) -> R {
        with_list(|list| list.0.locked(|waiters| f(waiters)))
    }
}

#[cfg(not(any(kernel, all(test, loom))))]
mod unsupported {
    //! Stubs for builds without a kernel, where every task has ended when it is made, so that no
    //! thread waits.

    use super::super::Waiters;
    use crate::fail::{FailFast, fail_fast};

    pub(in super::super) fn can_wait() -> bool {
        true
    }

    pub(in super::super) enum Reset {
        Never,
    }

    pub(in super::super) struct Event(());

    impl Event {
        pub(in super::super) fn new() -> Self {
            Self(())
        }

        pub(in super::super) fn prepare(&self, _reset: Reset) {}

        pub(in super::super) fn set(&self) {}

        pub(in super::super) fn wait(&self, _timeout: Option<i64>) {
            fail_fast(FailFast::Protocol)
        }

        pub(in super::super) fn retire(&self) {}
    }

    pub(in super::super) fn with_waiters<R>(f: impl FnOnce(&Waiters) -> R) -> R {
        f(&Waiters::new())
    }
}
