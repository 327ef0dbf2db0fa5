//! The free-running engine. Each processor is an OS thread of the host, and all of them run at
//! once.
//!
//! All processors share one machine, which is made for one thread. So the processor that uses the
//! machine holds the *baton* `[F1]`. A kernel call takes the baton when it begins and gives it back
//! when it ends. While a routine of the driver runs, its processor does not hold it. Only a
//! processor's own OS thread resumes its coroutines, and threads do not move between processors. So
//! a value that belongs to an OS thread is never used by another one `[F2]`. A processor reads
//! without the baton its IRQL and whether it is in a DPC, which it alone writes.
//!
//! Interrupts arrive at kernel calls and at the operations of [`sync`](crate::sync), as in other
//! runs. A processor that spins on an atomic looks into the machine from time to time. Virtual time
//! advances with the calls, and jumps when all processors are idle.

#![cfg_attr(
    not(feature = "free-running"),
    allow(dead_code, unreachable_pub, reason = "without the feature nothing begins such a run")
)]

extern crate alloc;

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{
    any::Any,
    cell::{Cell, UnsafeCell},
    panic::AssertUnwindSafe,
    ptr::{NonNull, null},
    sync::atomic::{AtomicBool, Ordering},
};
use std::{
    panic::{catch_unwind, resume_unwind},
    thread_local,
};

// parking_lot's locks, not std's, because ThreadSanitizer has to see their operations, and std is
// not compiled for it.
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    control::Suspend,
    job::Program,
    machine::{Machine, activate, active},
    run::{CoroutineOutcome, Coroutines, Until},
};
use crate::{limits::PROCESSORS, verifier::stop::Stop};

/// A program of a free run, which moves to another OS thread.
pub type FreeProgram = Box<dyn FnOnce() + Send>;

/// Whether free runs exist in this build. Without them, the checks at every call compile to
/// nothing.
pub(crate) const ENABLED: bool = cfg!(feature = "free-running");

/// How many operations on atomics in a row, without a kernel call, pass between two looks at the
/// clock.
const SPINS: u32 = 1 << 10;

/// The state of the baton and of the processors that wait.
#[derive(Default)]
struct Baton {
    held: bool,
    /// A bit for each idle processor.
    idle: u64,
    /// The run is over.
    over: bool,
    /// Counts the events that a processor may have waited for.
    events: u64,
}

/// A free run.
struct Free {
    machine: NonNull<Machine>,
    /// Accessed only with the baton.
    threads: UnsafeCell<Coroutines>,
    baton: Mutex<Baton>,
    returned: Condvar,
    event_counted: Condvar,
    /// Whether a processor is to look into the machine, though it may be spinning.
    attention: [AtomicBool; PROCESSORS],
    /// The payload of the first panic of a program.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: only the processor that holds the baton accesses machine and threads [F1]; the other
// fields are made for several threads. Values on the coroutines' stacks stay with one OS thread
// [F2].
unsafe impl Sync for Free {}

thread_local! {
    /// The free run that this OS thread is a processor of, or null.
    static FREE: Cell<*const Free> = const { Cell::new(null()) };
    /// The number of that processor.
    static PROCESSOR: Cell<usize> = const { Cell::new(0) };
    /// How the coroutine that runs on this OS thread gives up control, kept here while the thread
    /// does not hold the baton.
    static YIELDER: Cell<*const Suspend> = const { Cell::new(null()) };
    /// Operations on atomics since the last kernel call.
    static SPUN: Cell<u32> = const { Cell::new(0) };
}

/// The free run of this OS thread.
#[inline(always)]
fn free<'a>() -> Option<&'a Free> {
    if !ENABLED {
        return None;
    }
    // SAFETY: the pointer is null or the run's. The run outlives the OS threads that it has
    // started.
    unsafe { FREE.get().as_ref() }
}

/// The machine and the processor's number, if the caller runs in a free run without the baton.
#[inline]
pub(crate) fn bystander<'a>() -> Option<(&'a Machine, usize)> {
    // SAFETY: the machine lives as long as the run. Callers read only the fields that this
    // processor alone writes.
    free().map(|free| (unsafe { free.machine.as_ref() }, PROCESSOR.get()))
}

/// Takes the baton, if the caller runs in a free run.
#[inline(always)]
pub(crate) fn take_baton<'a>() -> Option<&'a Machine> {
    take(free()?)
}

#[cold]
fn take<'a>(free: &Free) -> Option<&'a Machine> {
    free.take();
    // SAFETY: the machine lives as long as the run, and this thread holds the baton.
    let machine = unsafe { free.machine.as_ref() };
    machine.control.yielder.set(YIELDER.get());
    SPUN.set(0);
    if machine.stop.borrow().is_some() {
        machine.stay();
    }
    Some(machine)
}

/// Gives the baton back.
#[cold]
pub(crate) fn return_baton(machine: &Machine) {
    if let Some(free) = free() {
        YIELDER.set(machine.control.yielder.get());
        free.give_back();
    }
}

/// Called at an operation on an atomic, outside of the machine. It takes requested interrupts, and
/// lets time pass for a processor that spins.
#[inline(always)]
pub(crate) fn attend() {
    let Some(free) = free() else { return };
    let spun = SPUN.get() + 1;
    SPUN.set(spun);
    let wanted = free.attention.get(PROCESSOR.get()).is_some_and(|wanted| wanted.load(Ordering::Relaxed));
    if wanted || spun >= SPINS {
        free.visit_machine(spun >= SPINS);
    }
}

impl Free {
    fn lock(&self) -> MutexGuard<'_, Baton> {
        self.baton.lock()
    }

    /// Takes the baton.
    fn take(&self) {
        let mut baton = self.lock();
        while baton.held {
            self.returned.wait(&mut baton);
        }
        baton.held = true;
        drop(baton);
        // SAFETY: the machine lives as long as the run, and this thread holds the baton.
        unsafe { self.machine.as_ref() }.current.set(PROCESSOR.get());
        activate(Some(self.machine));
    }

    /// Gives the baton back.
    fn give_back(&self) {
        activate(None);
        self.lock().held = false;
        self.returned.notify_one();
    }

    /// Waits, without the baton, for an event that this processor may wait for, unless one has
    /// happened since `seen`.
    fn wait(&self, seen: u64) {
        activate(None);
        let mut baton = self.lock();
        baton.held = false;
        self.returned.notify_one();
        while baton.events == seen && !baton.over {
            self.event_counted.wait(&mut baton);
        }
        drop(baton);
        self.take();
    }

    /// Counts an event and wakes all processors to look. Returns the number of events so far.
    fn count_event(&self) -> u64 {
        let mut baton = self.lock();
        baton.events += 1;
        let events = baton.events;
        drop(baton);
        self.event_counted.notify_all();
        events
    }

    /// Ends the run for all processors.
    fn finish(&self) {
        self.lock().over = true;
        for wanted in &self.attention {
            wanted.store(true, Ordering::Relaxed);
        }
        self.count_event();
    }

    /// Looks into the machine, from a processor that runs outside of it.
    #[cold]
    fn visit_machine(&self, spins: bool) {
        if active().is_some() {
            return;
        }
        let Some(machine) = take_baton() else { return };
        if let Some(wanted) = self.attention.get(PROCESSOR.get()) {
            wanted.store(false, Ordering::Relaxed);
        }
        if spins {
            // A spinning processor waits for time to pass.
            machine.clock.skip(machine.clock.tick() / 64);
            machine.clock.count_jump();
        }
        machine.point();
        machine.take_interrupts();
        return_baton(machine);
        if spins {
            std::thread::yield_now();
        }
    }

    /// The body of a processor's OS thread.
    fn run_processor(&self, processor: usize, remaining: &Cell<usize>, until: Until) {
        FREE.set(self);
        PROCESSOR.set(processor);
        self.take();
        // SAFETY: the machine lives as long as the run, and this thread holds the baton.
        let machine = unsafe { self.machine.as_ref() };
        while machine.stop.borrow().is_none() && !self.lock().over {
            if machine.runnable.get() >> processor & 1 == 0 {
                self.rest(machine, processor);
                continue;
            }
            machine.arrange(processor);
            match catch_unwind(AssertUnwindSafe(|| self.resume(machine, processor))) {
                Ok(CoroutineOutcome::Served { was_program }) => {
                    remaining.set(remaining.get() - usize::from(was_program))
                }
                Ok(_) => {}
                Err(panic) => {
                    if active().is_none() {
                        self.take();
                    }
                    self.panic.lock().get_or_insert(panic);
                    machine.put_stop(Stop::failure("panic", String::from("a program panicked")));
                }
            }
            if remaining.get() == 0 && until == Until::Returned {
                break;
            }
        }
        self.finish();
        self.give_back();
        FREE.set(null());
    }

    /// Waits until this processor may be able to go on. The last processor to become idle lets time
    /// pass, or ends the run if no timer is due.
    fn rest(&self, machine: &Machine, processor: usize) {
        let mut baton = self.lock();
        baton.idle |= 1 << processor;
        let all = baton.idle.count_ones() as usize == machine.count();
        let seen = baton.events;
        drop(baton);
        if !all {
            self.wait(seen);
        } else {
            match machine.next_event() {
                Ok(true) => {
                    let seen = self.count_event();
                    if machine.runnable.get() >> processor & 1 == 0 {
                        self.wait(seen);
                    }
                }
                Ok(false) => self.finish(),
                Err(stop) => machine.put_stop(stop),
            }
        }
        self.lock().idle &= !(1 << processor);
    }

    /// Resumes a processor until it gives up control.
    fn resume(&self, machine: &Machine, processor: usize) -> CoroutineOutcome {
        // SAFETY: this thread holds the baton [F1], and drops the reference before the coroutine is
        // resumed.
        let threads = || unsafe { &mut *self.threads.get() };
        let Some((context, mut thread)) = threads().prepare(machine, processor, self.machine) else {
            return CoroutineOutcome::Not;
        };
        thread.resume(());
        threads().settle(machine, processor, context, thread)
    }
}

impl Machine {
    /// Whether the run is a free one.
    #[inline(always)]
    pub(crate) fn is_free(&self) -> bool {
        ENABLED && self.is_free.get()
    }

    /// Calls a routine of the driver. There is a point before its first step and one before its
    /// return.
    #[inline(always)]
    pub(crate) fn call_out<R>(&self, f: impl FnOnce() -> R) -> R {
        self.point_after();
        let result = self.release_baton(f);
        self.point_of_return();
        result
    }

    /// Calls code of the driver. In a free run the code runs without the baton.
    #[inline(always)]
    pub(crate) fn release_baton<R>(&self, f: impl FnOnce() -> R) -> R {
        if !self.is_free() {
            let before = self.begin_routine();
            let result = f();
            self.end_routine(before);
            return result;
        }
        return_baton(self);
        let result = f();
        take_baton();
        result
    }

    /// In a free run, tells a processor to look, because it may be able to go on.
    #[inline(always)]
    pub(crate) fn alert(&self, processor: usize) {
        if self.is_free() {
            alert(1 << processor);
        }
    }

    /// In a free run, tells all processors to look.
    #[inline(always)]
    pub(crate) fn alert_all(&self) {
        if self.is_free() {
            alert(u64::MAX);
        }
    }

    /// In a free run, waits until this processor's wait for a spin lock is over.
    pub(crate) fn wait_freely(&self) {
        let Some(free) = free() else { return };
        let (me, yielder) = (self.current.get(), self.control.yielder.get());
        while self.runnable.get() >> me & 1 == 0 {
            free.rest(self, me);
            self.control.yielder.set(yielder);
            if self.stop.borrow().is_some() || free.lock().over {
                self.stay();
            }
        }
    }
}

/// Tells these processors to look into the machine.
#[cold]
fn alert(processors: u64) {
    let Some(free) = free() else { return };
    for (number, wanted) in free.attention.iter().enumerate() {
        if processors >> number & 1 != 0 {
            wanted.store(true, Ordering::Relaxed);
        }
    }
    free.count_event();
}

/// Runs programs, with an OS thread of the host for each processor.
pub(crate) fn run(
    machine: NonNull<Machine>,
    threads: &mut Coroutines,
    programs: Vec<(usize, FreeProgram)>,
    until: Until,
) -> Result<(), Stop> {
    // SAFETY: the machine is the simulation's, and the caller borrows the simulation for the whole
    // run.
    let kernel = unsafe { machine.as_ref() };
    let count = programs.len();
    // The coroutines of an earlier run belong to this OS thread [F2].
    assert!(
        !threads.any_waits(),
        "ntsim: run_freely while a system thread of an earlier run waits; reset the simulation first"
    );
    threads.end();
    threads.start(
        kernel,
        programs.into_iter().map(|(processor, program)| (processor, program as Program)),
        until,
    );
    let free = Free {
        machine,
        threads: UnsafeCell::new(core::mem::take(threads)),
        baton: Mutex::default(),
        returned: Condvar::new(),
        event_counted: Condvar::new(),
        attention: [const { AtomicBool::new(false) }; PROCESSORS],
        panic: Mutex::new(None),
    };
    kernel.is_free.set(true);
    kernel.now.reset(None);
    kernel.control.inside.set(true);
    let remaining = RemainingPrograms(Cell::new(count));
    std::thread::scope(|scope| {
        let be = |processor: usize| {
            let (free, remaining) = (&free, &remaining);
            scope.spawn(move || free.run_processor(processor, remaining.get(), until))
        };
        let threads: Vec<_> = (0..kernel.count()).map(be).collect();
        // The threads are joined one by one, because ThreadSanitizer does not see how a scope joins
        // them.
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
    kernel.is_free.set(false);
    kernel.control.inside.set(false);
    kernel.clock.settle();
    let panic = free.panic.into_inner();
    *threads = free.threads.into_inner();
    let stop = kernel.stop.borrow().clone();
    let ended = match stop {
        Some(stop) => Err(stop),
        None if remaining.0.get() != 0 || kernel.spins() => Err(Stop::Deadlock { waits: kernel.waits() }),
        None => Ok(()),
    };
    threads.end();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    ended
}

/// How many programs have not returned. Accessed only with the baton.
struct RemainingPrograms(Cell<usize>);

// SAFETY: only the processor that holds the baton accesses the cell [F1].
unsafe impl Sync for RemainingPrograms {}

impl RemainingPrograms {
    fn get(&self) -> &Cell<usize> {
        &self.0
    }
}
