//! Who may use a value that goes away: those who have entered before it was closed, which waits for them.
//!
//! The kernel's rundown protection would do below and at DISPATCH_LEVEL; this is for every IRQL. Whoever closes waits at PASSIVE_LEVEL by looking
//! again and again, because the last to leave may be where no event can be set.
//!
//! | bits of the word | |
//! |---|---|
//! | 0 `OPEN` | who comes may enter |
//! | 1 `CLAIMED` | somebody opens it, it is open, or somebody closes it |
//! | from 2 | how many are inside |
//!
//! - `[G1]` The value is written by who has claimed the gate, before it is open, and read by those inside.
//! - `[G2]` `OPEN` goes once, by who closes. Nobody enters after it, and those who are inside leave: a count that is 0 then stays 0.
//! - `[G3]` What was done inside happened before the end of `close`; what was done before `open`, before an `enter`.

#[cfg(all(test, loom))]
mod loom_tests;

use crate::sync::{AtomicUsize, Ordering, const_fn};

const OPEN: usize = 1;
const CLAIMED: usize = 2;
const ONE: usize = 4;

/// The gate, and the value.
pub(super) struct Gate {
    word: AtomicUsize,
    value: AtomicUsize,
}

impl Gate {
    const_fn! {
        /// Closed, and nobody's.
        pub(super) fn new() -> Self {
            Self { word: AtomicUsize::new(0), value: AtomicUsize::new(0) }
        }
    }

    /// Takes it, to open it. False: somebody else has.
    #[must_use]
    pub(super) fn claim(&self) -> bool {
        // Acquire: what whoever has had it before did with it is over.
        self.word.fetch_or(CLAIMED, Ordering::Acquire) & CLAIMED == 0
    }

    /// Lets everybody in, by who has claimed it.
    pub(super) fn open(&self, value: usize) {
        self.value.store(value, Ordering::Relaxed);
        // Release: [G1], [G3].
        self.word.fetch_or(OPEN, Ordering::Release);
    }

    /// By who has claimed it and not opened it, or has closed it: others may claim it.
    pub(super) fn give_up(&self) {
        self.word.fetch_and(!CLAIMED, Ordering::Release);
    }

    /// Goes in, where it is open.
    pub(super) fn enter(&self) -> Option<Entered<'_>> {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & OPEN != 0 {
            // Acquire: [G3].
            let entered =
                self.word.compare_exchange_weak(word, word + ONE, Ordering::Acquire, Ordering::Relaxed);
            match entered {
                Ok(_) => return Some(Entered { gate: self }),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Closes it, waits until nobody is inside, and answers the value, which is the caller's then, until it gives the gate up. None where it is not open,
    /// or somebody else closes it.
    pub(super) fn close(&self, rest: impl Fn()) -> Option<usize> {
        if self.word.fetch_and(!OPEN, Ordering::Relaxed) & OPEN == 0 {
            return None;
        }
        // Acquire: [G3]. Those who leave are read-modify-writes of one chain, so the last one stands for all.
        while self.word.load(Ordering::Acquire) >= ONE {
            rest();
        }
        Some(self.value.load(Ordering::Relaxed))
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Inside.
#[must_use]
pub(super) struct Entered<'a> {
    gate: &'a Gate,
}

impl Entered<'_> {
    /// The value.
    pub(super) fn value(&self) -> usize {
        self.gate.value.load(Ordering::Relaxed)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // Release: [G3].
        self.gate.word.fetch_sub(ONE, Ordering::Release);
    }
}
