//! What the current coroutine executes (the driver, a kernel call, or the engine), and how much of
//! its stack the driver uses.
//!
//! Each coroutine has its own [`RunState`]: `Machine::suspend` saves it and puts it back.
//!
//! A thread's stack consists of *segments*. A call-out of the kernel begins a segment, and a kernel
//! call ends it. The frames of the simulated kernel lie between two segments and do not count. So
//! the depth of a thread is the sum of its segments. With `floor`, the address at which the stack
//! would begin without the kernel's frames, the depth is `floor - stack pointer`.
//!
//! A routine that goes deep between two kernel calls is found by its traces. The words beyond the
//! limit are painted when a routine begins, and checked when it returns. The kernel's own frames
//! may reach there from a call near the limit. Then the words say nothing about the driver.

use core::cell::Cell;

use crate::{
    fault::stack::{KERNEL, LIMITED, Mark},
    verifier::irql::Ddi,
};

/// What a coroutine executes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RunState {
    /// The driver's code runs, or a kernel call that the driver has made.
    pub(crate) driver: bool,
    /// The kernel call that runs.
    pub(crate) call: Option<Ddi>,
    /// A dispatch routine is among the callers, and no other kind of thread or DPC is in between.
    pub(crate) dispatch: bool,
    /// A routine of the driver is among the callers of the running routine.
    pub(crate) nested: bool,
    /// The program is DriverEntry or Unload, which NT calls in a system thread.
    pub(crate) system: bool,
    /// An address in the frame below which all frames belong to the thread's routine or the DPC's.
    /// 0 if no routine runs.
    pub(crate) outermost: usize,
    /// Where the stack would begin without the kernel's frames.
    pub(super) floor: usize,
    /// The depth at the last kernel call.
    pub(super) depth: usize,
    /// The painted words beyond the limit; none where they say nothing.
    pub(super) mark: Mark,
}

/// [`RunState`] of the current coroutine, and the greatest depth of all.
#[derive(Debug, Default)]
pub(crate) struct Current {
    pub(super) running: Cell<RunState>,
    call: Cell<Option<Ddi>>,
    pub(super) floor: Cell<usize>,
    pub(super) depth: Cell<usize>,
    pub(super) mark: Cell<Mark>,
    /// The greatest depth of any thread or DPC so far.
    pub(super) deepest: Cell<usize>,
    /// A depth beyond this one is looked at.
    pub(super) noticed: Cell<usize>,
    /// The bytes that the driver may use, and from which depth on the kernel's frames may reach
    /// beyond them.
    pub(super) limit: Cell<usize>,
    pub(super) calm: Cell<usize>,
}

impl Current {
    /// Makes the state as new. `limit` is the number of bytes that the driver may use of a stack,
    /// or none if depths are not counted.
    pub(crate) fn reset(&self, limit: Option<usize>) {
        self.set(RunState::default());
        let limit = limit.filter(|_| LIMITED);
        self.deepest.set(if limit.is_some() { 0 } else { usize::MAX });
        self.noticed.set(self.deepest.get());
        self.limit.set(limit.unwrap_or(usize::MAX));
        self.calm.set(limit.map_or(0, |limit| limit.saturating_sub(KERNEL)));
    }

    /// The current state.
    pub(crate) fn get(&self) -> RunState {
        let (call, floor, depth) = (self.call.get(), self.floor.get(), self.depth.get());
        RunState { call, floor, depth, mark: self.mark.get(), ..self.running.get() }
    }

    /// Restores a state that was saved.
    pub(crate) fn set(&self, running: RunState) {
        self.running.set(running);
        self.call.set(running.call);
        self.floor.set(running.floor);
        self.depth.set(running.depth);
        self.mark.set(running.mark);
    }

    /// What is beyond the limit says nothing of the routine that runs.
    pub(crate) fn disturb(&self) {
        self.mark.set(Mark::default());
    }

    /// Sets the kernel call that runs from here on, or none.
    #[inline(always)]
    pub(crate) fn set_call(&self, call: Option<Ddi>) {
        self.call.set(call);
    }

    /// The greatest depth of any thread or DPC so far.
    pub(crate) fn deepest(&self) -> usize {
        Some(self.deepest.get()).filter(|depth| *depth != usize::MAX).unwrap_or(0)
    }
}
