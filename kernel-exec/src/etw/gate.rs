//! A gate that guards a value that can be withdrawn. Callers enter, use the value, and leave.
//! `close` admits no more callers and waits for those inside.
//!
//! The kernel's rundown protection would suffice up to DISPATCH_LEVEL; this gate is for every IRQL.
//! The closer waits at PASSIVE_LEVEL by polling, because the last caller may leave at an IRQL where
//! no event can be set.
//!
//! | bits of the word | meaning |
//! |---|---|
//! | 0 `OPEN` | callers may enter |
//! | 1 `CLAIMED` | the gate is being opened, is open, or is being closed |
//! | 2 `KEPT` | the owner that opened the gate gave up its claim, so any caller may close it |
//! | from 3 | the number of callers inside |
//!
//! - `[G1]` The owner that claimed the gate writes the value, before the gate is open. The callers
//!   inside read it.
//! - `[G2]` The closer clears `OPEN`, once. No caller enters afterwards, and those inside leave, so
//!   a count that reaches 0 stays 0.
//! - `[G3]` An action inside happens before the end of `close`. An action before `open` happens
//!   before an `enter`.
//! - `[G4]` The owner that opened the gate closes it. If that owner gave up its claim (`KEPT`), the
//!   first caller of `close_kept` does. So an old owner never closes a gate that a new owner has
//!   opened.

#[cfg(all(test, loom))]
mod loom_tests;

use crate::sync::{AtomicUsize, Ordering, const_fn};

const OPEN: usize = 1;
const CLAIMED: usize = 2;
const KEPT: usize = 4;
const ONE: usize = 8;

/// The gate, and the value that it guards.
pub(super) struct Gate {
    word: AtomicUsize,
    value: AtomicUsize,
}

impl Gate {
    const_fn! {
        /// Makes a gate that is closed and not claimed.
        pub(super) fn new() -> Self {
            Self { word: AtomicUsize::new(0), value: AtomicUsize::new(0) }
        }
    }

    /// Claims the gate, in order to open it. Returns false if it is claimed already.
    #[must_use]
    pub(super) fn claim(&self) -> bool {
        // Acquire: the actions of the owner before have ended.
        self.word.fetch_or(CLAIMED, Ordering::Acquire) & CLAIMED == 0
    }

    /// Opens the gate for all callers. Only for the owner that claimed it.
    pub(super) fn open(&self, value: usize) {
        self.value.store(value, Ordering::Relaxed);
        // Release: [G1], [G3].
        self.word.fetch_or(OPEN, Ordering::Release);
    }

    /// Leaves the gate open, so that any caller may close it. Only for the owner that opened it,
    /// which gives up its claim.
    pub(super) fn keep(&self) {
        // Release: the owner's earlier actions happen before the end of the close.
        self.word.fetch_or(KEPT, Ordering::Release);
    }

    /// Gives up the claim, so that other owners may claim the gate. Only for an owner that has not
    /// opened the gate, or has closed it.
    pub(super) fn give_up(&self) {
        self.word.fetch_and(!CLAIMED, Ordering::Release);
    }

    /// Enters the gate, if it is open.
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

    /// Closes the gate, waits until no caller is inside, and returns the value. The value is the
    /// caller's until it gives the gate up. Only for the owner that opened the gate.
    pub(super) fn close(&self, rest: impl Fn()) -> Option<usize> {
        self.close_if(0, rest)
    }

    /// Closes a gate that was kept, as [`close`](Self::close) does, for any caller. Returns `None`
    /// if the gate is not kept, or if another caller closes it.
    pub(super) fn close_kept(&self, rest: impl Fn()) -> Option<usize> {
        self.close_if(KEPT, rest)
    }

    fn close_if(&self, kept: usize, rest: impl Fn()) -> Option<usize> {
        let mut word = self.word.load(Ordering::Relaxed);
        // The owner's close needs a gate without `KEPT`, and `close_kept` needs one with it [G4].
        while word & (OPEN | KEPT) == OPEN | kept {
            let closed = word & !(OPEN | KEPT);
            match self.word.compare_exchange_weak(word, closed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(self.emptied(rest)),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Returns the value, once no caller is inside. Only for the caller that closed the gate.
    fn emptied(&self, rest: impl Fn()) -> usize {
        // Acquire: [G3]. The leaves are read-modify-writes of one chain, so the last one stands for
        // all.
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

/// A caller that is inside the gate, until this is dropped.
#[must_use]
pub(super) struct Entered<'a> {
    gate: &'a Gate,
}

impl Entered<'_> {
    /// Returns the value that the gate guards.
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
