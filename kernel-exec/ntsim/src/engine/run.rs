//! The loop outside all coroutines: starts programs, resumes processors, and ends the run.

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};
use core::ptr::{NonNull, null};

use corosensei::{Coroutine, stack::DefaultStack};

use super::{
    control::{NO_PROCESSOR, Suspend},
    job::{Job, Program},
    machine::{Machine, activate},
};
use crate::{
    fault::stack::{self, Bounds},
    kernel::{
        processor::Activity,
        thread::{IDLE, NO_THREAD, SYSTEM},
    },
    verifier::stop::Stop,
};

pub(crate) type ThreadCoroutine = Coroutine<(), (), (), DefaultStack>;

/// One thread's coroutine and the program that it begins with.
///
/// A processor's coroutine outlives its program. Between two programs it is suspended in
/// [`Machine::serve`], with nothing on its stack that would have to be dropped `[R1]`. The
/// coroutine of a system thread is given up when the thread has ended. It is then suspended in
/// [`Machine::stay`], and no frame on its stack is ever entered again `[R2]`.
struct CoroutineSlot {
    thread: Option<ThreadCoroutine>,
    /// The bounds of its stack.
    bounds: Bounds,
    /// How the coroutine gives up control; null before it has begun.
    yielder: *const Suspend,
    /// Whether the coroutine is in the middle of a job.
    busy: bool,
    program: Option<Program>,
}

impl Default for CoroutineSlot {
    fn default() -> Self {
        Self { thread: None, bounds: Bounds::default(), yielder: null(), busy: false, program: None }
    }
}

/// The coroutines of a simulation, indexed by their thread's context, and the stacks that are free.
#[derive(Default)]
pub(crate) struct Coroutines {
    slots: Vec<CoroutineSlot>,
    stacks: Vec<DefaultStack>,
    /// The size of all stacks.
    size: usize,
    /// Whether threads still wait after the run has ended.
    waiting: bool,
}

/// The progress that a coroutine had made when it gave up control.
pub(crate) enum CoroutineOutcome {
    /// Its job is not finished.
    Not,
    /// Its job, a program or another one, is finished.
    Served { was_program: bool },
    /// The system thread that it ran has ended.
    Thread,
}

/// The condition that ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Programs have returned, no DPC is queued, no timer is set; and each system thread has ended
    /// or waits for an event that cannot happen.
    Quiet,
    /// Programs have returned.
    Returned,
}

/// Guards a run in progress. It ends the run also when a program's panic unwinds through it.
struct Running<'a> {
    threads: &'a mut Coroutines,
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

impl Coroutines {
    /// Gives each program to its processor and runs to the end. The machine can continue afterwards
    /// only if the result is `Ok`.
    pub(crate) fn run(
        &mut self,
        machine: NonNull<Machine>,
        programs: Vec<(usize, Program)>,
        until: Until,
    ) -> Result<(), Stop> {
        // SAFETY: the machine is the simulation's, and the caller borrows the simulation for the
        // whole run.
        let kernel = unsafe { machine.as_ref() };
        let mut left = programs.len();
        self.start(kernel, programs.into_iter(), until);
        activate(Some(machine));
        let mut running = Running { threads: self, finished: false };
        let outcome = running.threads.drive(kernel, machine, &mut left, until);
        kernel.control.inside.set(false);
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
            self.slots.resize_with(kernel.count(), CoroutineSlot::default);
        }
        kernel.clock.quiet_since.set(None);
        for (processor, program) in programs {
            // The program of an earlier run has ended.
            kernel.begin_program(processor);
            if let Some(slot) = self.slots.get_mut(processor) {
                slot.program = Some(program);
            }
            let cpu = kernel.processor(processor);
            cpu.activity.set(Activity::Live);
            cpu.context.set(processor);
            kernel.runnable.set(kernel.runnable.get() | 1 << processor);
        }
        kernel.control.unloading.set(until == Until::Returned);
    }

    /// Sets the size of all stacks from now on.
    fn resize(&mut self, size: usize) {
        if self.size != size {
            // The size changes only with a reset, after which no coroutine is in the middle of a
            // job.
            self.abandon();
            self.stacks.clear();
            self.size = size;
        }
    }

    /// Whether threads of an earlier run still wait.
    pub(crate) fn any_waits(&self) -> bool {
        self.waiting
    }

    /// Gives up all coroutines at the beginning or end of a free run, which none of them outlives.
    pub(crate) fn end(&mut self) {
        self.abandon();
    }

    /// Gives up the threads that an earlier run has left waiting, because the machine has been
    /// reset.
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
            kernel.control.inside.set(true);
            let ended = self.resume(processor, machine);
            kernel.control.inside.set(false);
            if let Some(stop) = kernel.stop.borrow().clone() {
                return Err(stop);
            }
            target = match ended {
                CoroutineOutcome::Not => Some(kernel.control.next.get()).filter(|next| *next != NO_PROCESSOR),
                CoroutineOutcome::Served { was_program } => {
                    *left -= usize::from(was_program);
                    if was_program && *left == 0 && until == Until::Returned {
                        kernel.check_returned()?;
                    }
                    None
                }
                CoroutineOutcome::Thread => None,
            };
            if *left == 0 && until == Until::Returned && kernel.holding_item().is_none() {
                return Ok(());
            }
            if target.is_none() {
                target = kernel.next_or_idle()?;
                kernel.regrant();
            }
        }
        // At unload a remaining work item is a bug check of its own.
        let is_stuck = kernel.spins() || until == Until::Quiet && kernel.has_stuck_item();
        if *left == 0 && !is_stuck { Ok(()) } else { Err(Stop::Deadlock { waits: kernel.waits() }) }
    }

    /// Resumes a processor until it gives up control.
    fn resume(&mut self, processor: usize, machine: NonNull<Machine>) -> CoroutineOutcome {
        // SAFETY: the caller of `run` borrows the machine until the run has ended.
        let kernel = unsafe { machine.as_ref() };
        let Some((context, mut thread)) = self.prepare(kernel, processor, machine) else {
            return CoroutineOutcome::Not;
        };
        thread.resume(());
        self.settle(kernel, processor, context, thread)
    }

    /// Takes the coroutine that a processor runs next, and gives it its job.
    #[inline]
    pub(crate) fn prepare(
        &mut self,
        kernel: &Machine,
        processor: usize,
        machine: NonNull<Machine>,
    ) -> Option<(usize, ThreadCoroutine)> {
        let context = self.context(kernel, processor);
        if context >= self.slots.len() {
            self.slots.resize_with(context + 1, CoroutineSlot::default);
        }
        let slot = self.slots.get_mut(context)?;
        if !slot.busy {
            slot.busy = true;
            kernel.control.job.set(match slot.program.take() {
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
                // SAFETY: the run that resumes this coroutine borrows the machine.
                unsafe { machine.as_ref() }.serve(yielder)
            })
        });
        kernel.control.yielder.set(slot.yielder);
        kernel.bounds.set(slot.bounds);
        Some((context, thread))
    }

    /// Puts back a coroutine that has given up control, and returns its progress.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        kernel: &Machine,
        processor: usize,
        context: usize,
        thread: ThreadCoroutine,
    ) -> CoroutineOutcome {
        let Some(slot) = self.slots.get_mut(context) else { return CoroutineOutcome::Not };
        slot.yielder = kernel.control.yielder.get();
        slot.thread = Some(thread);
        if kernel.control.served.replace(false) {
            slot.busy = false;
            return CoroutineOutcome::Served { was_program: kernel.retire(processor, context) };
        }
        if kernel.control.ended.replace(false) {
            if let Some(mut thread) = slot.thread.take() {
                if !thread.done() {
                    // SAFETY: the thread has ended, so no frame on this stack is entered again
                    // [R2].
                    unsafe { thread.force_reset() };
                }
                self.stacks.push(thread.into_stack());
            }
            *slot = CoroutineSlot::default();
            return CoroutineOutcome::Thread;
        }
        CoroutineOutcome::Not
    }

    /// The context that a processor runs next. If the processor has no thread, it takes one for its
    /// DPCs: the program's coroutine if that is free and has no program to begin, else the idle
    /// thread's.
    fn context(&self, kernel: &Machine, processor: usize) -> usize {
        let cpu = kernel.processor(processor);
        let context = cpu.context.get();
        if context != NO_THREAD {
            return context;
        }
        // Once another thread has had the processor, a program that has not begun is among the
        // ready threads.
        let home_is_busy = self.slots.get(processor).is_some_and(|slot| slot.busy || slot.program.is_some());
        let context = if home_is_busy { IDLE + processor } else { processor };
        cpu.context.set(context);
        context
    }

    /// Gives up all coroutines, wherever they are. Values on their stacks are leaked, as on a
    /// machine that has stopped.
    fn abandon(&mut self) {
        for slot in &mut self.slots {
            slot.busy = false;
            if let Some(program) = slot.program.take() {
                // The program's destructors may call the kernel, which has stopped.
                Box::leak(program);
            }
            if let Some(mut thread) = slot.thread.take() {
                if !thread.done() {
                    // SAFETY: the coroutine is between two programs [R1], or its run or simulation
                    // is over. Then only the kernel refers to the frames, and it forgets them at
                    // its reset. Values on the frames are leaked, not dropped.
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

/// Unpoisons an abandoned stack, because its frames have not told AddressSanitizer that their
/// memory is free.
fn clean(stack: &DefaultStack, size: usize) {
    let open = stack::open(stack, size);
    crate::asan::unpoison(core::ptr::without_provenance(open.start), open.len());
}

impl Drop for Coroutines {
    fn drop(&mut self) {
        self.abandon();
    }
}
