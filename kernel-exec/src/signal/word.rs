//! The word: every bit of it, and every step it can take. The rules are in the [module's protocol](super).

use crate::sync::{AtomicUsize, Ordering, const_fn};

/// Set, and not taken.
const SET: usize = 1 << 0;
/// The slot holds a waker.
const WAKER: usize = 1 << 1;
/// Somebody has the slot to itself.
const HELD: usize = 1 << 2;
/// Above the bits: the number of the wait that wrote the slot last.
const WAIT: u32 = 3;
/// The highest number of a wait.
pub(super) const LAST_WAIT: usize = usize::MAX >> WAIT;

/// What a set obliges the caller to.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Set {
    /// Nothing.
    Nothing,
    /// The caller holds the slot: empty it, [`Word::give_back`], and wake.
    Wake,
}

/// What a waiter may do.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Store {
    /// Nothing: the signal was set, and is this waiter's now.
    Set,
    /// Nothing: somebody else has the slot.
    Busy,
    /// Write the slot, then [`Word::end_store`].
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

/// The word itself.
pub(super) struct Word(AtomicUsize);

impl Word {
    const_fn! {
        pub(super) fn new() -> Self {
            Self(AtomicUsize::new(0))
        }
    }

    /// One successful read-modify-write, also where it changes nothing `[S5]`.
    fn step<D>(&self, transition: impl Fn(usize) -> (usize, D)) -> D {
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let (next, duty) = transition(current);
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return duty,
                Err(seen) => current = seen,
            }
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire) & SET != 0
    }

    /// See [`Set`].
    pub(super) fn set(&self) -> Set {
        self.step(set)
    }

    /// Takes the signal, if it is set.
    pub(super) fn take(&self) -> bool {
        self.step(take)
    }

    /// See [`Store`].
    pub(super) fn begin_store(&self) -> Store {
        self.step(begin_store)
    }

    /// The holder has put a waker of this wait into the slot: true, and the slot is given back with it; false: the signal has been set
    /// meanwhile, it is the caller's now, and so is the slot still.
    #[must_use]
    pub(super) fn end_store(&self, wait: usize) -> bool {
        self.step(|word| end_store(word, wait))
    }

    /// Holds the slot, if there is a waker of this wait in it that nobody is taking out.
    #[must_use]
    pub(super) fn begin_removal(&self, wait: usize) -> bool {
        self.step(|word| begin_removal(word, wait))
    }

    /// The holder has emptied the slot.
    pub(super) fn give_back(&self) {
        self.0.fetch_and(!(HELD | WAKER), Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{HELD, SET, Set, Store, WAIT, WAKER, begin_removal, begin_store, end_store, set};

    /// Every word that can be, with a few waits: `[S3]`.
    fn words() -> impl Iterator<Item = usize> {
        (0..4 << WAIT).filter(|word| word & (SET | WAKER | HELD) != SET | WAKER)
    }

    #[test]
    fn nobody_waits_in_the_slot_for_what_has_happened() {
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
