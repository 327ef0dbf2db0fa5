//! A signal: set by anybody, waited for by one.
//!
//! # The protocol
//!
//! One word and one slot for a waker.
//!
//! | bit | meaning |
//! |---|---|
//! | SET | the signal has been set, and no wait has taken it |
//! | WAKER | the slot holds the waker of somebody who waits |
//! | HELD | one party has the slot to itself: the waiter that writes it, or the one that empties it |
//! | the rest | the number of the wait whose waker is in the slot |
//!
//! - **S1** Only who set HELD touches the slot, until it clears HELD.
//! - **S2** Who sets SET while WAKER is there and HELD is not takes HELD with the same step, empties the slot, gives HELD back and
//!   wakes. Who sets SET while HELD is there does nothing more: the holder, when it gives HELD back, sees SET. (A setter that holds
//!   wakes anyway.)
//! - **S3** So WAKER and SET are never both there while HELD is not: nobody waits in the slot for what has happened.
//! - **S4** A wait that is dropped takes HELD only where the word says that the waker is its own: nobody holds the slot to look at it, and
//!   a wait that finds it held has nothing in it, or its waker is being taken out or replaced.
//! - **S5** Every set is a read-modify-write with Release, also where it changes nothing; every step of a waiter is one with Acquire.

mod wait;
mod word;

#[cfg(all(test, loom))]
mod loom_tests;

use core::task::{Context, Poll, Waker};

pub use self::wait::Wait;
use self::word::{LAST_WAIT, Set, Store, Word};
use crate::{
    nt,
    sync::{UnsafeCell, const_fn},
};

/// Who waits.
struct Slot {
    waker: Option<Waker>,
    /// The number of the last wait that began: each has one.
    last: usize,
}

/// Something that happens, and a task that waits for it: what an interrupt's DPC, a completion routine or a timer tells a task.
///
/// It is sticky: [`set`](Self::set) before [`wait`](Self::wait) is not lost. A wait that ends takes the signal: the next one waits for the
/// next set. Sets that no wait came between are one. It allocates nothing and may be a static; a driver's must be in non-paged memory.
///
/// One waits at a time. Where two do, which is a mistake of the driver's, the one that was polled last has the place, and the other hears
/// of no set until something else has it polled. A task that nobody else can wake is cancelled then, as whenever its last waker goes
/// `[C9]`, and its last poll may displace the first one's waker in turn.
///
/// A wait that finds it set ends in its first poll, but is pending once, with its task woken, where
/// the task's poll has had 32 such futures: a body that sets what it waits for does not keep its
/// processor. So are the other futures of this crate that can be ready at once.
///
/// Its atomics are this crate's own, so under the simulated kernel every step of it can be preempted, and loom goes through it
/// (a crate such as `atomic-waker` would be one step to both).
///
/// ```
/// use ntcom_exec::Signal;
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
///
/// static DATA_IS_THERE: Signal = Signal::new();
///
/// ntcom_exec::spawn_dpc_task(async {
///     DATA_IS_THERE.wait().await;
///     // read it
/// }).unwrap();
/// DATA_IS_THERE.set(); // in some callback
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }))]).unwrap();
/// ```
pub struct Signal {
    word: Word,
    slot: UnsafeCell<Slot>,
}

// SAFETY: the slot is one party's at a time [S1], and a waker may be used and dropped on any processor.
unsafe impl Send for Signal {}
// SAFETY: as above.
unsafe impl Sync for Signal {}

impl Signal {
    const_fn! {
        /// A signal that has not been set.
        #[must_use]
        pub fn new() -> Self {
            Self { word: Word::new(), slot: UnsafeCell::new(Slot { waker: None, last: 0 }) }
        }
    }

    /// Sets it, and wakes who waits. Where it is set already nothing happens. IRQL: ≤ DISPATCH_LEVEL; on any processor, by several at
    /// once; no user code runs in it but that of a waker that is no task's of this crate.
    pub fn set(&self) {
        nt::check_wake(core::ptr::from_ref(self).cast());
        if self.word.set() == Set::Wake
            && let Some(waker) = self.empty()
        {
            waker.wake();
        }
    }

    /// Whether it is set: a wait would end at once. IRQL: any. Others may change that at any time.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.word.is_set()
    }

    /// Takes the signal if it is set, without waiting: whether it was. IRQL: any.
    ///
    /// ```
    /// let signal = ntcom_exec::Signal::new();
    /// signal.set();
    /// assert!(signal.is_set());
    /// assert!(signal.take());
    /// assert!(!signal.take());
    /// ```
    pub fn take(&self) -> bool {
        self.word.take()
    }

    /// Waits until it is set, and takes it. Dropping the wait, whenever, loses nothing: what has been set stays set until a wait has
    /// ended with it. IRQL of the polls and of the drop: ≤ DISPATCH_LEVEL.
    pub const fn wait(&self) -> Wait<'_> {
        Wait::new(self)
    }

    /// One poll of wait number `wait`, which is 0 before it has been in the slot: then it gets a number.
    pub(crate) fn poll(&self, wait: &mut usize, context: &Context<'_>) -> Poll<()> {
        match self.word.begin_store() {
            Store::Set => return Poll::Ready(()),
            Store::Busy => {
                // Somebody is emptying the slot, on another processor or below this IRQL on this one: that cannot be waited for.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Store::Held => {}
        }
        let store = |slot: *mut Slot| {
            // SAFETY: held since the step above [S1]; likewise below.
            unsafe { &mut *slot }.store(wait, context.waker())
        };
        let replaced = self.slot.with_mut(store);
        let polled = if self.word.end_store(*wait) {
            Poll::Pending
        } else {
            // It was set meanwhile [S2]: this wait ends. The slot is still ours.
            self.empty();
            Poll::Ready(())
        };
        drop(replaced);
        polled
    }

    /// Takes the waker out of the slot, and gives the slot back.
    fn empty(&self) -> Option<Waker> {
        // SAFETY: the caller holds the slot [S1].
        let waker = self.slot.with_mut(|slot| unsafe { &mut *slot }.waker.take());
        self.word.give_back();
        waker
    }

    /// Wait number `wait` is no more.
    pub(crate) fn forget(&self, wait: usize) {
        if wait != 0 && self.word.begin_removal(wait) {
            drop(self.empty());
        }
    }
}

impl Slot {
    /// Puts the waker of wait number `wait` into the slot, and gives it a number if it has none. Returns the waker before.
    fn store(&mut self, wait: &mut usize, waker: &Waker) -> Option<Waker> {
        if *wait == 0 {
            self.last = if self.last == LAST_WAIT { 1 } else { self.last + 1 };
            *wait = self.last;
        }
        match &self.waker {
            Some(old) if old.will_wake(waker) => None,
            _ => self.waker.replace(waker.clone()),
        }
    }
}

impl Default for Signal {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Signal").field("set", &self.is_set()).finish_non_exhaustive()
    }
}
