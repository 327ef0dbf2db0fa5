//! The free-running engine: an OS thread of the host for each processor, which all run at once.
//!
//! The machine is one for all of them, and made for one: so whoever is in it has the *baton* `[F1]`. A kernel call takes it when it
//! begins and gives it back when it ends, and while a routine of the driver runs nobody has it. A processor's coroutines are resumed by
//! its own OS thread only, and threads do not move between processors, so that nothing that belongs to an OS thread is ever
//! another's `[F2]`. What a processor alone writes, its IRQL and whether it is in a DPC, it reads without the baton.
//!
//! Interrupts come in at kernel calls and at the operations of [`sync`](crate::sync), as everywhere; a processor that spins on an
//! atomic looks from time to time. Virtual time goes on with the calls, and jumps when all processors are idle.

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

// Not std's: ThreadSanitizer has to see what they do, and std is not compiled for it.
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{
    machine::{Machine, PROCESSORS, Suspend, activate, active},
    run::{Ended, Program, Threads, Until},
};
use crate::verifier::stop::Stop;

/// A program of a free run: it goes to another OS thread.
pub type FreeProgram = Box<dyn FnOnce() + Send>;

/// Whether there are free runs at all: else what is done for them at every call is compiled to nothing.
pub(crate) const ENABLED: bool = cfg!(feature = "free-running");

/// Operations on atomics in a row, without a kernel call, between two looks at the clock.
const SPINS: u32 = 1 << 10;

/// Who has the baton, and who is out of work.
#[derive(Default)]
struct Baton {
    held: bool,
    /// A bit for each processor that has nothing to do.
    idle: u64,
    /// The run is over.
    over: bool,
    /// Counts what somebody may have waited for.
    events: u64,
}

/// A free run.
struct Free {
    machine: NonNull<Machine>,
    /// Touched with the baton only.
    threads: UnsafeCell<Threads>,
    baton: Mutex<Baton>,
    returned: Condvar,
    happened: Condvar,
    /// A processor is to look into the machine, though it may be spinning.
    attention: [AtomicBool; PROCESSORS],
    /// What a program has panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: machine and threads are touched by who has the baton [F1]; the rest is made for several threads. What the coroutines
// have on their stacks stays with one OS thread [F2].
unsafe impl Sync for Free {}

thread_local! {
    /// The free run that this OS thread is a processor of, or null.
    static FREE: Cell<*const Free> = const { Cell::new(null()) };
    /// Which processor.
    static PROCESSOR: Cell<usize> = const { Cell::new(0) };
    /// How the coroutine that runs on this OS thread gives up control, while it does not have the baton.
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
    // SAFETY: null, or the run's, which outlives the OS threads that it has started.
    unsafe { FREE.get().as_ref() }
}

/// Whether the calling code is a free run's, without the baton: the machine, and the number of the processor.
#[inline]
pub(crate) fn bystander<'a>() -> Option<(&'a Machine, usize)> {
    // SAFETY: as long as the run. Only what this processor alone writes may be read.
    free().map(|free| (unsafe { free.machine.as_ref() }, PROCESSOR.get()))
}

/// Takes the baton, if the calling code is a free run's.
#[inline(always)]
pub(crate) fn take_baton<'a>() -> Option<&'a Machine> {
    take(free()?)
}

#[cold]
fn take<'a>(free: &Free) -> Option<&'a Machine> {
    free.take();
    // SAFETY: as long as the run; with the baton.
    let machine = unsafe { free.machine.as_ref() };
    machine.yielder.set(YIELDER.get());
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
        YIELDER.set(machine.yielder.get());
        free.give_back();
    }
}

/// An operation on an atomic, outside of the machine: takes interrupts that have been requested, and lets time go by for who spins.
#[inline(always)]
pub(crate) fn attend() {
    let Some(free) = free() else { return };
    let spun = SPUN.get() + 1;
    SPUN.set(spun);
    let wanted = free.attention.get(PROCESSOR.get()).is_some_and(|wanted| wanted.load(Ordering::Relaxed));
    if wanted || spun >= SPINS {
        free.look(spun >= SPINS);
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
        // SAFETY: as long as the run; with the baton.
        unsafe { self.machine.as_ref() }.current.set(PROCESSOR.get());
        activate(Some(self.machine));
    }

    /// Gives it back.
    fn give_back(&self) {
        activate(None);
        self.lock().held = false;
        self.returned.notify_one();
    }

    /// Waits, without the baton, until something happens that this processor might wait for, unless it has since `seen`.
    fn wait(&self, seen: u64) {
        activate(None);
        let mut baton = self.lock();
        baton.held = false;
        self.returned.notify_one();
        while baton.events == seen && !baton.over {
            self.happened.wait(&mut baton);
        }
        drop(baton);
        self.take();
    }

    /// Something has happened, for everybody to look. How much has happened by now.
    fn happen(&self) -> u64 {
        let mut baton = self.lock();
        baton.events += 1;
        let events = baton.events;
        drop(baton);
        self.happened.notify_all();
        events
    }

    /// The run is over.
    fn finish(&self) {
        self.lock().over = true;
        for wanted in &self.attention {
            wanted.store(true, Ordering::Relaxed);
        }
        self.happen();
    }

    /// Looks into the machine, from a processor that is outside of it.
    #[cold]
    fn look(&self, spins: bool) {
        if active().is_some() {
            return;
        }
        let Some(machine) = take_baton() else { return };
        if let Some(wanted) = self.attention.get(PROCESSOR.get()) {
            wanted.store(false, Ordering::Relaxed);
        }
        if spins {
            // Time passes for who waits for it.
            machine.clock.skip(machine.clock.tick() / 64);
            machine.jumps.set(machine.jumps.get() + 1);
        }
        machine.point();
        machine.take_interrupts();
        return_baton(machine);
        if spins {
            std::thread::yield_now();
        }
    }

    /// What the OS thread of a processor does.
    fn be(&self, processor: usize, left: &Cell<usize>, until: Until) {
        FREE.set(self);
        PROCESSOR.set(processor);
        self.take();
        // SAFETY: as long as the run; with the baton.
        let machine = unsafe { self.machine.as_ref() };
        while machine.stop.borrow().is_none() && !self.lock().over {
            if machine.runnable.get() >> processor & 1 == 0 {
                self.rest(machine, processor);
                continue;
            }
            machine.arrange(processor);
            match catch_unwind(AssertUnwindSafe(|| self.resume(machine, processor))) {
                Ok(Ended::Served { was_program }) => left.set(left.get() - usize::from(was_program)),
                Ok(_) => {}
                Err(panic) => {
                    if active().is_none() {
                        self.take();
                    }
                    self.panic.lock().get_or_insert(panic);
                    machine.put_stop(Stop::Failure {
                        oracle: "panic",
                        message: String::from("a program panicked"),
                    });
                }
            }
            if left.get() == 0 && until == Until::Returned {
                break;
            }
        }
        self.finish();
        self.give_back();
        FREE.set(null());
    }

    /// A processor cannot go on: it waits until something happens. The last one to come here lets time pass, or ends the run where
    /// time brings nothing.
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
                    let seen = self.happen();
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

    /// Lets a processor go on until it gives up control.
    fn resume(&self, machine: &Machine, processor: usize) -> Ended {
        // SAFETY: with the baton; the reference is not kept over the resumption.
        let threads = || unsafe { &mut *self.threads.get() };
        let Some((context, mut thread)) = threads().prepare(machine, processor, self.machine) else {
            return Ended::Not;
        };
        thread.resume(());
        threads().settle(machine, processor, context, thread)
    }
}

impl Machine {
    /// The run is a free one.
    #[inline(always)]
    pub(crate) fn is_free(&self) -> bool {
        ENABLED && self.is_free.get()
    }

    /// Calls a routine of the driver's. There is a point before its first step and one before its
    /// return.
    #[inline(always)]
    pub(crate) fn call_out<R>(&self, f: impl FnOnce() -> R) -> R {
        self.point_after();
        let result = self.release_baton(f);
        self.point_of_return();
        result
    }

    /// Calls something of the driver's: without the baton, where the run is a free one.
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

    /// In a free run: a processor can go on, or is to look.
    #[inline(always)]
    pub(crate) fn alert(&self, processor: usize) {
        if self.is_free() {
            alert(1 << processor);
        }
    }

    /// In a free run: all are to look.
    #[inline(always)]
    pub(crate) fn alert_all(&self) {
        if self.is_free() {
            alert(u64::MAX);
        }
    }

    /// In a free run: waits until this processor's wait for a spin lock is over.
    pub(crate) fn wait_freely(&self) {
        let Some(free) = free() else { return };
        let (me, yielder) = (self.current.get(), self.yielder.get());
        while self.runnable.get() >> me & 1 == 0 {
            free.rest(self, me);
            self.yielder.set(yielder);
            if self.stop.borrow().is_some() || free.lock().over {
                self.stay();
            }
        }
    }
}

/// These processors are to look into the machine.
#[cold]
fn alert(processors: u64) {
    let Some(free) = free() else { return };
    for (number, wanted) in free.attention.iter().enumerate() {
        if processors >> number & 1 != 0 {
            wanted.store(true, Ordering::Relaxed);
        }
    }
    free.happen();
}

/// Runs programs, an OS thread of the host for each processor.
pub(crate) fn run(
    machine: NonNull<Machine>,
    threads: &mut Threads,
    programs: Vec<(usize, FreeProgram)>,
    until: Until,
) -> Result<(), Stop> {
    // SAFETY: the simulation's, which is borrowed for the whole run.
    let kernel = unsafe { machine.as_ref() };
    let count = programs.len();
    // What an earlier run has begun is this OS thread's [F2].
    assert!(!threads.any_waits(), "ntsim: a system thread of an earlier run waits");
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
        happened: Condvar::new(),
        attention: [const { AtomicBool::new(false) }; PROCESSORS],
        panic: Mutex::new(None),
    };
    kernel.is_free.set(true);
    kernel.now.reset(None);
    kernel.inside.set(true);
    let left = Left(Cell::new(count));
    std::thread::scope(|scope| {
        let be = |processor: usize| {
            let (free, left) = (&free, &left);
            scope.spawn(move || free.be(processor, left.get(), until))
        };
        let threads: Vec<_> = (0..kernel.count()).map(be).collect();
        // Joined one by one, not by the scope, whose own way ThreadSanitizer does not see.
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    });
    kernel.is_free.set(false);
    kernel.inside.set(false);
    kernel.clock.settle();
    let panic = free.panic.into_inner();
    *threads = free.threads.into_inner();
    let stop = kernel.stop.borrow().clone();
    let ended = match stop {
        Some(stop) => Err(stop),
        None if left.0.get() != 0 || kernel.spins() => Err(Stop::Deadlock { waits: kernel.waits() }),
        None => Ok(()),
    };
    threads.end();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
    ended
}

/// How many programs have not returned: touched with the baton.
struct Left(Cell<usize>);

// SAFETY: by who has the baton [F1].
unsafe impl Sync for Left {}

impl Left {
    fn get(&self) -> &Cell<usize> {
        &self.0
    }
}
