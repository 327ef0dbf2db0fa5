//! The order in which spin locks were acquired, for Driver Verifier's deadlock detection.

extern crate alloc;

use alloc::vec::Vec;
use core::ops::Range;

/// Pairs of locks. In each pair the second lock was acquired while the first was held.
#[derive(Debug, Default)]
pub(crate) struct LockOrder {
    pairs: Vec<(usize, usize)>,
}

impl LockOrder {
    pub(crate) fn reset(&mut self) {
        if !self.pairs.is_empty() {
            self.pairs.clear();
        }
    }

    /// Returns whether no order is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Notes that `second` is acquired while `first` is held. Returns false if `first` was once
    /// acquired while `second` was held, directly or through other locks.
    pub(crate) fn add(&mut self, first: usize, second: usize) -> bool {
        if self.leads(second, first) {
            return false;
        }
        if !self.pairs.contains(&(first, second)) {
            self.pairs.push((first, second));
        }
        true
    }

    fn leads(&self, from: usize, to: usize) -> bool {
        let (mut reached, mut looked_at) = (alloc::vec![from], 0);
        while let Some(at) = reached.get(looked_at).copied() {
            if at == to {
                return true;
            }
            looked_at += 1;
            for (_, next) in self.pairs.iter().filter(|(first, _)| *first == at) {
                if !reached.contains(next) {
                    reached.push(*next);
                }
            }
        }
        false
    }

    /// Removes the locks in an address range.
    pub(crate) fn forget(&mut self, range: Range<usize>) {
        if !self.pairs.is_empty() {
            self.pairs.retain(|(first, second)| !range.contains(first) && !range.contains(second));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LockOrder;

    #[test]
    fn a_circle_of_three_is_found_and_forgotten_locks_are_not_in_it() {
        let mut order = LockOrder::default();
        assert!(order.add(1, 2) && order.add(2, 3) && order.add(1, 3));
        assert!(!order.add(3, 1));
        order.forget(2..3);
        assert!(!order.add(3, 1), "directly");
        order.forget(1..2);
        assert!(order.add(3, 1));
    }
}
