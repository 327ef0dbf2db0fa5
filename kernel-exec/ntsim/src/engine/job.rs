//! The work of coroutines.

extern crate alloc;

use alloc::boxed::Box;

/// The code that a thread executes at PASSIVE_LEVEL.
pub type Program = Box<dyn FnOnce()>;

/// The work that a coroutine is given.
#[derive(Default)]
pub(crate) enum Job {
    /// Run the DPCs in its processor's queue.
    #[default]
    Idle,
    /// Run as the program's thread, and then run the DPCs in the queue.
    Program(Program),
    /// Run as this system thread.
    Thread(usize),
}
