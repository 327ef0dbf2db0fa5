//! An event on its waiter's stack: the kernel's, or a loom model's.
//!
//! Whoever sets it does so under a lock under which the waiter puts it into a list and takes it out again.

#[cfg(kernel)]
pub(crate) use in_kernel::Event;
#[cfg(all(test, loom))]
pub(crate) use in_loom::Event;

/// When an event that is set is so no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reset {
    /// When a wait has ended with it.
    Automatic,
    /// Never.
    Never,
}

#[cfg(kernel)]
mod in_kernel {
    use super::Reset;
    use crate::{nt, sync::KernelCell};

    /// A KEVENT.
    pub(crate) struct Event(KernelCell<nt::KEVENT>);

    impl Event {
        /// Before [`prepare`](Self::prepare).
        pub(crate) fn new() -> Self {
            Self(KernelCell::default())
        }

        /// It is in its final place, and nobody else's.
        pub(crate) fn prepare(&self, reset: Reset) {
            let kind = match reset {
                Reset::Automatic => nt::_EVENT_TYPE::SynchronizationEvent,
                Reset::Never => nt::_EVENT_TYPE::NotificationEvent,
            };
            // SAFETY: any IRQL; in no list yet, and on its waiter's stack until the waiter has left the list.
            unsafe { nt::KeInitializeEvent(self.0.get(), kind, 0) };
        }

        /// Under the list's lock, in the list. IRQL ≤ DISPATCH_LEVEL.
        pub(crate) fn set(&self) {
            // SAFETY: prepared before it came into the list, and still there.
            unsafe { nt::KeSetEvent(self.0.get(), 0, 0) };
        }

        /// Until it is set or the time is over: negative is from now on, in units of 100 ns, positive a moment of system time, none never.
        /// IRQL: PASSIVE_LEVEL.
        pub(crate) fn wait(&self, timeout: Option<i64>) {
            // SAFETY: prepared; PASSIVE_LEVEL.
            unsafe { nt::wait_for_event(self.0.get(), timeout) };
        }

        /// Out of the list. From here on it is no event: a set that came too late would be seen, by the kernel or whoever debugs it.
        pub(crate) fn retire(&self) {
            // SAFETY: out of the list, so nobody else has it.
            unsafe { self.0.get().write_volatile(nt::KEVENT::default()) };
        }
    }
}

#[cfg(all(test, loom))]
mod in_loom {
    use loom::{
        cell::UnsafeCell,
        sync::{Condvar, Mutex},
    };

    use super::Reset;

    /// A lock and a condition variable. A limited wait is over at once.
    pub(crate) struct Event {
        set: Mutex<bool>,
        changed: Condvar,
        reset: core::cell::Cell<Reset>,
        /// Written when the event has gone: a set at the same time is a data race.
        gone: UnsafeCell<bool>,
    }

    impl Event {
        pub(crate) fn new() -> Self {
            Self {
                set: Mutex::new(false),
                changed: Condvar::new(),
                reset: core::cell::Cell::new(Reset::Never),
                gone: UnsafeCell::new(false),
            }
        }

        pub(crate) fn prepare(&self, reset: Reset) {
            self.reset.set(reset);
        }

        pub(crate) fn set(&self) {
            // SAFETY: loom looks for a write at the same time.
            assert!(!self.gone.with(|gone| unsafe { *gone }), "an event is set that has gone");
            *self.set.lock().unwrap() = true;
            self.changed.notify_all();
        }

        pub(crate) fn wait(&self, timeout: Option<i64>) {
            let mut set = self.set.lock().unwrap();
            while timeout.is_none() && !*set {
                set = self.changed.wait(set).unwrap();
            }
            if self.reset.get() == Reset::Automatic {
                *set = false;
            }
        }

        pub(crate) fn retire(&self) {
            // SAFETY: loom looks for a read at the same time.
            self.gone.with_mut(|gone| unsafe { *gone = true });
        }
    }
}
