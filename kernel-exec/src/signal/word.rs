//! The word: every bit of it, and every step it can take. The rules are in the [module's protocol](super).

use crate::sync::{AtomicUsize, Ordering, const_fn};

/// Set, and not taken.
const SET: usize = 1 << 0;
/// The slot holds a waker.
const WAKER: usize = 1 << 1;
/// Somebody has the slot to itself.
const HELD: usize = 1 << 2;

/// What a set, or a look at the slot that is over, obliges the caller to.
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

const fn end_store(word: usize) -> (usize, bool) {
    if word & SET != 0 { (word & !SET, false) } else { (word & !HELD | WAKER, true) }
}

const fn begin_look(word: usize) -> (usize, bool) {
    if word & HELD == 0 && word & WAKER != 0 { (word | HELD, true) } else { (word, false) }
}

const fn end_look(word: usize) -> (usize, Set) {
    if word & SET != 0 { (word, Set::Wake) } else { (word & !HELD, Set::Nothing) }
}

/// The word itself.
pub(super) struct Word(AtomicUsize);

impl Word {
    const_fn! {
        pub(super) fn new() -> Self {
            Self(AtomicUsize::new(0))
        }
    }

    /// One successful read-modify-write, also where it changes nothing `[S4]`.
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

    /// The holder has put a waker into the slot: true, and the slot is given back with it; false: the signal has been set meanwhile,
    /// it is the caller's now, and so is the slot still.
    #[must_use]
    pub(super) fn end_store(&self) -> bool {
        self.step(end_store)
    }

    /// Holds the slot, if there is a waker in it that nobody is taking out.
    #[must_use]
    pub(super) fn begin_look(&self) -> bool {
        self.step(begin_look)
    }

    /// The holder has left the waker in the slot: gives it back, or, where the signal has been set meanwhile, has the setter's duty.
    pub(super) fn end_look(&self) -> Set {
        self.step(end_look)
    }

    /// The holder has emptied the slot.
    pub(super) fn give_back(&self) {
        self.0.fetch_and(!(HELD | WAKER), Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{HELD, SET, Set, Store, WAKER, begin_look, begin_store, end_look, end_store, set};

    /// Every word that can be: `[S3]`.
    fn words() -> impl Iterator<Item = usize> {
        (0..8).filter(|word| word & (SET | WAKER | HELD) != SET | WAKER)
    }

    #[test]
    fn nobody_waits_in_the_slot_for_what_has_happened() {
        let fine = |word: usize| word & (SET | WAKER | HELD) != SET | WAKER;
        for word in words() {
            assert!(fine(set(word).0) && fine(begin_store(word).0) && fine(begin_look(word).0), "{word:#b}");
            if word & HELD != 0 {
                assert!(fine(end_store(word).0) && fine(end_look(word).0), "{word:#b}");
                assert!(fine(word & !(HELD | WAKER)), "{word:#b}");
            }
        }
    }

    #[test]
    fn the_slot_is_never_given_to_a_second_one() {
        for word in words().filter(|word| word & HELD != 0) {
            assert_eq!(set(word), (word | SET, Set::Nothing));
            assert_ne!(begin_store(word).1, Store::Held);
            assert!(!begin_look(word).1);
        }
    }

    #[test]
    fn a_set_is_kept_until_it_is_taken() {
        for word in words() {
            assert_ne!(set(word).0 & SET, 0);
            assert_eq!(begin_store(word | SET), (word & !SET, Store::Set));
        }
    }
}
