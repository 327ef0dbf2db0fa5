//! Preemption points, at which another processor may replace the running one or an interrupt may
//! arrive.
//!
//! Almost always a point is a decrement ([`Clock::step`](crate::kernel::clock::Clock::step)). When
//! the countdown is 0 the engine examines the step limit, then the clock (timers, late DPCs,
//! watchdog), then this processor's DPC interrupts, then the schedule.
//!
//! # Which points there are `[P1]`
//!
//! A processor's run is a sequence of calls (DDIs, atomic operations, accesses to cells), with the
//! driver's own code between them, in call-outs that begin and return. There is a point
//!
//! - *before* the effect of each call, which counts a step ([`Machine::point`]);
//! - *behind* the effect of each call, and between the beginning of a call-out and its first step
//!   ([`Machine::point_after`]);
//! - before the *return* of each call-out ([`Machine::point_of_return`]), because a DPC routine
//!   runs until its return.
//!
//! So a call is one step, and the driver's code between two calls is another one. Plain accesses in
//! that code see the writes that other processors make at the point behind the first call. Other
//! processors see the accesses from the point before the second call on. There is no point between
//! two plain accesses without a call in between, because the simulation sees neither.
//!
//! # Why the points behind calls cost no step `[P2]`
//!
//! A schedule says for how many steps a processor runs. After those steps the processor stops at
//! the next point before a call or return, or, if the schedule says so (`early`), at the next point
//! behind a call. So one number and one bit describe every place at which a processor can stop. A
//! point behind a call is only a comparison while the slice lasts. Steps and virtual time do not
//! count these points, so a seed's run, a fuzz input and PCT's expected points reach as far as
//! without them.
//!
//! A call may make another processor runnable where one was alone. No decision has come before such
//! a call. There the schedule is asked behind the call, and its answer holds for the point before
//! the next call, too. Round robin, with which other sources end, is no search, so it stops before
//! calls only. For the search of [`explore`](crate::explore) two adjacent points are one, by its
//! rule `[S2]`.

extern crate alloc;

use alloc::string::String;

use super::{
    choice::{Next, PointKind},
    control::NO_PROCESSOR,
    machine::Machine,
    recording::Decision,
};
use crate::{
    kernel::{processor::Activity, thread::NO_THREAD},
    subsystem::pool,
    trace::event::What,
    verifier::{irql::Ddi, stop::Stop},
};

const DISPATCH: u8 = 2;
/// How many points lie between two choices among a processor's threads in a free run.
const FREE_SLICE: u64 = 16;

impl Machine {
    /// A preemption point.
    #[inline(always)]
    pub(crate) fn point(&self) {
        if !self.clock.step() {
            self.run_engine();
        }
    }

    /// Examines the machine at a point at which the countdown is 0.
    #[cold]
    #[inline(never)]
    fn run_engine(&self) {
        self.clock.settle();
        let ask = self.clock.step_slowly();
        if std::thread::panicking() {
            // A panic unwinds this coroutine. Another one must not run until the panic has left it,
            // because the thread counts panics.
            return;
        }
        let config = self.config.get();
        if self.clock.steps() > config.step_limit {
            self.halt(self.step_limit());
        }
        self.attend_clock();
        self.take_interrupts();
        // DPCs may have been granted points meanwhile, and have used them.
        self.clock.settle();
        if ask && self.clock.slice() == 0 {
            self.ask(PointKind::Before);
        }
        self.regrant();
    }

    /// The point behind the effect of a call, before the driver's code that follows. Also the point
    /// between a call-out's beginning and its first step.
    #[inline(always)]
    pub(crate) fn point_after(&self) {
        if !self.clock.step_after() {
            self.run_engine_uncounted(PointKind::After);
        }
    }

    /// The point between the driver's last step in a call-out and the effect of its return.
    #[inline(always)]
    pub(crate) fn point_of_return(&self) {
        if !self.clock.step_return() {
            self.run_engine_uncounted(PointKind::Return);
        }
    }

    /// Examines the machine at a point that counts no step, when the countdown is 0.
    #[cold]
    #[inline(never)]
    fn run_engine_uncounted(&self, kind: PointKind) {
        if std::thread::panicking() || self.is_free() {
            return;
        }
        self.clock.settle();
        if self.clock.slice() == 0 && (kind != PointKind::Return || self.asks_at_return()) {
            let woken = kind == PointKind::After && self.clock.is_woken();
            self.ask(if woken { PointKind::Woken } else { kind });
        }
        self.regrant();
    }

    /// Asks the schedule which processor runs, and switches.
    fn ask(&self, kind: PointKind) {
        if self.is_free() {
            return self.ask_alone();
        }
        let context = self.cpu().context.get();
        let target = self.decide(kind);
        if target != self.current.get() || self.cpu().context.get() != context {
            self.switch_to(target);
        }
    }

    /// Chooses among this processor's threads only, because in a free run the other processors run
    /// by themselves.
    fn ask_alone(&self) {
        self.clock.set_slice(FREE_SLICE, false);
        let (me, context) = (self.current.get(), self.cpu().context.get());
        if self.cpu().ready.get() != 0 {
            self.arrange(me);
        }
        if self.cpu().context.get() != context {
            self.switch_to(NO_PROCESSOR);
        }
    }

    /// Chooses the runnable processor that runs next, and its thread, and sets its slice. At least
    /// one processor is runnable.
    pub(crate) fn decide(&self, kind: PointKind) -> usize {
        let runnable = self.runnable.get();
        self.clock.settle();
        if runnable.is_power_of_two() {
            let only = runnable.trailing_zeros() as usize;
            if self.processor(only).ready.get() != 0 {
                return self.decide_alone(only, kind);
            }
            self.clock.set_slice(u64::MAX, false);
            self.not_asked(only);
            return only;
        }
        let processor = self.run_next(runnable, kind);
        if self.processor(processor).ready.get() != 0 {
            self.arrange(processor);
        }
        processor
    }

    /// Decides as [`Machine::decide`] does, for a single runnable processor with ready threads.
    #[cold]
    fn decide_alone(&self, only: usize, kind: PointKind) -> usize {
        let vacant = self.processor(only).context.get() == NO_THREAD;
        if vacant {
            self.arrange(only);
        }
        if self.processor(only).ready.get() == 0 {
            self.clock.set_slice(u64::MAX, false);
            return only;
        }
        let processor = self.run_next(1 << only, kind);
        if !vacant {
            self.arrange(only);
        }
        processor
    }

    /// Asks the schedule which of these processors runs, and sets its slice.
    fn run_next(&self, runnable: u64, kind: PointKind) -> usize {
        let decision = self.ask_schedule(runnable, kind);
        match decision {
            Ok(Next { processor, points, early }) => {
                self.clock.set_slice(points.into(), early);
                self.record_run(processor, points, kind);
                processor
            }
            Err(message) => {
                self.misfit(message);
                NO_PROCESSOR
            }
        }
    }

    /// Chooses one of `options` possibilities, from 0, where NT leaves the outcome open.
    pub(crate) fn choose(&self, options: u8) -> u8 {
        let digest = self.digest();
        let choice = self.scheduling.schedule.borrow_mut().choose(options, digest);
        match choice {
            Ok(taken) => {
                let decision = Decision::Choice { options, taken };
                self.note_decision(decision);
                self.scheduling.decisions.borrow_mut().push(decision, digest.hash);
                taken
            }
            Err(message) => {
                self.misfit(message);
                0
            }
        }
    }

    /// Ends the run because the replayed recording does not fit. Outside of coroutines it only
    /// records that the run has ended.
    pub(crate) fn misfit(&self, message: String) {
        let stop = Stop::failure("replay", message);
        if self.control.inside.get() {
            self.halt(stop);
        }
        self.put_stop(stop);
    }

    /// Gives control to another processor or thread, or to the loop outside, and returns when this
    /// thread goes on. A thread that has waited may then be on another processor. Pending
    /// interrupts are taken before the return.
    pub(crate) fn switch_to(&self, target: usize) {
        self.control.next.set(target);
        self.suspend();
        pool::page_out(self);
        if self.tracing.get() {
            self.record(What::Switch { to: self.current.get() });
        }
        self.take_interrupts();
    }

    /// Suspends the coroutine until it is resumed.
    pub(crate) fn suspend(&self) {
        let (yielder, now) = (self.control.yielder.get(), self.now.get());
        // SAFETY: the yielder is that of the coroutine on which the caller runs. The loop outside
        // sets it before each resumption, and a coroutine that begins sets its own. It lives as
        // long as the coroutine's body runs.
        if let Some(yielder) = unsafe { yielder.as_ref() } {
            yielder.suspend(());
        }
        self.now.set(now);
    }

    /// Grants the running processor points up to the next event. Called after each look, and after
    /// a change that may bring an event before the end of the grant.
    pub(crate) fn regrant(&self) {
        self.clock.settle();
        self.clock.grant(self.config.get().step_limit, self.deadline());
    }

    /// Marks a processor as runnable.
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

    /// Ends the unlimited slice of a thread that was alone, because another processor or thread can
    /// now run.
    pub(crate) fn contend(&self) {
        if self.clock.slice() == u64::MAX {
            self.clock.settle();
            self.clock.end_slice(self.scheduling.schedule.borrow().asks_early());
            self.regrant();
        }
    }

    /// Marks a processor as not runnable.
    pub(crate) fn make_unrunnable(&self, processor: usize) {
        self.runnable.set(self.runnable.get() & !(1 << processor));
    }

    /// Waits until the holder releases the spin lock at `lock`, or for ever.
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
            let target = if self.runnable.get() == 0 { NO_PROCESSOR } else { self.decide(PointKind::Switch) };
            self.switch_to(target);
        }
        self.regrant();
    }

    /// Lets the processors that wait for the lock at `lock` try again, because it is free.
    pub(crate) fn wake_waiters(&self, lock: usize) {
        for (number, processor) in self.processors.iter().enumerate().take(self.count()) {
            if processor.activity.get() == Activity::Waiting(lock) {
                processor.activity.set(Activity::Live);
                self.make_runnable(number);
            }
        }
    }

    /// Sets the current processor's IRQL and, below DISPATCH_LEVEL, runs the DPCs that were held
    /// off.
    pub(crate) fn set_irql(&self, irql: u8) {
        let cpu = self.cpu();
        cpu.irql.set(irql);
        if irql < DISPATCH && cpu.queued.get() != 0 {
            self.drain();
        }
    }
}
