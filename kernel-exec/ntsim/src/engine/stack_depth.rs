//! Counts how much of its stack the driver uses, and saves the run state around routines.

use super::{machine::Machine, run_state::RunState};
use crate::fault::{
    overrun,
    stack::{Mark, PAINTED},
};

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
            overrun::stack_overrun(self, depth);
        }
    }

    /// Ends the run if the running routine has written beyond the limit without a kernel call.
    #[inline(always)]
    fn check_mark(&self, mark: Mark) {
        if !mark.is_whole() {
            overrun::stack_overrun_unseen(self);
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
