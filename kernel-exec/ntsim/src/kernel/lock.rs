//! The holders of spin locks.

extern crate alloc;

use alloc::vec::Vec;

/// A held lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldLock {
    pub(crate) address: usize,
    pub(crate) processor: usize,
    /// The address of the queue handle that the lock was acquired with, or 0.
    pub(crate) handle: usize,
}

/// All held locks.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Vec<HeldLock>,
}

impl Locks {
    pub(crate) fn reset(&mut self) {
        self.held.clear();
    }

    /// Returns the processor that holds a lock.
    pub(crate) fn holder(&self, address: usize) -> Option<usize> {
        self.held.iter().rev().find(|held| held.address == address).map(|held| held.processor)
    }

    /// Returns the queue handle that a held lock was acquired with, or 0.
    pub(crate) fn handle(&self, address: usize) -> usize {
        self.held.iter().rev().find(|held| held.address == address).map_or(0, |held| held.handle)
    }

    /// Notes that a processor has acquired a lock that was free.
    pub(crate) fn acquire(&mut self, held: HeldLock) {
        self.held.push(held);
    }

    /// Notes that a lock has been released.
    pub(crate) fn release(&mut self, address: usize) {
        if let Some(position) = self.held.iter().rposition(|held| held.address == address) {
            self.held.remove(position);
        }
    }

    /// Returns how many locks a processor holds.
    pub(crate) fn held_by(&self, processor: usize) -> usize {
        self.held.iter().filter(|held| held.processor == processor).count()
    }

    /// Returns all held locks, in the order of acquisition.
    pub(crate) fn held(&self) -> &[HeldLock] {
        &self.held
    }
}
