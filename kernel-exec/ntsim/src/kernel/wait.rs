//! The waits of threads for objects. Waiters are in the order in which they began to wait.

extern crate alloc;

use alloc::vec::Vec;
use core::ops::Range;

use super::timer::Key;

/// The condition that ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitKind {
    /// One of the objects.
    Any,
    /// All of the objects together.
    All,
    /// Time alone, for KeDelayExecutionThread.
    Delay,
    /// A condition of the kernel's own code, with its name.
    Kernel(&'static str),
}

/// A thread that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) thread: usize,
    pub(crate) kind: WaitKind,
    /// The addresses of the objects.
    pub(crate) objects: Vec<usize>,
    /// The place of the time-out in the timer queue.
    pub(crate) timeout: Option<Key>,
}

/// All waits.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    waits: Vec<Wait>,
}

impl Waits {
    pub(crate) fn reset(&mut self) {
        if !self.waits.is_empty() {
            self.waits.clear();
        }
    }

    pub(crate) fn add(&mut self, wait: Wait) {
        self.waits.push(wait);
    }

    /// Ends a thread's wait.
    pub(crate) fn remove(&mut self, thread: usize) -> Option<Wait> {
        let position = self.waits.iter().position(|wait| wait.thread == thread)?;
        Some(self.waits.remove(position))
    }

    /// Changes the place of a wait's time-out.
    pub(crate) fn set_timeout(&mut self, thread: usize, key: Key) {
        if let Some(wait) = self.waits.iter_mut().find(|wait| wait.thread == thread) {
            wait.timeout = Some(key);
        }
    }

    /// Returns the threads that wait in the kernel's own code for this reason.
    pub(crate) fn kernel(&self, reason: &'static str) -> Vec<usize> {
        let waits = self.waits.iter().filter(|wait| wait.kind == WaitKind::Kernel(reason));
        waits.map(|wait| wait.thread).collect()
    }

    /// Returns a thread's wait.
    pub(crate) fn of(&self, thread: usize) -> Option<&Wait> {
        self.waits.iter().find(|wait| wait.thread == thread)
    }

    /// Returns the threads that wait for the object at an address.
    pub(crate) fn waiters(&self, address: usize) -> Vec<usize> {
        let waits = self.waits.iter().filter(|wait| wait.objects.contains(&address));
        waits.map(|wait| wait.thread).collect()
    }

    /// Returns the first wait for an object in an address range, with the object.
    pub(crate) fn find_in(&self, range: Range<usize>) -> Option<(usize, usize)> {
        self.waits.iter().find_map(|wait| {
            let object = wait.objects.iter().find(|object| range.contains(object))?;
            Some((wait.thread, *object))
        })
    }

    /// Returns all waits.
    pub(crate) fn all(&self) -> &[Wait] {
        &self.waits
    }
}
