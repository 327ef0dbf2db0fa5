//! What the current coroutine executes (the driver, a kernel call, or the engine), and how much of
//! its stack the driver uses.
//!
//! Each coroutine has its own [`RunState`]: [`Machine::suspend`] saves it and puts it back.
//!
//! A thread's stack consists of *segments*. A call-out of the kernel begins a segment, and a kernel
//! call ends it. The frames of the simulated kernel lie between two segments and do not count. So
//! the depth of a thread is the sum of its segments. With `floor`, the address at which the stack
//! would begin without the kernel's frames, the depth is `floor - stack pointer`.
//!
//! A routine that goes deep between two kernel calls is found by its traces. The words beyond the
//! limit are painted when a routine begins, and checked when it returns. The kernel's own frames may
//! reach there from a call near the limit. Then the words say nothing about the driver.

use core::cell::Cell;

use super::machine::Machine;
use crate::{
    fault::stack::{KERNEL, LIMITED, Mark, PAINTED},
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
    floor: usize,
    /// The depth at the last kernel call.
    depth: usize,
    /// The painted words beyond the limit; none where they say nothing.
    mark: Mark,
}

/// [`RunState`] of the current coroutine, and the greatest depth of all.
#[derive(Debug, Default)]
pub(crate) struct Current {
    running: Cell<RunState>,
    call: Cell<Option<Ddi>>,
    floor: Cell<usize>,
    depth: Cell<usize>,
    mark: Cell<Mark>,
    /// The greatest depth of any thread or DPC so far.
    deepest: Cell<usize>,
    /// A depth beyond this one is looked at.
    noticed: Cell<usize>,
    /// The bytes that the driver may use, and from which depth on the kernel's frames may reach
    /// beyond them.
    limit: Cell<usize>,
    calm: Cell<usize>,
}

impl Current {
    /// Makes the state as new. `limit` is the number of bytes that the driver may use of a stack, or
    /// none if depths are not counted.
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

/// An address in the caller's frame.
#[inline(always)]
fn here() -> usize {
    let mark = 0_u8;
    core::ptr::from_ref(&mark).addr()
}

impl Machine {
    /// Counts the stack's depth when the driver's code makes a kernel call or accesses an atomic.
    #[inline(always)]
    pub(crate) fn count_stack(&self) {
        let depth = self.now.floor.get().wrapping_sub(here());
        if depth > self.now.noticed.get() {
            self.notice(depth);
        }
    }

    /// Counts the stack, as [`Machine::count_stack`] does, at a kernel call that may call out.
    #[inline(always)]
    pub(crate) fn count_segment(&self) {
        self.now.depth.set(self.now.floor.get().wrapping_sub(here()));
        self.count_stack();
    }

    #[cold]
    #[inline(never)]
    fn notice(&self, depth: usize) {
        if !self.now.running.get().driver {
            // The difference has wrapped, because the engine runs between two jobs.
            return;
        }
        if depth > self.now.calm.get() {
            self.now.disturb();
        }
        if depth > self.now.deepest.get() {
            self.now.deepest.set(depth);
            self.now.noticed.set(depth.min(self.now.calm.get()));
        }
        if depth > self.now.limit.get() {
            self.stack_overrun(depth);
        }
    }

    /// Where the routine that runs has gone deep without a kernel call.
    #[inline(always)]
    fn check_mark(&self, mark: Mark) {
        if !mark.is_whole() {
            self.stack_overrun_unseen();
        }
    }

    /// Paints the words beyond the limit of a routine that begins.
    #[inline(always)]
    fn paint(&self, floor: usize, here: usize) -> Mark {
        if PAINTED && self.now.calm.get() != 0 {
            Mark::new(floor.wrapping_sub(self.now.limit.get()), here, self.bounds.get())
        } else {
            Mark::default()
        }
    }

    /// Begins a routine of the driver on the caller's thread. Returns the state for
    /// [`Machine::end_routine`].
    #[inline(always)]
    pub(crate) fn begin_routine(&self) -> RunState {
        let before = self.now.get();
        let here = here();
        let floor = here.wrapping_add(before.depth);
        let outermost = if before.outermost == 0 { here } else { before.outermost };
        self.check_mark(before.mark);
        let mark = self.paint(floor, here);
        self.now.set(RunState {
            driver: true,
            nested: before.driver,
            call: None,
            outermost,
            floor,
            mark,
            ..before
        });
        before
    }

    /// Ends a routine of the driver that has returned.
    #[inline(always)]
    pub(crate) fn end_routine(&self, before: RunState) {
        self.check_mark(self.now.mark.get());
        before.mark.paint();
        self.now.set(before);
    }

    /// Runs `f` with a stack depth of its own for the driver's bytes, as a DPC has.
    #[inline(always)]
    pub(crate) fn on_own_stack<R>(&self, f: impl FnOnce() -> R) -> R {
        let before = self.now.get();
        self.check_mark(before.mark);
        self.now.set(RunState::default());
        let result = f();
        before.mark.paint();
        self.now.set(before);
        result
    }

    /// Calls a dispatch routine.
    #[inline(always)]
    pub(crate) fn in_dispatch<R>(&self, f: impl FnOnce() -> R) -> R {
        self.with_running(|running| running.dispatch = true, f)
    }

    /// Calls a routine of the driver that NT calls in a system thread.
    pub(crate) fn in_system_thread<R>(&self, f: impl FnOnce() -> R) -> R {
        self.with_running(|running| running.system = true, f)
    }

    #[inline(always)]
    fn with_running<R>(&self, change: impl FnOnce(&mut RunState), f: impl FnOnce() -> R) -> R {
        let before = self.now.get();
        let mut running = before;
        change(&mut running);
        self.now.set(running);
        let result = f();
        self.now.set(before);
        result
    }
}
