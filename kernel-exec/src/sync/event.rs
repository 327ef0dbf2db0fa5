//! An event on its waiter's stack, of the kernel or of a loom model.
//!
//! The setter sets it under a lock. The waiter puts it into a list, and takes it out again, under
//! that same lock.

#[cfg(kernel)]
pub(crate) use in_kernel::Event;
#[cfg(all(test, loom))]
pub(crate) use in_loom::Event;

/// The moment when a set event is reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reset {
    /// When one wait has ended with it.
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
        /// Makes the event, as it is before [`prepare`](Self::prepare).
        pub(crate) fn new() -> Self {
            Self(KernelCell::default())
        }

        /// Initialises the event. It must be in its final place, and no other code may have it.
        pub(crate) fn prepare(&self, reset: Reset) {
            let kind = match reset {
                Reset::Automatic => nt::_EVENT_TYPE::SynchronizationEvent,
                Reset::Never => nt::_EVENT_TYPE::NotificationEvent,
            };
            // SAFETY: any IRQL; the event is in no list yet, and is on its waiter's stack until the
            // waiter has left the list.
            unsafe { nt::KeInitializeEvent(self.0.get(), kind, 0) };
        }

        /// Sets the event, which is in the list, under the list's lock. IRQL: ≤ DISPATCH_LEVEL.
        pub(crate) fn set(&self) {
            // SAFETY: the event was prepared before it came into the list, and is still there.
            unsafe { nt::KeSetEvent(self.0.get(), 0, 0) };
        }

        /// Waits until the event is set or the time is over.
        ///
        /// A negative timeout counts from now on, in units of 100 ns; a positive one is a moment of
        /// system time; `None` never ends the wait. IRQL: PASSIVE_LEVEL.
        pub(crate) fn wait(&self, timeout: Option<i64>) {
            // SAFETY: the event is prepared; the caller is at PASSIVE_LEVEL.
            unsafe { nt::wait_for_event(self.0.get(), timeout) };
        }

        /// Erases the event, which is out of the list. A set that came too late would then be
        /// noticed, by the kernel or in a debugger.
        pub(crate) fn retire(&self) {
            // SAFETY: the event is out of the list, so no other code has it.
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
        /// Written when the event has gone, so that a set at the same time is a data race.
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
            // SAFETY: loom detects a write at the same time.
            assert!(!self.gone.with(|gone| unsafe { *gone }), "an event is set after its waiter has left");
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
            // SAFETY: loom detects a read at the same time.
            self.gone.with_mut(|gone| unsafe { *gone = true });
        }
    }
}
