//! A machine's state for faults and hangs.

extern crate alloc;

use alloc::string::String;
use core::{
    cell::{Cell, RefCell},
    ffi::c_int,
    time::Duration,
};

use corosensei::stack::{DefaultStack, Stack as _};

use super::cause::HangKind;

/// The size in bytes of the stack that is set aside, on which function names are looked up.
const EXIT_STACK_SIZE: usize = 512 << 10;

/// The registers in the order of the host's `gregset_t`.
pub(super) type RegisterCopies = [i64; 23];

/// The reason why a thread leaves its coroutine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason {
    /// A signal of a fault.
    Fault(c_int),
    /// A page of the arena is closed.
    Page { address: usize, write: bool },
    /// The stack is full.
    Guard,
    /// The run does not reach a preemption point.
    Hang(HangKind),
    /// The thread has panicked.
    Panic,
}

/// The data that a handler leaves for `landing`.
#[repr(C)]
pub(super) struct Record {
    /// The registers that the unwinder starts with.
    pub(super) registers: RegisterCopies,
    /// The address of the instruction.
    pub(super) code: u64,
    pub(super) reason: Reason,
}

/// A panic, or a failed check of Rust's.
#[derive(Debug)]
pub(super) struct PanicReport {
    pub(super) message: String,
    /// The place in the driver's source, with file and line.
    pub(super) place: Option<String>,
    /// Whether it is a failed check.
    pub(super) check: bool,
    /// An address in the frame of the function that has called the hook.
    pub(super) frame: usize,
}

/// The panic of a coroutine that is about to unwind or to call `abort`.
#[derive(Debug, Default)]
pub(super) struct PendingPanic(pub(super) RefCell<Option<PanicReport>>);

impl PendingPanic {
    /// Whether there is something. In a handler.
    pub(super) fn is_some(&self) -> bool {
        self.0.try_borrow().is_ok_and(|found| found.is_some())
    }
}

/// The stack on which a thread ends after it has left its coroutine. One is enough, because the run
/// is then over.
pub(crate) struct ExitStack {
    stack: DefaultStack,
    pub(super) panic: PendingPanic,
}

impl Default for ExitStack {
    #[expect(clippy::panic, reason = "a test process without memory for a stack cannot go on")]
    fn default() -> Self {
        let stack = DefaultStack::new(EXIT_STACK_SIZE);
        let stack = stack.unwrap_or_else(|error| panic!("ntsim: no memory for a stack: {error}"));
        Self { stack, panic: PendingPanic::default() }
    }
}

impl ExitStack {
    pub(super) fn record(&self) -> *mut Record {
        let room = size_of::<Record>().next_multiple_of(64);
        core::ptr::with_exposed_provenance_mut(self.stack.base().get() - room)
    }
}

/// The progress of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) epoch: u32,
    pub(crate) steps: u64,
    pub(crate) jumps: u64,
}

/// The timer of a simulation, and its handler's state.
#[derive(Debug, Default)]
pub(crate) struct HangWatch {
    pub(super) timer: Cell<Option<libc::timer_t>>,
    pub(super) limit: Cell<Duration>,
    pub(super) progress: Cell<Progress>,
    /// The thread's processor time when the progress was first seen.
    pub(super) since: Cell<Duration>,
    /// The stack pointer of the waiting thread, and how many looks in a row have found it there.
    pub(super) waits: Cell<(i64, u32)>,
    /// How many looks were made since the time was over.
    pub(super) late: Cell<u32>,
}

impl Drop for HangWatch {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            // SAFETY: the timer comes from `create`, and is deleted once.
            unsafe { libc::timer_delete(timer) };
        }
    }
}
