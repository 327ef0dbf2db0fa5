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
    kernel::{processor::Activity, thread::NO_THREAD},
    trace::event::What,
    verifier::{irql::Ddi, stop::Stop},
};

const DISPATCH: u8 = 2;
/// Points between two choices among a processor's threads, in a free run.
const FREE_SLICE: u64 = 16;

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
            self.halt(self.step_limit());
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
        if self.is_free() {
            return self.ask_alone();
        }
        let context = self.cpu().context.get();
        let target = self.decide();
        if target != self.current.get() || self.cpu().context.get() != context {
            self.switch_to(target);
        }
    }

    /// As [`Machine::ask`], of this processor's threads only: in a free run the others run by themselves.
    fn ask_alone(&self) {
        self.clock.set_slice(FREE_SLICE);
        let (me, context) = (self.current.get(), self.cpu().context.get());
        if self.cpu().ready.get() != 0 {
            self.arrange(me);
        }
        if self.cpu().context.get() != context {
            self.switch_to(NOBODY);
        }
    }

    /// Which of the runnable processors, of which there is at least one, runs next, and which of its threads. Sets its slice.
    pub(crate) fn decide(&self) -> usize {
        let runnable = self.runnable.get();
        self.clock.settle();
        if runnable.is_power_of_two() {
            let only = runnable.trailing_zeros() as usize;
            if self.processor(only).ready.get() != 0 {
                return self.decide_alone(only);
            }
            self.clock.set_slice(u64::MAX);
            self.not_asked();
            return only;
        }
        let processor = self.run_next(runnable);
        if self.processor(processor).ready.get() != 0 {
            self.arrange(processor);
        }
        processor
    }

    /// As [`Machine::decide`], where one processor is runnable and threads are ready on it.
    #[cold]
    fn decide_alone(&self, only: usize) -> usize {
        let vacant = self.processor(only).context.get() == NO_THREAD;
        if vacant {
            self.arrange(only);
        }
        if self.processor(only).ready.get() == 0 {
            self.clock.set_slice(u64::MAX);
            return only;
        }
        let processor = self.run_next(1 << only);
        if !vacant {
            self.arrange(only);
        }
        processor
    }

    /// Which of these processors the schedule lets run. Sets its slice.
    fn run_next(&self, runnable: u64) -> usize {
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

    /// Gives control to another processor or thread, or to the loop outside; returns when this one goes on, which a thread that
    /// has waited may do on another processor. Its interrupts are taken.
    pub(crate) fn switch_to(&self, target: usize) {
        self.next.set(target);
        self.suspend();
        self.page_out();
        if self.tracing.get() {
            self.record(What::Switch { to: self.current.get() });
        }
        self.take_interrupts();
    }

    /// Leaves the coroutine until it is resumed.
    pub(crate) fn suspend(&self) {
        let (yielder, now) = (self.yielder.get(), self.now.get());
        // SAFETY: the caller runs on the coroutine whose yielder this is: the loop outside sets it before each resumption, and a
        // coroutine that begins sets its own; it lives as long as the coroutine's body runs.
        if let Some(yielder) = unsafe { yielder.as_ref() } {
            yielder.suspend(());
        }
        self.now.set(now);
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
        self.alert(processor);
        self.contend();
    }

    /// Somebody else can run. Where the running thread was alone, from now on there is somebody to ask about.
    pub(crate) fn contend(&self) {
        if self.clock.slice() == u64::MAX {
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
        if self.is_free() {
            self.wait_freely();
        } else {
            let target = if self.runnable.get() == 0 { NOBODY } else { self.decide() };
            self.switch_to(target);
        }
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
