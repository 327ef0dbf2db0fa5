//! Serves jobs on coroutines, and moves the clock while no processor can run.

use super::{choice::PointKind, control::Suspend, job::Job, machine::Machine, run_state::RunState};
use crate::{
    kernel::{processor::Activity, thread::State},
    subsystem::{dispatcher, thread},
    trace::event::What,
    verifier::stop::Stop,
    verifier::unload,
};

impl Machine {
    /// The body of every coroutine. It executes one job after the other.
    pub(super) fn serve(&self, yielder: &Suspend) {
        self.control.yielder.set(core::ptr::from_ref(yielder));
        loop {
            let job = self.control.job.take();
            self.now.set(RunState::default());
            self.execute(job);
            self.control.served.set(true);
            self.suspend();
        }
    }

    /// Executes a job's program or thread, if it has one, and then the DPCs that were held off.
    fn execute(&self, job: Job) {
        let me = self.current.get();
        self.cpu().activity.set(Activity::Live);
        self.take_interrupts();
        let program = match job {
            Job::Idle => return self.idle_drain(),
            Job::Thread(thread) => thread::run(self, thread),
            Job::Program(program) => program,
        };
        self.programs.set(self.programs.get() | 1 << me);
        if self.tracing.get() {
            self.record(What::ProgramStart);
        }
        self.release_baton(program);
        if self.tracing.get() {
            self.record(What::ProgramEnd);
        }
        self.check_thread_end(me, "program");
        self.end_program(me);
        if !self.control.unloading.get() {
            self.idle_drain();
        }
    }

    /// Marks the thread as active again, since an earlier program may have ended on it.
    pub(super) fn begin_program(&self, context: usize) {
        let mut kernel = self.kernel.borrow_mut();
        if kernel.threads.used() {
            kernel.threads.update(context, |thread| thread.state = State::Active);
        }
    }

    /// Marks the program's thread as ended, and signals it for the threads that wait for it.
    fn end_program(&self, context: usize) {
        let mut kernel = self.kernel.borrow_mut();
        if !kernel.threads.used() {
            return;
        }
        kernel.threads.update(context, |thread| thread.state = State::Ended);
        let address = kernel.threads.identity(context);
        drop(kernel);
        self.checked(dispatcher::signal(self, address));
    }

    /// Runs the DPCs in the queue of a processor that has no other work.
    fn idle_drain(&self) {
        if self.cpu().queued.get() != 0 {
            self.drain();
        }
    }

    /// Takes a finished context from its processor. Returns whether the context ran a program.
    pub(super) fn retire(&self, processor: usize, context: usize) -> bool {
        self.vacate(processor);
        if context != processor {
            return false;
        }
        let bit = 1 << processor;
        let was_program = self.programs.get() & bit != 0;
        self.programs.set(self.programs.get() & !bit);
        was_program
    }

    /// The processor that runs next. If no processor is runnable, the clock jumps to the next
    /// timer. `None` if there is no timer either; periodic timers count only while there are
    /// programs that may wait for them.
    pub(super) fn next_or_idle(&self) -> Result<Option<usize>, Stop> {
        loop {
            if let Err(violation) = self.expire() {
                self.put_stop(self.bug_check_of(*violation));
            }
            if let Some(stop) = self.stop.borrow().clone() {
                return Err(stop);
            }
            if self.runnable.get() != 0 {
                let next = self.decide(PointKind::Switch);
                if let Some(stop) = self.stop.borrow().clone() {
                    return Err(stop);
                }
                return Ok(Some(next));
            }
            if !self.jump()? {
                return Ok(None);
            }
        }
    }

    /// Checks, when Unload has returned while a work item's routine holds the image, that nothing
    /// else is pending.
    pub(super) fn check_returned(&self) -> Result<(), Stop> {
        if self.holding_item().is_none() {
            return Ok(());
        }
        unload::check_pending(self, true).map_err(|violation| {
            let stop = self.bug_check_of(*violation);
            self.put_stop(stop.clone());
            stop
        })
    }

    /// Whether a work item's routine has not returned though nothing runs any more and no timer is
    /// set. Nothing can end such a routine's wait. A system thread may wait for an event of a later
    /// run; a worker belongs to the system and is not kept that long.
    pub(super) fn has_stuck_item(&self) -> bool {
        let kernel = self.kernel.borrow();
        kernel.timers.next().is_none() && kernel.work.running().next().is_some()
    }

    /// Moves the clock to the next timer. `false` if no timer counts.
    fn jump(&self) -> Result<bool, Stop> {
        let kernel = self.kernel.borrow();
        let next = kernel.timers.next();
        let enough = self.programs.get() == 0 && kernel.timers.all_periodic();
        drop(kernel);
        let Some(tick) = next.filter(|_| !enough) else { return Ok(false) };
        if self.programs.get() == 0 {
            let since = self.clock.quiet_since.get().unwrap_or_else(|| self.clock.now());
            self.clock.quiet_since.set(Some(since));
            if tick > since.saturating_add(self.config.get().linger) {
                return Ok(false);
            }
        }
        let by = tick.saturating_sub(self.clock.now());
        self.clock.skip(by);
        self.clock.count_jump();
        if self.clock.jumps().saturating_add(self.clock.steps()) > self.config.get().step_limit {
            return Err(self.step_limit());
        }
        if self.tracing.get() {
            self.record(What::TimeSkipped { by });
        }
        Ok(true)
    }

    /// In a free run where all processors are idle, moves the clock to the next event. `false` if
    /// there is none.
    pub(crate) fn next_event(&self) -> Result<bool, Stop> {
        loop {
            if let Err(violation) = self.expire() {
                return Err(self.bug_check_of(*violation));
            }
            if self.runnable.get() != 0 {
                return Ok(true);
            }
            if !self.jump()? {
                return Ok(false);
            }
        }
    }
}
