//! A signal, which any code may set and one task waits for.
//!
//! # The protocol
//!
//! The signal is one word and one slot for a waker.
//!
//! | bit | meaning |
//! |---|---|
//! | SET | the signal has been set, and no wait has taken it |
//! | WAKER | the slot holds the waker of a wait |
//! | HELD | one party has the slot to itself, either the waiter that writes it or the party that empties it |
//! | the rest | the number of the wait that left its waker in the slot |
//!
//! - **S1** Only the party that set HELD touches the slot, until it clears HELD.
//! - **S2** A setter that finds WAKER and not HELD takes HELD in the same step as SET, empties the
//!   slot, clears HELD and wakes. A setter that finds HELD does nothing more, because the holder
//!   sees SET when it clears HELD. (A setter that holds the slot wakes anyway.)
//! - **S3** So WAKER and SET are never both there without HELD. No wait stays in the slot after the
//!   set that it waits for.
//! - **S4** A wait that is dropped takes HELD only if the word says that the waker in the slot is
//!   its own. So it never holds the slot just to look. If it finds the slot held, then its waker is
//!   not in the slot, or is being taken out or replaced.
//! - **S5** Every set is a read-modify-write with Release, even when it changes nothing. Every step
//!   of a waiter is one with Acquire.

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

/// The waker of the wait, and the wait's number.
struct WakerSlot {
    waker: Option<Waker>,
    /// The number of the last wait that began. Each wait has its own number.
    last: usize,
}

/// An event for one waiting task. An interrupt's DPC, a completion routine or a timer sets it.
///
/// It is sticky, so a [`set`](Self::set) before a [`wait`](Self::wait) is not lost. A wait that
/// ends takes the signal, and the next wait needs the next set. Several sets without a wait in
/// between count as one. The signal allocates nothing and may be a static; a driver's must be in
/// non-paged memory.
///
/// One task waits at a time. Two waiting tasks are a mistake of the driver. Then the task that was
/// polled last has the slot, and the other task hears of no set until something else has it polled.
/// If nothing else can wake that other task, it is cancelled, as whenever its last waker goes
/// `[C9]`. Its last poll may in turn displace the waker of the first task.
///
/// A wait that finds the signal set ends in its first poll, unless the task's poll has already had
/// 32 such futures. Then it wakes its task and is pending once, so a body that sets its own signal
/// does not keep its processor. The other futures of this crate that can be ready at once do the
/// same.
///
/// Its atomics are this crate's own. So the simulated kernel can preempt every step of it, and loom
/// explores every step. (A crate such as `atomic-waker` would be one step to both.)
///
/// ```
/// use ntcom_exec::Signal;
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
///
/// static DATA_IS_THERE: Signal = Signal::new();
///
/// ntcom_exec::spawn_dpc_task(async {
///     DATA_IS_THERE.wait().await;
///     // read the data
/// }).unwrap();
/// DATA_IS_THERE.set(); // in some callback
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }).unwrap();
/// ```
pub struct Signal {
    word: Word,
    slot: UnsafeCell<WakerSlot>,
}

// SAFETY: the slot belongs to one party at a time [S1], and a waker may be used and dropped on any
// processor.
unsafe impl Send for Signal {}
// SAFETY: shared access goes through the word, which gives the slot to one party at a time [S1].
unsafe impl Sync for Signal {}

impl Signal {
    const_fn! {
        /// Makes a signal that has not been set.
        #[must_use]
        pub fn new() -> Self {
            Self { word: Word::new(), slot: UnsafeCell::new(WakerSlot { waker: None, last: 0 }) }
        }
    }

    /// Sets the signal and wakes the waiting task. Nothing happens if it is already set.
    ///
    /// Any processor may call it, also several at once. No user code runs in it, except that of a
    /// waker that does not belong to a task of this crate. IRQL: ≤ DISPATCH_LEVEL.
    pub fn set(&self) {
        nt::check_wake(core::ptr::from_ref(self).cast());
        if self.word.set() == Set::Wake
            && let Some(waker) = self.empty()
        {
            waker.wake();
        }
    }

    /// Tells whether the signal is set, so that a wait would end at once.
    ///
    /// Other processors may change it at any time. IRQL: any.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.word.is_set()
    }

    /// Takes the signal without waiting, and returns whether it was set. IRQL: any.
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

    /// Waits until the signal is set, and takes it.
    ///
    /// Dropping the wait at any time loses nothing, because the signal stays set until a wait has
    /// ended with it. IRQL of the polls and of the drop: ≤ DISPATCH_LEVEL.
    pub const fn wait(&self) -> Wait<'_> {
        Wait::new(self)
    }

    /// Polls wait number `wait`. The number is 0 until the wait has been in the slot, where it gets
    /// a number.
    pub(crate) fn poll(&self, wait: &mut usize, context: &Context<'_>) -> Poll<()> {
        match self.word.begin_store() {
            Store::Set => return Poll::Ready(()),
            Store::Busy => {
                // Another party is emptying the slot, on another processor or below this IRQL on
                // this one, so it cannot be waited for here.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Store::Held => {}
        }
        let store = |slot: *mut WakerSlot| {
            // SAFETY: the slot is held since `begin_store` [S1].
            unsafe { &mut *slot }.store(wait, context.waker())
        };
        let replaced = self.slot.with_mut(store);
        let polled = if self.word.end_store(*wait) {
            Poll::Pending
        } else {
            // The signal was set meanwhile [S2], so this wait ends. The slot is still held.
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

    /// Removes the waker of wait number `wait`, which is being dropped.
    pub(crate) fn forget(&self, wait: usize) {
        if wait != 0 && self.word.begin_removal(wait) {
            drop(self.empty());
        }
    }
}

impl WakerSlot {
    /// Puts the waker of wait number `wait` into the slot, and numbers the wait if it has no
    /// number. Returns the waker that it replaced.
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
