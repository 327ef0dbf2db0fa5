//! The holders of mutexes.

extern crate alloc;

use alloc::vec::Vec;
use core::ops::Range;

/// A held mutex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldMutex {
    pub(crate) address: usize,
    /// The context of the thread that holds it.
    pub(crate) thread: usize,
    /// Whether it was acquired at DISPATCH_LEVEL.
    pub(crate) at_dispatch: bool,
}

/// All held mutexes. Each is listed once, however often it was acquired.
#[derive(Debug, Default)]
pub(crate) struct Mutexes {
    held: Vec<HeldMutex>,
}

impl Mutexes {
    pub(crate) fn reset(&mut self) {
        if !self.held.is_empty() {
            self.held.clear();
        }
    }

    /// Returns the record of a held mutex, with its holder.
    pub(crate) fn holder(&self, address: usize) -> Option<HeldMutex> {
        self.held.iter().find(|held| held.address == address).copied()
    }

    /// Notes that a thread has acquired a mutex that was free.
    pub(crate) fn acquire(&mut self, held: HeldMutex) {
        self.held.push(held);
    }

    /// Notes that a mutex is free.
    pub(crate) fn release(&mut self, address: usize) {
        self.held.retain(|held| held.address != address);
    }

    /// Returns all held mutexes.
    pub(crate) fn held(&self) -> &[HeldMutex] {
        &self.held
    }

    /// Returns the first mutex that a thread holds.
    pub(crate) fn of(&self, thread: usize) -> Option<HeldMutex> {
        self.held.iter().find(|held| held.thread == thread).copied()
    }

    /// Returns the first held mutex in an address range.
    pub(crate) fn find_in(&self, range: Range<usize>) -> Option<HeldMutex> {
        self.held.iter().find(|held| range.contains(&held.address)).copied()
    }
}
