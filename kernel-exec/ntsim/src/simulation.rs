//! A simulation: a machine, its processors' coroutines, and what a test asks of them.

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};
use core::{fmt, ops::RangeInclusive, ptr::NonNull};

#[cfg(feature = "free-running")]
use crate::engine::free::{self, FreeProgram};
use crate::{
    config::Config,
    counters::Counters,
    engine::{
        between::report_at_last,
        machine::{Machine, PROCESSORS, load, loaded},
        order::Order,
        recording::Recording,
        run::{Program, Threads, Until},
        schedule::Schedule,
    },
    fault::host,
    kernel::{pool::PAGE, thread::ThreadName, work::Item},
    protection::Page,
    trace::recorder::{Recorder, Trace},
    verifier::{Checked, stop::Stop, violation},
};

/// How many bytes a driver's stack may be.
const STACKS: RangeInclusive<usize> = 4 << 10..=16 << 20;

/// A simulated machine with its kernel. While it lives it is its OS thread's; other threads may have theirs.
///
/// ```
/// use ntsim::{Config, Schedule, Simulation};
///
/// let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(7));
/// kernel.run(vec![
///     (0, Box::new(|| assert_eq!(ntsim::current_processor(), 0))),
///     (1, Box::new(|| assert_eq!(ntsim::current_processor(), 1))),
/// ])?;
/// kernel.unload()?;
/// # Ok::<(), ntsim::Stop>(())
/// ```
pub struct Simulation {
    machine: NonNull<Machine>,
    threads: Threads,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Ready for a run.
    Ready,
    /// A free run has ended: an unload is possible.
    #[cfg(feature = "free-running")]
    Over,
    /// A run has ended early: nothing is possible but a reset.
    Stopped,
}

impl Simulation {
    /// A machine that has just been booted.
    ///
    /// # Panics
    /// Where the thread has a simulation already, or `config.processors` or `config.group_size` is
    /// not from 1 to 64, or `config.tick` or `config.pool_size` is not as its page says, or the
    /// host has no special pool that is asked for.
    pub fn new(config: Config, schedule: Schedule) -> Self {
        assert!(loaded().is_none(), "ntsim: this thread has a simulation already");
        check(config);
        let machine = NonNull::from(Box::leak(Box::new(Machine::new(config, schedule))));
        load(Some(machine));
        Self { machine, threads: Threads::default(), state: State::Ready }
    }

    /// Begins anew, as [`Simulation::new`], in the same memory, unless `config.pool_size` is
    /// another than before: cheap.
    ///
    /// # Panics
    /// As for [`Simulation::new`], where the configuration is not possible; and where a kernel call
    /// [between two runs](crate#beyond-a-run) has not been reported yet, as does a drop.
    pub fn reset(&mut self, config: Config, schedule: Schedule) {
        check(config);
        if let Some(stop) = self.machine().take_report() {
            report_at_last(&stop);
        }
        self.threads.reset();
        self.machine().reset(config, schedule);
        if self.machine().arena.size() != config.pool_size {
            // SAFETY: no run is going on, since that borrows, and no shared reference outlives the
            // call that makes it.
            unsafe { self.machine.as_mut() }.replace_arena(config.pool_size);
        }
        self.state = State::Ready;
    }

    pub(crate) fn machine(&self) -> &Machine {
        // SAFETY: from `new`, freed by `drop` only; a mutable reference is made by `reset` only,
        // for itself.
        unsafe { self.machine.as_ref() }
    }

    /// Starts each program as the first thread of its processor, at PASSIVE_LEVEL, and runs until all have returned, no DPC is
    /// queued, no timer but periodic ones is set, and system threads have ended or wait for what
    /// nothing does any more: while there is nothing to run, the clock jumps to the next timer.
    /// Further runs go on in the same kernel, threads that wait with it. A routine of a work item
    /// that waits then, while no timer is set, ends the run with [`Stop::Deadlock`].
    ///
    /// A panic that leaves a program is passed on, and the simulation has stopped. A panic in an `extern "C"` function, such as
    /// a DPC routine, aborts the process, as always in Rust: there, use [`fail`](crate::fail).
    ///
    /// # Errors
    /// Why the run ended early. What the programs had on their stacks is leaked. Only [`Simulation::reset`] is possible then.
    ///
    /// # Panics
    /// Where a program's processor is not there or has a program already, or the simulation has stopped.
    pub fn run(&mut self, programs: Vec<(usize, Program)>) -> Result<(), Stop> {
        self.phase(programs, Until::Quiet)
    }

    /// As [`Simulation::run`], with an OS thread of the host for each processor, which all run at once: for ThreadSanitizer, for stress,
    /// and for benchmarks. No schedule decides and nothing is repeatable, but for choices that NT leaves open.
    ///
    /// The same rules are checked. What is different: operations on atomics are the host's and are neither traced nor counted, nor are
    /// their addresses looked at; accesses to cells are not watched; each kernel call excludes the others, so that no data race is seen
    /// between accesses that a call of each thread lies between; and system threads that wait at the end are given up. After it only [`Simulation::unload`] and
    /// [`Simulation::reset`] are possible.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use ntsim::{Config, FreeProgram, Schedule, Simulation, sync::{AtomicU32, Ordering::SeqCst}};
    ///
    /// let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(1));
    /// let sum = Arc::new(AtomicU32::new(0));
    /// let add = |processor: usize| -> (usize, FreeProgram) {
    ///     let sum = Arc::clone(&sum);
    ///     (processor, Box::new(move || for _ in 0..1_000 { sum.fetch_add(1, SeqCst); }))
    /// };
    /// kernel.run_freely(vec![add(0), add(1)])?;
    /// kernel.unload()?;
    /// assert_eq!(sum.load(SeqCst), 2_000);
    /// # Ok::<(), ntsim::Stop>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Simulation::run`].
    ///
    /// # Panics
    /// As for [`Simulation::run`], with [`Config::special_pool`], and where a system thread of an earlier run waits, such as a worker.
    #[cfg(feature = "free-running")]
    pub fn run_freely(&mut self, programs: Vec<(usize, FreeProgram)>) -> Result<(), Stop> {
        self.check_programs(programs.iter().map(|(processor, _)| *processor));
        assert!(!self.machine().config.get().special_pool, "ntsim: special pool is for runs with a schedule");
        self.report()?;
        self.state = State::Stopped;
        free::run(self.machine, &mut self.threads, programs, Until::Quiet)?;
        self.state = State::Over;
        Ok(())
    }

    fn check_programs(&self, processors: impl Iterator<Item = usize>) {
        assert!(self.state == State::Ready, "ntsim: this simulation has stopped; reset it first");
        let mut taken = 0_u64;
        for processor in processors {
            assert!(processor < self.machine().count(), "ntsim: there is no processor {processor}");
            assert!(taken >> processor & 1 == 0, "ntsim: processor {processor} has two programs");
            taken |= 1 << processor;
        }
    }

    fn phase(&mut self, programs: Vec<(usize, Program)>, until: Until) -> Result<(), Stop> {
        self.check_programs(programs.iter().map(|(processor, _)| *processor));
        self.report()?;
        // A panic that passes by leaves it so.
        self.state = State::Stopped;
        self.threads.run(self.machine, programs, until)?;
        self.ended(false)?;
        self.state = State::Ready;
        Ok(())
    }

    /// Runs a driver's Unload routine at PASSIVE_LEVEL on a processor and checks, at the moment when it returns, what
    /// [`Simulation::unload`] checks. Work that other processors have not finished by then is a bug check, but for the routine of a
    /// work item that holds a device: the image stays until it has returned, which the run goes on for (`nf-wdm-ioqueueworkitem`). The
    /// simulation has stopped afterwards.
    ///
    /// # Errors
    /// As for [`Simulation::run`] and [`Simulation::unload`].
    ///
    /// # Panics
    /// As for [`Simulation::run`].
    pub fn unload_with(&mut self, processor: usize, unload: Program) -> Result<(), Stop> {
        self.phase(alloc::vec![(processor, unload)], Until::Returned)?;
        self.state = State::Stopped;
        self.checked(self.machine().check_unload())?;
        self.ended(true)
    }

    /// A run has ended well, or the driver has been unloaded: a recording that is replayed must
    /// have ended, too.
    fn ended(&self, unloaded: bool) -> Result<(), Stop> {
        let machine = self.machine();
        let so_far = machine.so_far();
        if !unloaded {
            machine.decisions.borrow_mut().end_run(so_far.hash);
        }
        let fits = machine.schedule.borrow_mut().end(unloaded, so_far);
        fits.map_err(|message| {
            let stop = Stop::Failure { oracle: "replay", message };
            machine.put_stop(stop.clone());
            stop
        })
    }

    /// What NT and Driver Verifier check when a driver has been unloaded: a system thread has not ended, a DPC is queued or running,
    /// a timer set (0xCE), a spin lock
    /// held (0xC4/0x1006), an ETW provider registered (0xC4/0xDD), pool leaked (0xC4/0x62), or written to where it must not be (0xC1, 0xCC). A program that returns at
    /// raised IRQL has been stopped before, in [`Simulation::run`].
    ///
    /// # Errors
    /// The bug check.
    ///
    /// # Panics
    /// Where the simulation has stopped.
    pub fn unload(&mut self) -> Result<(), Stop> {
        assert!(self.state != State::Stopped, "ntsim: this simulation has stopped; reset it first");
        self.report()?;
        self.checked(self.machine().check_unload())?;
        self.ended(true)
    }

    /// Answers what was found since the last run.
    fn report(&mut self) -> Result<(), Stop> {
        match self.machine().take_report() {
            Some(stop) => {
                self.state = State::Stopped;
                Err(stop)
            }
            None => Ok(()),
        }
    }

    fn checked(&mut self, outcome: Checked<()>) -> Result<(), Stop> {
        outcome.map_err(|violation| {
            self.state = State::Stopped;
            let stop = self.machine().bug_check_of(*violation);
            self.machine().put_stop(stop.clone());
            stop
        })
    }

    /// The events so far.
    pub fn trace(&self) -> &Trace {
        let recorder = self.machine().recorder.as_ptr();
        // SAFETY: events are added only by runs and checks, which borrow the simulation mutably; names, which others add too, are in a
        // cell of their own.
        let recorder: &Recorder = unsafe { &*recorder };
        recorder.trace()
    }

    /// The decisions so far: [`Schedule::replay`] makes the same run of them.
    pub fn recording(&self) -> Recording {
        self.machine().decisions.borrow().clone()
    }

    /// The order of the events and decisions so far; empty without [`Config::trace`]. Another build
    /// that follows it does the same, though its preemption points may be others.
    pub fn order(&self) -> Order {
        Order::new(self.trace().events(), &self.machine().ordered.borrow())
    }

    /// Where an order was followed ([`Schedule::follow`]): how many of its events came in that
    /// order, and the bytes of a schedule ([`Schedule::bytes`]) that makes the same run.
    pub fn followed(&self) -> Option<(usize, Vec<u8>)> {
        let schedule = self.machine().schedule.borrow();
        schedule.follower().map(|follower| follower.outcome(self.trace().events()))
    }

    /// The schedule, in exchange for round robin.
    pub(crate) fn take_schedule(&mut self) -> Schedule {
        self.machine().schedule.replace(Schedule::round_robin())
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        self.machine().counters()
    }

    /// The virtual clock, in 100-ns units since the simulation began.
    pub fn virtual_time(&self) -> u64 {
        self.machine().clock.now()
    }
}

/// What may be between two clock interrupts, in 100-ns units.
const TICKS: core::ops::RangeInclusive<u64> = 1_000..=10_000_000;
/// Least bytes of pool.
const SMALLEST_POOL: usize = 64 << 10;
/// Most bytes of pool.
const LARGEST_POOL: usize = 4 << 30;

fn check(config: Config) {
    let processors = config.processors;
    assert!((1..=PROCESSORS).contains(&processors), "ntsim: {processors} processors; possible are 1 to 64");
    host::prepare(config.special_pool);
    let tick = config.tick;
    assert!(
        TICKS.contains(&tick),
        "ntsim: a clock tick of {tick} units of 100 ns; possible are 1,000 to 10,000,000"
    );
    let pool = config.pool_size;
    let possible = (SMALLEST_POOL..=LARGEST_POOL).contains(&pool) && pool.is_multiple_of(PAGE);
    assert!(possible, "ntsim: a pool of {pool} bytes; possible are 64 KiB to 4 GiB in pages of 4 KiB");
    let stack = config.stack;
    assert!(STACKS.contains(&stack), "ntsim: stacks of {stack} bytes; possible are 4 KiB to 16 MiB");
    let size = config.group_size;
    assert!((1..=PROCESSORS).contains(&size), "ntsim: groups of {size} processors; possible are 1 to 64");
}

impl Machine {
    /// The checks of an unload.
    pub(crate) fn check_unload(&self) -> Checked<()> {
        self.check_pending(false)?;
        self.check_providers()?;
        self.check_pool()
    }

    /// What must not be going on. `held`: the routine of a work item may run that holds a device, and by it the image.
    pub(crate) fn check_pending(&self, held: bool) -> Checked<()> {
        let pending = |address: usize, what: &str| {
            let rule = alloc::format!("the driver was unloaded while {what}");
            Err(violation(0xCE, [address as u64, 0, 0, 0], rule))
        };
        let alive = self.kernel.borrow().threads.first_alive();
        if let Some(thread) = alive {
            let what = alloc::format!("{} had not ended", ThreadName::of(thread));
            return pending(self.thread_address(thread), &what);
        }
        let kernel = self.kernel.borrow();
        if let Some(list) = kernel.lookaside.find_in(0..usize::MAX) {
            return pending(list, &alloc::format!("the lookaside list {} was not deleted", self.name(list)));
        }
        if let Some(item) = kernel.work.any() {
            let what = alloc::format!("the work item {} was queued", self.name(item.address));
            return pending(item.address, &what);
        }
        let free = |item: &Item| !held || item.call.object().is_none();
        if let Some((thread, item)) = kernel.work.running().find(|(_, item)| free(item)) {
            let (name, worker) = (self.name(item.address), ThreadName::of(thread));
            let what = alloc::format!("the routine of the work item {name} was running in {worker}");
            return pending(item.address, &what);
        }
        if let Some((processor, entry)) = kernel.dpcs.any() {
            let what =
                alloc::format!("the DPC {} was in processor {processor}'s queue", self.name(entry.address));
            return pending(entry.address, &what);
        }
        if let Some(timer) = kernel.timers.any() {
            let what = alloc::format!("the timer {} was set", self.name(timer.address));
            return pending(timer.address, &what);
        }
        if let Some(processor) = self.processors.iter().take(self.count()).position(|cpu| cpu.in_dpc.get()) {
            return pending(0, &alloc::format!("processor {processor} was in a DPC routine"));
        }
        if let Some(held) = kernel.locks.held().first() {
            let (name, by) = (self.name(held.address), held.processor);
            let rule =
                alloc::format!("the driver was unloaded while processor {by} held the spin lock {name}");
            return Err(violation(0xC4, [0x1006, held.address as u64, by as u64, 0], rule));
        }
        Ok(())
    }

    /// What must be left of the pool: nothing.
    fn check_pool(&self) -> Checked<()> {
        let kernel = self.kernel.borrow();
        for block in kernel.pool.blocks() {
            if block.own_pages && block.live {
                self.arena.protect(block, Page::Open);
            }
            self.check_guards(block)?;
            if !block.live {
                self.check_freed(block)?;
            }
        }
        let mut leaked = kernel.pool.blocks().iter().filter(|block| block.live);
        if let Some(first) = leaked.next() {
            let count = 1 + leaked.count();
            let rule = alloc::format!(
                "the driver was unloaded and has leaked {count} pool allocation(s), the first being {}",
                crate::verifier::memory::describe(first)
            );
            let name = NAME.as_ptr() as u64;
            return Err(violation(0xC4, [0x62, name, 0, count as u64], rule));
        }
        Ok(())
    }
}

/// The driver's name in bug check 0xC4/0x62: that of all drivers here.
static NAME: &str = "driver\0";

impl Drop for Simulation {
    fn drop(&mut self) {
        let report = self.machine().take_report();
        load(None);
        // SAFETY: from `new`; the thread's pointers to it are gone with `load`, and no run is going on, since that borrows.
        drop(unsafe { Box::from_raw(self.machine.as_ptr()) });
        if let Some(stop) = report {
            report_at_last(&stop);
        }
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("config", &self.machine().config.get())
            .field("state", &self.state)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
