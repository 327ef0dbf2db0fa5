//! The loop outside all coroutines: starts programs, resumes processors, and ends the run.

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};
use core::ptr::{NonNull, null};

use corosensei::{Coroutine, stack::DefaultStack};

use super::{
    machine::{Machine, NOBODY, Suspend, activate},
    run_state::RunState,
    schedule::PointKind,
};
use crate::{
    fault::stack::{self, Bounds},
    kernel::{
        processor::Activity,
        thread::{IDLE, NO_THREAD, SYSTEM, State},
    },
    trace::event::What,
    verifier::stop::Stop,
};

/// A program: what a thread at PASSIVE_LEVEL executes.
pub type Program = Box<dyn FnOnce()>;

/// What a coroutine is to do.
#[derive(Default)]
pub(crate) enum Job {
    /// To run what is in its processor's DPC queue.
    #[default]
    Idle,
    /// To be the program's thread, and then to run what is in the DPC queue.
    Program(Program),
    /// To be this system thread.
    Thread(usize),
}

pub(crate) type Thread = Coroutine<(), (), (), DefaultStack>;

/// One thread's coroutine and what it is to begin with.
///
/// A processor's coroutine outlives its program: between two it is suspended in [`Machine::serve`], with nothing on its stack
/// that would have to be dropped `[R1]`. That of a system thread is given up when the thread has ended: it is suspended in
/// [`Machine::stay`], and no frame on its stack is ever entered again `[R2]`.
struct Slot {
    thread: Option<Thread>,
    /// Where its stack is.
    bounds: Bounds,
    /// How the coroutine gives up control; null before it has begun.
    yielder: *const Suspend,
    /// It is in the middle of something.
    busy: bool,
    program: Option<Program>,
}

impl Default for Slot {
    fn default() -> Self {
        Self { thread: None, bounds: Bounds::default(), yielder: null(), busy: false, program: None }
    }
}

/// The coroutines of a simulation by the context of their thread, and stacks that are not in use.
#[derive(Default)]
pub(crate) struct Threads {
    slots: Vec<Slot>,
    stacks: Vec<DefaultStack>,
    /// The size of all stacks.
    size: usize,
    /// Threads wait beyond the run that is over.
    waiting: bool,
}

/// What a coroutine that gave up control has done.
pub(crate) enum Ended {
    /// Not all that it had to do.
    Not,
    /// All, which was a program or was not.
    Served { was_program: bool },
    /// It was a system thread, which has ended.
    Thread,
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Programs have returned, no DPC is queued, no timer is set; system threads have ended or wait for what cannot happen.
    Quiet,
    /// Programs have returned.
    Returned,
}

/// A run that is going on: ends it also when a program's panic passes by.
struct Running<'a> {
    threads: &'a mut Threads,
    finished: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        activate(None);
        if !self.finished {
            self.threads.abandon();
        }
    }
}

impl Threads {
    /// Gives each program to its processor and runs to the end. Whether the machine can go on afterwards is in the result: it
    /// can after `Ok` only.
    pub(crate) fn run(
        &mut self,
        machine: NonNull<Machine>,
        programs: Vec<(usize, Program)>,
        until: Until,
    ) -> Result<(), Stop> {
        // SAFETY: the simulation's, which is borrowed for the whole run.
        let kernel = unsafe { machine.as_ref() };
        let mut left = programs.len();
        self.start(kernel, programs.into_iter(), until);
        activate(Some(machine));
        let mut running = Running { threads: self, finished: false };
        let outcome = running.threads.drive(kernel, machine, &mut left, until);
        kernel.inside.set(false);
        kernel.clock.settle();
        running.finished = outcome.is_ok() && until == Until::Quiet;
        running.threads.waiting = !kernel.kernel.borrow().waits.all().is_empty();
        outcome
    }

    /// Gives each program to its processor.
    pub(crate) fn start(
        &mut self,
        kernel: &Machine,
        programs: impl Iterator<Item = (usize, Program)>,
        until: Until,
    ) {
        self.resize(stack::size(kernel.config.get().stack));
        if self.slots.len() < kernel.count() {
            self.slots.resize_with(kernel.count(), Slot::default);
        }
        kernel.quiet_since.set(None);
        for (processor, program) in programs {
            // The one of an earlier run has ended.
            kernel.begin_program(processor);
            if let Some(slot) = self.slots.get_mut(processor) {
                slot.program = Some(program);
            }
            let cpu = kernel.processor(processor);
            cpu.activity.set(Activity::Live);
            cpu.context.set(processor);
            kernel.runnable.set(kernel.runnable.get() | 1 << processor);
        }
        kernel.unloading.set(until == Until::Returned);
    }

    /// Stacks are of this size from now on.
    fn resize(&mut self, size: usize) {
        if self.size != size {
            // After a reset, with which the size changes, no coroutine is in the middle of
            // something.
            self.abandon();
            self.stacks.clear();
            self.size = size;
        }
    }

    /// Whether threads of an earlier run wait.
    pub(crate) fn any_waits(&self) -> bool {
        self.waiting
    }

    /// A free run begins or ends, which no coroutine outlives.
    pub(crate) fn end(&mut self) {
        self.abandon();
    }

    /// Gives up threads that an earlier run has left waiting: the machine has been reset.
    pub(crate) fn reset(&mut self) {
        if self.waiting {
            self.waiting = false;
            self.abandon();
        }
    }

    fn drive(
        &mut self,
        kernel: &Machine,
        machine: NonNull<Machine>,
        left: &mut usize,
        until: Until,
    ) -> Result<(), Stop> {
        let mut target = kernel.next_or_idle()?;
        kernel.regrant();
        while let Some(processor) = target {
            if kernel.current.replace(processor) != processor {
                kernel.counts.switches.add();
            }
            kernel.inside.set(true);
            let ended = self.resume(processor, machine);
            kernel.inside.set(false);
            if let Some(stop) = kernel.stop.borrow().clone() {
                return Err(stop);
            }
            target = match ended {
                Ended::Not => Some(kernel.next.get()).filter(|next| *next != NOBODY),
                Ended::Served { was_program } => {
                    *left -= usize::from(was_program);
                    if was_program && *left == 0 && until == Until::Returned {
                        kernel.check_returned()?;
                    }
                    None
                }
                Ended::Thread => None,
            };
            if *left == 0 && until == Until::Returned && kernel.holding_item().is_none() {
                return Ok(());
            }
            if target.is_none() {
                target = kernel.next_or_idle()?;
                kernel.regrant();
            }
        }
        // At unload an item that is left is a bug check of its own.
        let is_stuck = kernel.spins() || until == Until::Quiet && kernel.has_stuck_item();
        if *left == 0 && !is_stuck { Ok(()) } else { Err(Stop::Deadlock { waits: kernel.waits() }) }
    }

    /// Lets a processor go on until it gives up control.
    fn resume(&mut self, processor: usize, machine: NonNull<Machine>) -> Ended {
        // SAFETY: the run borrows the machine.
        let kernel = unsafe { machine.as_ref() };
        let Some((context, mut thread)) = self.prepare(kernel, processor, machine) else { return Ended::Not };
        thread.resume(());
        self.settle(kernel, processor, context, thread)
    }

    /// Takes the coroutine that a processor goes on with, and tells it what to do.
    #[inline]
    pub(crate) fn prepare(
        &mut self,
        kernel: &Machine,
        processor: usize,
        machine: NonNull<Machine>,
    ) -> Option<(usize, Thread)> {
        let context = self.context(kernel, processor);
        if context >= self.slots.len() {
            self.slots.resize_with(context + 1, Slot::default);
        }
        let slot = self.slots.get_mut(context)?;
        if !slot.busy {
            slot.busy = true;
            kernel.job.set(match slot.program.take() {
                Some(program) => Job::Program(program),
                None if context >= SYSTEM => Job::Thread(context),
                None => Job::Idle,
            });
        }
        let (stacks, bounds, size) = (&mut self.stacks, &mut slot.bounds, self.size);
        let thread = slot.thread.take().unwrap_or_else(|| {
            let stack = stacks.pop().unwrap_or_else(|| stack::new(size));
            *bounds = stack::bounds(&stack, size);
            Coroutine::with_stack(stack, move |yielder: &Suspend, ()| {
                // SAFETY: whoever resumes this coroutine borrows the machine.
                unsafe { machine.as_ref() }.serve(yielder)
            })
        });
        kernel.yielder.set(slot.yielder);
        kernel.bounds.set(slot.bounds);
        Some((context, thread))
    }

    /// Puts a coroutine back that has given up control; what it has done.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        kernel: &Machine,
        processor: usize,
        context: usize,
        thread: Thread,
    ) -> Ended {
        let Some(slot) = self.slots.get_mut(context) else { return Ended::Not };
        slot.yielder = kernel.yielder.get();
        slot.thread = Some(thread);
        if kernel.served.replace(false) {
            slot.busy = false;
            return Ended::Served { was_program: kernel.retire(processor, context) };
        }
        if kernel.ended.replace(false) {
            if let Some(mut thread) = slot.thread.take() {
                if !thread.done() {
                    // SAFETY: the thread has ended [R2].
                    unsafe { thread.force_reset() };
                }
                self.stacks.push(thread.into_stack());
            }
            *slot = Slot::default();
            return Ended::Thread;
        }
        Ended::Not
    }

    /// The context that a processor goes on with: its thread, or, where it has none, one for its DPCs: the program's coroutine
    /// if that is free and has no program to begin, else the idle thread's.
    fn context(&self, kernel: &Machine, processor: usize) -> usize {
        let cpu = kernel.processor(processor);
        let context = cpu.context.get();
        if context != NO_THREAD {
            return context;
        }
        // A program that has not begun stands among the threads that are ready, once another one has had its processor.
        let home_is_busy = self.slots.get(processor).is_some_and(|slot| slot.busy || slot.program.is_some());
        let context = if home_is_busy { IDLE + processor } else { processor };
        cpu.context.set(context);
        context
    }

    /// Gives up all coroutines, where they are. What is on their stacks is leaked, as on a machine that has stopped.
    fn abandon(&mut self) {
        for slot in &mut self.slots {
            slot.busy = false;
            if let Some(program) = slot.program.take() {
                // Its destructors may call the kernel, which has stopped.
                Box::leak(program);
            }
            if let Some(mut thread) = slot.thread.take() {
                if !thread.done() {
                    // SAFETY: between two programs [R1], or in a run or a simulation that is over: then nothing refers to
                    // the frames but the kernel, which forgets them at its reset, and values on them are leaked, not dropped.
                    unsafe { thread.force_reset() };
                }
                let stack = thread.into_stack();
                clean(&stack, self.size);
                self.stacks.push(stack);
            }
            slot.yielder = null();
        }
    }
}

/// The frames that were given up have not told AddressSanitizer that their memory is free.
fn clean(stack: &DefaultStack, size: usize) {
    let open = stack::open(stack, size);
    crate::asan::unpoison(core::ptr::without_provenance(open.start), open.len());
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Machine {
    /// What a coroutine does: one job after the other.
    fn serve(&self, yielder: &Suspend) {
        self.yielder.set(core::ptr::from_ref(yielder));
        loop {
            let job = self.job.take();
            self.now.set(RunState::default());
            self.execute(job);
            self.served.set(true);
            self.suspend();
        }
    }

    /// A job: the program or thread, if there is one, then the DPCs that were held off.
    fn execute(&self, job: Job) {
        let me = self.current.get();
        self.cpu().activity.set(Activity::Live);
        self.take_interrupts();
        let program = match job {
            Job::Idle => return self.idle_drain(),
            Job::Thread(thread) => self.run_thread(thread),
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
        if !self.unloading.get() {
            self.idle_drain();
        }
    }

    /// A program's thread, which may have been that of a program before, has not ended.
    fn begin_program(&self, context: usize) {
        let mut kernel = self.kernel.borrow_mut();
        if kernel.threads.used() {
            kernel.threads.update(context, |thread| thread.state = State::Active);
        }
    }

    /// Whoever waits for a program's thread has waited long enough.
    fn end_program(&self, context: usize) {
        let mut kernel = self.kernel.borrow_mut();
        if !kernel.threads.used() {
            return;
        }
        kernel.threads.update(context, |thread| thread.state = State::Ended);
        let address = kernel.threads.identity(context);
        drop(kernel);
        self.checked(self.signal(address));
    }

    /// Runs what is in the queue of a processor that has nothing else to do.
    fn idle_drain(&self) {
        if self.cpu().queued.get() != 0 {
            self.drain();
        }
    }

    /// A processor's context has nothing more to do; whether it was a program's.
    fn retire(&self, processor: usize, context: usize) -> bool {
        self.vacate(processor);
        if context != processor {
            return false;
        }
        let bit = 1 << processor;
        let was_program = self.programs.get() & bit != 0;
        self.programs.set(self.programs.get() & !bit);
        was_program
    }

    /// Who runs next. Where nobody can, the clock jumps to the next timer. None where there is no timer either; periodic ones
    /// count only while there are programs that may wait for them.
    fn next_or_idle(&self) -> Result<Option<usize>, Stop> {
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

    /// Unload has returned while the routine of a work item holds the image: nothing else may be going on.
    fn check_returned(&self) -> Result<(), Stop> {
        if self.holding_item().is_none() {
            return Ok(());
        }
        self.check_pending(true).map_err(|violation| {
            let stop = self.bug_check_of(*violation);
            self.put_stop(stop.clone());
            stop
        })
    }

    /// Nothing runs any more, no timer is set, and the routine of a work item has not returned: it
    /// waits for what nothing does. A system thread may wait for what a later run does; a worker is
    /// the system's, and is not kept that long.
    fn has_stuck_item(&self) -> bool {
        let kernel = self.kernel.borrow();
        kernel.timers.next().is_none() && kernel.work.running().next().is_some()
    }

    /// Moves the clock to the next timer; false where there is none that counts.
    fn jump(&self) -> Result<bool, Stop> {
        let kernel = self.kernel.borrow();
        let next = kernel.timers.next();
        let enough = self.programs.get() == 0 && kernel.timers.all_periodic();
        drop(kernel);
        let Some(tick) = next.filter(|_| !enough) else { return Ok(false) };
        if self.programs.get() == 0 {
            let since = self.quiet_since.get().unwrap_or_else(|| self.clock.now());
            self.quiet_since.set(Some(since));
            if tick > since.saturating_add(self.config.get().linger) {
                return Ok(false);
            }
        }
        let by = tick.saturating_sub(self.clock.now());
        self.clock.skip(by);
        self.jumps.set(self.jumps.get() + 1);
        if self.jumps.get().saturating_add(self.clock.steps()) > self.config.get().step_limit {
            return Err(self.step_limit());
        }
        if self.tracing.get() {
            self.record(What::TimeSkipped { by });
        }
        Ok(true)
    }

    /// In a free run where nobody has anything to do: what time brings next. False: nothing.
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
