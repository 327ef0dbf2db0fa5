//! Where waiters wait: the list's lock, and events. The kernel's, a loom model's, or none.

#[cfg(kernel)]
pub(super) use in_kernel::{Event, can_wait, with_waiters};
#[cfg(all(test, loom))]
pub(super) use in_loom::{Event, can_wait, with_waiters};
#[cfg(not(any(kernel, all(test, loom))))]
pub(super) use nowhere::{Event, can_wait, with_waiters};

#[cfg(kernel)]
mod in_kernel {
    //! A KEVENT a waiter, and a spin lock for all of an image's.

    use super::super::Waiters;
    use crate::{
        nt,
        sync::{KernelCell, image_static},
    };

    pub(in super::super) fn can_wait() -> bool {
        nt::is_passive()
    }

    pub(in super::super) struct Event(KernelCell<nt::KEVENT>);

    impl Event {
        /// Before [`prepare`](Self::prepare).
        pub(in super::super) fn new() -> Self {
            Self(KernelCell::default())
        }

        /// It is in its final place, and nobody else's.
        pub(in super::super) fn prepare(&self) {
            // SAFETY: any IRQL; this event is in no list yet, and on its waiter's stack until the waiter has left the list [T9].
            unsafe { nt::KeInitializeEvent(self.0.get(), nt::_EVENT_TYPE::NotificationEvent, 0) };
        }

        /// Under the list's lock, in the list.
        pub(in super::super) fn set(&self) {
            // SAFETY: prepared before it came into the list, and still there [T9]; ≤ DISPATCH_LEVEL.
            unsafe { nt::KeSetEvent(self.0.get(), 0, 0) };
        }

        /// Until it is set or the time is over. IRQL: PASSIVE_LEVEL.
        pub(in super::super) fn wait(&self, timeout: Option<i64>) {
            // SAFETY: prepared; PASSIVE_LEVEL.
            unsafe { nt::wait_for_event_until(self.0.get(), timeout) };
        }

        /// Out of the list. From here on it is no event: a set that came too late would be seen, by the kernel or whoever debugs it.
        pub(in super::super) fn retire(&self) {
            // SAFETY: out of the list, so nobody else has it [T9].
            unsafe { self.0.get().write_volatile(nt::KEVENT::default()) };
        }
    }

    struct Lot {
        lock: KernelCell<nt::KSPIN_LOCK>,
        waiters: Waiters,
    }

    // SAFETY: the list is only touched under the spin lock.
    unsafe impl Sync for Lot {}

    impl Lot {
        const fn new() -> Self {
            // An initialised KSPIN_LOCK is zero.
            Self { lock: KernelCell::new(0), waiters: Waiters::new() }
        }
    }

    impl Default for Lot {
        fn default() -> Self {
            Self::new()
        }
    }

    image_static! {
        /// The waiters of this image.
        fn with_lot -> Lot
    }

    /// Calls `f` under the lock. IRQL ≤ DISPATCH_LEVEL.
    pub(in super::super) fn with_waiters<R>(f: impl FnOnce(&Waiters) -> R) -> R {
        with_lot(|lot| {
            // SAFETY: initialised, resident; not held by this processor, because nothing below calls back.
            let irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(lot.lock.get()) };
            let result = f(&lot.waiters);
            // SAFETY: held since above.
            unsafe { nt::KeReleaseSpinLock(lot.lock.get(), irql) };
            result
        })
    }
}

#[cfg(all(test, loom))]
mod in_loom {
    //! loom's lock and condition variable. A limited wait is over at once.

    use loom::{
        cell::UnsafeCell,
        sync::{Condvar, Mutex},
    };

    use super::super::Waiters;

    pub(in super::super) fn can_wait() -> bool {
        true
    }

    pub(in super::super) struct Event {
        set: Mutex<bool>,
        changed: Condvar,
        /// Written when the event has gone: a set at the same time is a data race.
        gone: UnsafeCell<bool>,
    }

    impl Event {
        pub(in super::super) fn new() -> Self {
            Self { set: Mutex::new(false), changed: Condvar::new(), gone: UnsafeCell::new(false) }
        }

        pub(in super::super) fn prepare(&self) {}

        pub(in super::super) fn set(&self) {
            // SAFETY: loom looks for a write at the same time.
            assert!(!self.gone.with(|gone| unsafe { *gone }), "an event is set that has gone");
            *self.set.lock().unwrap() = true;
            self.changed.notify_all();
        }

        pub(in super::super) fn wait(&self, timeout: Option<i64>) {
            let mut set = self.set.lock().unwrap();
            while timeout.is_none() && !*set {
                set = self.changed.wait(set).unwrap();
            }
        }

        pub(in super::super) fn retire(&self) {
            // SAFETY: loom looks for a read at the same time.
            self.gone.with_mut(|gone| unsafe { *gone = true });
        }
    }

    struct Lot(Waiters);
    // SAFETY: only touched under the lock.
    unsafe impl Send for Lot {}

    loom::lazy_static! {
        static ref LOT: Mutex<Lot> = Mutex::new(Lot(Waiters::new()));
    }

    pub(in super::super) fn with_waiters<R>(f: impl FnOnce(&Waiters) -> R) -> R {
        f(&LOT.lock().unwrap().0)
    }
}

#[cfg(not(any(kernel, all(test, loom))))]
mod nowhere {
    //! Without a kernel every task has ended when it is made, and nobody waits.

    use super::super::Waiters;
    use crate::fail::{FailFast, fail_fast};

    pub(in super::super) fn can_wait() -> bool {
        true
    }

    pub(in super::super) struct Event(());

    impl Event {
        pub(in super::super) fn new() -> Self {
            Self(())
        }

        pub(in super::super) fn prepare(&self) {}

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
