//! The loop outside all coroutines: starts programs, resumes processors, and ends the run.

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};
use core::ptr::NonNull;

use corosensei::{Coroutine, stack::DefaultStack};

use super::machine::{Machine, NOBODY, Suspend, activate};
use crate::{
    kernel::processor::Activity,
    trace::event::What,
    verifier::{bugcheck::irql_name, stop::Stop, violation},
};

/// A program: what a thread at PASSIVE_LEVEL executes.
pub type Program = Box<dyn FnOnce()>;

type Thread = Coroutine<(), (), (), DefaultStack>;

/// Bytes of a coroutine's stack.
const STACK: usize = 256 << 10;

/// One processor's coroutine and what it is to begin with.
///
/// A coroutine outlives its program: between two it is suspended in [`Machine::serve`], with nothing on its stack that
/// would have to be dropped `[R1]`.
#[derive(Default)]
struct Slot {
    thread: Option<Thread>,
    /// It is in the middle of something.
    busy: bool,
    program: Option<Program>,
}

/// The coroutines of a simulation, and stacks that are not in use.
#[derive(Default)]
pub(crate) struct Threads {
    slots: Vec<Slot>,
    stacks: Vec<DefaultStack>,
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Programs have returned, no DPC is queued, no timer is set.
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
        if self.slots.len() < kernel.count() {
            self.slots.resize_with(kernel.count(), Slot::default);
        }
        let mut left = programs.len();
        for (processor, program) in programs {
            if let Some(slot) = self.slots.get_mut(processor) {
                slot.program = Some(program);
            }
            kernel.processor(processor).activity.set(Activity::Live);
            kernel.runnable.set(kernel.runnable.get() | 1 << processor);
        }
        kernel.unloading.set(until == Until::Returned);
        activate(Some(machine));
        let mut running = Running { threads: self, finished: false };
        let outcome = running.threads.drive(kernel, machine, &mut left, until);
        kernel.inside.set(false);
        kernel.clock.settle();
        running.finished = outcome.is_ok() && until == Until::Quiet;
        outcome
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
                None => Some(kernel.next.get()).filter(|next| *next != NOBODY),
                Some(was_program) => {
                    *left -= usize::from(was_program);
                    if *left == 0 && until == Until::Returned {
                        return Ok(());
                    }
                    None
                }
            };
            if target.is_none() {
                target = kernel.next_or_idle()?;
                kernel.regrant();
            }
        }
        if *left == 0 { Ok(()) } else { Err(Stop::Deadlock { waits: kernel.waits() }) }
    }

    /// Lets a processor go on until it gives up control. When it has nothing more to do: whether it had a program.
    fn resume(&mut self, processor: usize, machine: NonNull<Machine>) -> Option<bool> {
        let slot = self.slots.get_mut(processor)?;
        // SAFETY: the run borrows the machine.
        let kernel = unsafe { machine.as_ref() };
        if !slot.busy {
            slot.busy = true;
            kernel.job.replace(slot.program.take());
        }
        let stacks = &mut self.stacks;
        let thread = slot.thread.get_or_insert_with(|| {
            let stack = stacks.pop().unwrap_or_else(new_stack);
            Coroutine::with_stack(stack, move |yielder: &Suspend, ()| {
                // SAFETY: whoever resumes this coroutine borrows the machine.
                unsafe { machine.as_ref() }.serve(yielder)
            })
        });
        thread.resume(());
        if !kernel.served.replace(false) {
            return None;
        }
        slot.busy = false;
        Some(kernel.retire(processor))
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
                    // SAFETY: between two programs [R1], or in a run that has stopped: then nothing refers to the frames
                    // but the kernel, which forgets them at its reset, and values on them are leaked, not dropped.
                    unsafe { thread.force_reset() };
                }
                self.stacks.push(thread.into_stack());
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.abandon();
    }
}

#[expect(clippy::panic, reason = "a test process without memory for a stack cannot go on")]
fn new_stack() -> DefaultStack {
    DefaultStack::new(STACK).unwrap_or_else(|error| panic!("ntsim: no memory for a stack: {error}"))
}

impl Machine {
    /// What a coroutine does: one job after the other.
    fn serve(&self, yielder: &Suspend) {
        let me = self.current.get();
        if let Some(cell) = self.yielders.get(me) {
            cell.set(core::ptr::from_ref(yielder));
        }
        loop {
            let job = self.job.take();
            self.execute(job);
            self.served.set(true);
            self.suspend();
        }
    }

    /// A job: the program, if there is one, then the DPCs that were held off.
    fn execute(&self, program: Option<Program>) {
        let me = self.current.get();
        self.cpu().activity.set(Activity::Live);
        self.take_interrupts();
        let Some(program) = program else {
            self.idle_drain();
            return;
        };
        self.programs.set(self.programs.get() | 1 << me);
        if self.tracing.get() {
            self.record(What::ProgramStart);
        }
        program();
        if self.tracing.get() {
            self.record(What::ProgramEnd);
        }
        let irql = self.irql();
        if irql != 0 {
            let parameter = u64::from(irql) << 16 | 2;
            let rule =
                alloc::format!("a program returned at IRQL {irql} ({}), not PASSIVE_LEVEL", irql_name(irql));
            self.bug_check(violation(0xC8, [parameter, 0, 0, 0], rule));
        }
        if !self.unloading.get() {
            self.idle_drain();
        }
    }

    /// Runs what is in the queue of a processor that has nothing else to do.
    fn idle_drain(&self) {
        if self.cpu().queued.get() != 0 {
            self.drain();
        }
    }

    /// A processor has nothing more to do; whether it had a program.
    fn retire(&self, processor: usize) -> bool {
        let cpu = self.processor(processor);
        cpu.activity.set(Activity::Idle);
        self.make_unrunnable(processor);
        let bit = 1 << processor;
        let was_program = self.programs.get() & bit != 0;
        self.programs.set(self.programs.get() & !bit);
        was_program
    }

    /// Who runs next. Where nobody can, the clock jumps to the next timer. None where there is no timer either.
    fn next_or_idle(&self) -> Result<Option<usize>, Stop> {
        loop {
            if let Err(violation) = self.expire() {
                self.put_stop(self.bug_check_of(*violation));
            }
            if let Some(stop) = self.stop.borrow().clone() {
                return Err(stop);
            }
            if self.runnable.get() != 0 {
                let next = self.decide();
                if let Some(stop) = self.stop.borrow().clone() {
                    return Err(stop);
                }
                return Ok(Some(next));
            }
            let next = self.kernel.borrow().timers.next();
            let Some(tick) = next else { return Ok(None) };
            let by = tick.saturating_sub(self.clock.now());
            self.clock.skip(by);
            if self.tracing.get() {
                self.record(What::TimeSkipped { by });
            }
        }
    }
}
