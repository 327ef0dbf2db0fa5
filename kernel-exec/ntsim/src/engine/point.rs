//! Preemption points: where the running processor may be replaced by another, or interrupted.
//!
//! Almost always a point is a decrement ([`Clock::step`](crate::kernel::clock::Clock::step)). When the countdown is 0 the engine
//! looks, in this order: step limit, clock (timers, late DPCs, watchdog), DPC interrupts of this processor, schedule.

extern crate alloc;

use alloc::string::String;

use super::{
    machine::{Machine, NOBODY},
    recording::Decision,
};
use crate::{
    kernel::processor::Activity,
    trace::event::What,
    verifier::{irql::Ddi, stop::Stop},
};

const DISPATCH: u8 = 2;

impl Machine {
    /// A preemption point.
    #[inline(always)]
    pub(crate) fn point(&self) {
        if !self.clock.step() {
            self.look();
        }
    }

    /// The point at which the countdown is 0.
    #[cold]
    #[inline(never)]
    fn look(&self) {
        self.clock.settle();
        let ask = self.clock.step_slowly();
        if std::thread::panicking() {
            // A panic unwinds this coroutine: another must not run until it has left, because the thread counts panics.
            return;
        }
        let config = self.config.get();
        if self.clock.steps() > config.step_limit {
            let cpu = self.cpu();
            self.halt(Stop::StepLimit {
                steps: config.step_limit,
                processor: self.current.get(),
                irql: cpu.irql.get(),
                in_dpc: cpu.in_dpc.get(),
            });
        }
        self.attend_clock();
        self.take_interrupts();
        // DPCs may have been granted and have used points meanwhile.
        self.clock.settle();
        if ask && self.clock.slice() == 0 {
            self.ask();
        }
        self.regrant();
    }

    /// Asks the schedule who runs, and switches.
    fn ask(&self) {
        let target = self.decide();
        if target != self.current.get() {
            self.switch_to(target);
        }
    }

    /// Which of the runnable processors, of which there is at least one, runs next. Sets its slice.
    pub(crate) fn decide(&self) -> usize {
        let runnable = self.runnable.get();
        self.clock.settle();
        if runnable.is_power_of_two() {
            self.clock.set_slice(u64::MAX);
            self.not_asked();
            return runnable.trailing_zeros() as usize;
        }
        let decision = self.ask_schedule(runnable);
        match decision {
            Ok((processor, points)) => {
                self.clock.set_slice(points.into());
                self.record_run(processor, points);
                processor
            }
            Err(message) => {
                self.misfit(message);
                NOBODY
            }
        }
    }

    /// One of `options` possibilities, from 0: something that NT leaves open.
    pub(crate) fn choose(&self, options: u8) -> u8 {
        let choice = self.schedule.borrow_mut().choose(options);
        match choice {
            Ok(taken) => {
                self.decisions.borrow_mut().push(Decision::Choice { options, taken });
                taken
            }
            Err(message) => {
                self.misfit(message);
                0
            }
        }
    }

    /// The recording that is replayed does not fit. Ends the run at once, or, outside of coroutines, notes that it has ended.
    fn misfit(&self, message: String) {
        let stop = Stop::Failure { oracle: "replay", message };
        if self.inside.get() {
            self.halt(stop);
        }
        self.put_stop(stop);
    }

    /// Gives control to another processor, or to the loop outside; returns when this one goes on. Its interrupts are taken.
    fn switch_to(&self, target: usize) {
        let me = self.current.get();
        self.next.set(target);
        self.suspend();
        if self.tracing.get() {
            self.record(What::Switch { to: me });
        }
        self.take_interrupts();
    }

    /// Leaves the coroutine until it is resumed.
    pub(crate) fn suspend(&self) {
        let yielder = self.yielders.get(self.current.get()).map_or(core::ptr::null(), core::cell::Cell::get);
        // SAFETY: the current processor's coroutine is the caller's; its yielder lives as long as its body runs.
        if let Some(yielder) = unsafe { yielder.as_ref() } {
            yielder.suspend(());
        }
    }

    /// Grants the running processor points up to the next event: after a look, and where something has changed that may come
    /// before the end of the grant.
    pub(crate) fn regrant(&self) {
        self.clock.settle();
        self.clock.grant(self.config.get().step_limit, self.deadline());
    }

    /// A processor can go on.
    pub(crate) fn make_runnable(&self, processor: usize) {
        let before = self.runnable.get();
        let after = before | 1 << processor;
        if before == after {
            return;
        }
        self.runnable.set(after);
        if self.clock.slice() == u64::MAX {
            // The running processor was alone: from now on there is somebody to ask about.
            self.clock.settle();
            self.clock.set_slice(0);
            self.regrant();
        }
    }

    /// A processor cannot go on.
    pub(crate) fn make_unrunnable(&self, processor: usize) {
        self.runnable.set(self.runnable.get() & !(1 << processor));
    }

    /// Waits until somebody releases the spin lock at `lock`, or for ever.
    pub(crate) fn wait_for_lock(&self, lock: usize, ddi: Ddi) {
        let me = self.current.get();
        if self.tracing.get() {
            let object = self.name(lock);
            self.record(What::Wait { ddi, object });
        }
        let cpu = self.cpu();
        cpu.activity.set(Activity::Waiting(lock));
        self.make_unrunnable(me);
        if let Some(waits) = self.cycle(me) {
            self.halt(Stop::Deadlock { waits });
        }
        if std::thread::panicking() {
            self.halt(Stop::Deadlock { waits: self.waits() });
        }
        let target = if self.runnable.get() == 0 { NOBODY } else { self.decide() };
        self.switch_to(target);
        self.regrant();
    }

    /// The lock at `lock` is free: whoever waits for it can try again.
    pub(crate) fn wake_waiters(&self, lock: usize) {
        for (number, processor) in self.processors.iter().enumerate().take(self.count()) {
            if processor.activity.get() == Activity::Waiting(lock) {
                processor.activity.set(Activity::Live);
                self.make_runnable(number);
            }
        }
    }

    /// Lowers or raises the current processor's IRQL and, below DISPATCH_LEVEL, runs the DPCs that were held off.
    pub(crate) fn set_irql(&self, irql: u8) {
        let cpu = self.cpu();
        cpu.irql.set(irql);
        if irql < DISPATCH && cpu.queued.get() != 0 {
            self.drain();
        }
    }
}
