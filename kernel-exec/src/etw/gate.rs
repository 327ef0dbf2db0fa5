//! Who may use a value that goes away: those who have entered before it was closed, which waits for them.
//!
//! The kernel's rundown protection would do below and at DISPATCH_LEVEL; this is for every IRQL. Whoever closes waits at PASSIVE_LEVEL by looking
//! again and again, because the last to leave may be where no event can be set.
//!
//! | bits of the word | |
//! |---|---|
//! | 0 `OPEN` | who comes may enter |
//! | 1 `CLAIMED` | somebody opens it, it is open, or somebody closes it |
//! | 2 `KEPT` | who has opened it has gone: anybody may close it |
//! | from 3 | how many are inside |
//!
//! - `[G1]` The value is written by who has claimed the gate, before it is open, and read by those inside.
//! - `[G2]` `OPEN` goes once, by who closes. Nobody enters after it, and those who are inside leave: a count that is 0 then stays 0.
//! - `[G3]` What was done inside happened before the end of `close`; what was done before `open`, before an `enter`.
//! - `[G4]` It is closed by who has opened it, or, once that has gone, by the first who comes: so an old owner never closes what a new one has opened.

#[cfg(all(test, loom))]
mod loom_tests;

use crate::sync::{AtomicUsize, Ordering, const_fn};

const OPEN: usize = 1;
const CLAIMED: usize = 2;
const KEPT: usize = 4;
const ONE: usize = 8;

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

    /// It stays open, by who has opened it and goes: anybody may close it.
    pub(super) fn keep(&self) {
        // Release: what was done before it happened before the end of whoever closes it.
        self.word.fetch_or(KEPT, Ordering::Release);
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

    /// Closes it, waits until nobody is inside, and answers the value, which is the caller's then, until it gives the gate up. By who has opened it.
    pub(super) fn close(&self, rest: impl Fn()) -> Option<usize> {
        self.close_if(0, rest)
    }

    /// The same by anybody, where it is kept. None where it is not, or somebody else closes it.
    pub(super) fn close_kept(&self, rest: impl Fn()) -> Option<usize> {
        self.close_if(KEPT, rest)
    }

    fn close_if(&self, kept: usize, rest: impl Fn()) -> Option<usize> {
        let mut word = self.word.load(Ordering::Relaxed);
        // [G4].
        while word & (OPEN | KEPT) == OPEN | kept {
            let closed = word & !(OPEN | KEPT);
            match self.word.compare_exchange_weak(word, closed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(self.emptied(rest)),
                Err(now) => word = now,
            }
        }
        None
    }

    /// The value, once nobody is inside. By who has closed it.
    fn emptied(&self, rest: impl Fn()) -> usize {
        // Acquire: [G3]. Those who leave are read-modify-writes of one chain, so the last one stands for all.
        while self.word.load(Ordering::Acquire) >= ONE {
            rest();
        }
        self.value.load(Ordering::Relaxed)
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
