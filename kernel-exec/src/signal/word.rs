//! The signal's word, with all its bits and all the steps that it can take. The [module's
//! protocol](super) lists the rules.

use crate::sync::{AtomicUsize, Ordering, const_fn};

/// The signal is set, and no wait has taken it.
const SET: usize = 1 << 0;
/// The slot holds a waker.
const WAKER: usize = 1 << 1;
/// One party has the slot to itself.
const HELD: usize = 1 << 2;
/// The bits from here up hold the number of the wait that wrote the slot last.
const WAIT: u32 = 3;
/// The highest number of a wait.
pub(super) const LAST_WAIT: usize = usize::MAX >> WAIT;

/// The action that a setter owes.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Set {
    /// Do nothing.
    Nothing,
    /// Empty the slot, which the caller holds, call [`Word::give_back`], and wake.
    Wake,
}

/// The action that a waiter may take.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Store {
    /// Do nothing, because the signal was set and now belongs to this waiter.
    Set,
    /// Do nothing, because another party has the slot.
    Busy,
    /// Write the slot, then call [`Word::end_store`].
    Held,
}

const fn set(word: usize) -> (usize, Set) {
    if word & (SET | HELD) == 0 && word & WAKER != 0 {
        (word | SET | HELD, Set::Wake)
    } else {
        (word | SET, Set::Nothing)
    }
}

const fn take(word: usize) -> (usize, bool) {
    (word & !SET, word & SET != 0)
}

const fn begin_store(word: usize) -> (usize, Store) {
    if word & SET != 0 {
        (word & !SET, Store::Set)
    } else if word & HELD != 0 {
        (word, Store::Busy)
    } else {
        (word | HELD, Store::Held)
    }
}

const fn end_store(word: usize, wait: usize) -> (usize, bool) {
    if word & SET != 0 { (word & !SET, false) } else { (wait << WAIT | WAKER, true) }
}

const fn begin_removal(word: usize, wait: usize) -> (usize, bool) {
    if word & (HELD | WAKER) == WAKER && word >> WAIT == wait { (word | HELD, true) } else { (word, false) }
}

/// The atomic word.
pub(super) struct Word(AtomicUsize);

impl Word {
    const_fn! {
        pub(super) fn new() -> Self {
            Self(AtomicUsize::new(0))
        }
    }

    /// Takes one step with one successful read-modify-write, even when the step changes nothing
    /// `[S5]`.
    fn step<D>(&self, transition: impl Fn(usize) -> (usize, D)) -> D {
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let (next, action) = transition(current);
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return action,
                Err(seen) => current = seen,
            }
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire) & SET != 0
    }

    /// Sets the signal. The result is the action that the caller owes.
    pub(super) fn set(&self) -> Set {
        self.step(set)
    }

    /// Takes the signal. Returns whether it was set.
    pub(super) fn take(&self) -> bool {
        self.step(take)
    }

    /// Takes the signal or holds the slot. The result is the action that the caller may take.
    pub(super) fn begin_store(&self) -> Store {
        self.step(begin_store)
    }

    /// Tries to give back the slot, into which the holder has put a waker of this wait.
    ///
    /// Returns true if the slot is given back. False means that the signal has been set meanwhile.
    /// Then the caller has taken the signal and still holds the slot.
    #[must_use]
    pub(super) fn end_store(&self, wait: usize) -> bool {
        self.step(|word| end_store(word, wait))
    }

    /// Holds the slot, if it contains a waker of this wait that no other party is taking out.
    #[must_use]
    pub(super) fn begin_removal(&self, wait: usize) -> bool {
        self.step(|word| begin_removal(word, wait))
    }

    /// Gives back the slot, which the holder has emptied.
    pub(super) fn give_back(&self) {
        self.0.fetch_and(!(HELD | WAKER), Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{HELD, SET, Set, Store, WAIT, WAKER, begin_removal, begin_store, end_store, set};

    /// Every possible word `[S3]`, with a few wait numbers.
    fn words() -> impl Iterator<Item = usize> {
        (0..4 << WAIT).filter(|word| word & (SET | WAKER | HELD) != SET | WAKER)
    }

    #[test]
    fn a_wait_after_the_set_leaves_the_slot_empty() {
        let fine = |word: usize| word & (SET | WAKER | HELD) != SET | WAKER;
        for word in words() {
            assert!(
                fine(set(word).0) && fine(begin_store(word).0) && fine(begin_removal(word, 1).0),
                "{word:#b}"
            );
            if word & HELD != 0 {
                assert!(fine(end_store(word, 1).0), "{word:#b}");
                assert!(fine(word & !(HELD | WAKER)), "{word:#b}");
            }
        }
    }

    #[test]
    fn the_slot_is_never_given_to_a_second_one() {
        for word in words().filter(|word| word & HELD != 0) {
            assert_eq!(set(word), (word | SET, Set::Nothing));
            assert_ne!(begin_store(word).1, Store::Held);
            assert!(!begin_removal(word, word >> WAIT).1);
        }
    }

    #[test]
    fn a_wait_removes_its_own_waker_only() {
        let (stored, kept) = end_store(HELD, 2);
        assert!(kept);
        assert_eq!(begin_removal(stored, 1), (stored, false));
        assert_eq!(begin_removal(stored, 2), (stored | HELD, true));
    }

    #[test]
    fn a_set_is_kept_until_it_is_taken() {
        for word in words() {
            assert_ne!(set(word).0 & SET, 0);
            assert_eq!(begin_store(word | SET), (word & !SET, Store::Set));
        }
    }
}
