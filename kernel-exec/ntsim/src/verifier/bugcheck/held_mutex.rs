//! Bug check 0x4000008A, THREAD_TERMINATE_HELD_MUTEX: one constructor for each rule
//! (learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0x4000008a--thread-terminate-held-mutex).

extern crate alloc;

use alloc::{boxed::Box, format};
use core::fmt::Display;

use super::violation;
use crate::verifier::Violation;

const THREAD_TERMINATE_HELD_MUTEX: u32 = 0x4000_008A;

/// A thread ended while it held a mutex.
pub(crate) fn thread_ended(
    thread: usize,
    thread_name: impl Display,
    mutex: usize,
    name: impl Display,
) -> Box<Violation> {
    let rule = format!("{thread_name} ended and holds the mutex {name}");
    violation(THREAD_TERMINATE_HELD_MUTEX, [thread as u64, mutex as u64, 0, 0], rule)
}

/// A work item's routine returned in a worker thread that held a mutex.
pub(crate) fn work_item_returned(
    worker: usize,
    worker_name: impl Display,
    mutex: usize,
    name: impl Display,
) -> Box<Violation> {
    let rule = format!("a work item's routine returned in {worker_name} and holds the mutex {name}");
    violation(THREAD_TERMINATE_HELD_MUTEX, [worker as u64, mutex as u64, 0, 0], rule)
}
