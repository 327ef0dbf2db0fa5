//! A simulation, which is a machine with its processors' coroutines, and its interface for tests.

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};
use core::{fmt, ops::RangeInclusive, ptr::NonNull};
use std::{io, path::Path};

use crate::{
    config::Config,
    counters::Counters,
    engine::{
        between::report_at_last,
        entry::here,
        job::Program,
        machine::{Machine, load, loaded},
        order::Order,
        recording::Recording,
        run::{Coroutines, Until},
        schedule::Schedule,
    },
    fault::host,
    kernel::pool::PAGE,
    limits::PROCESSORS,
    trace::recorder::{Recorder, Trace},
    verifier::{Checked, stop::Stop, unload},
};

#[cfg(feature = "free-running")]
use crate::engine::free::{self, FreeProgram};
/// The possible bytes of a driver's stack.
const STACKS: RangeInclusive<usize> = 4 << 10..=16 << 20;

/// A simulated machine with its kernel. It belongs to its OS thread as long as it lives; other
/// threads may have simulations of their own.
///
/// ```
/// use ntsim::{Config, Schedule, Simulation};
///
/// let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(7));
/// kernel.programs().on(0, || assert_eq!(ntsim::current_processor(), 0)).on(1, || assert_eq!(ntsim::current_processor(), 1)).run()?;
/// kernel.unload()?;
/// # Ok::<(), ntsim::Stop>(())
/// ```
pub struct Simulation {
    machine: NonNull<Machine>,
    threads: Coroutines,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Ready for a run.
    Ready,
    /// A free run has ended, so an unload is possible.
    #[cfg(feature = "free-running")]
    Over,
    /// A run has ended early, so only a reset is possible.
    Stopped,
}

impl Simulation {
    /// Boots a machine.
    ///
    /// # Panics
    /// Panics in each of these cases:
    ///
    /// - The thread has a simulation already.
    /// - `config.processors` or `config.group_size` is not from 1 to 64.
    /// - `config.tick`, `config.pool_size` or `config.stack` is out of its documented range.
    /// - The configuration asks for special pool, and the host does not support it.
    pub fn new(config: Config, schedule: Schedule) -> Self {
        assert!(loaded().is_none(), "ntsim: this thread has a simulation already");
        check(config);
        let machine = NonNull::from(Box::leak(Box::new(Machine::new(config, schedule))));
        load(Some(machine));
        Self { machine, threads: Coroutines::default(), state: State::Ready }
    }

    /// Begins anew, as [`Simulation::new`] does. It keeps the memory unless `config.pool_size`
    /// changes, so it is cheap.
    ///
    /// # Panics
    /// Panics, as [`Simulation::new`] does, if the configuration is not possible; and if a kernel
    /// call [between two runs](crate#beyond-a-run) has not been reported yet, as a drop does.
    pub fn reset(&mut self, config: Config, schedule: Schedule) {
        check(config);
        if let Some(stop) = self.machine().take_report() {
            report_at_last(&stop);
        }
        self.threads.reset();
        self.machine().reset(config, schedule);
        if self.machine().arena.size() != config.pool_size {
            // SAFETY: no run is going on, because a run borrows the simulation, and no shared
            // reference outlives the call that makes it.
            unsafe { self.machine.as_mut() }.replace_arena(config.pool_size);
        }
        self.state = State::Ready;
    }

    pub(crate) fn machine(&self) -> &Machine {
        // SAFETY: the machine comes from `new`, and only `drop` frees it. Only `reset` makes a
        // mutable reference, for its own duration.
        unsafe { self.machine.as_ref() }
    }

    /// Runs programs, each as the first thread of its processor, at PASSIVE_LEVEL.
    ///
    /// The run ends when all programs have returned, no DPC is queued, no timer but periodic ones
    /// is set, and each system thread has ended or waits for an event that cannot happen. While no
    /// thread can run, the clock jumps to the next timer. Further runs continue in the same kernel,
    /// with the threads that wait. If a work item's routine waits at the end and no timer is set,
    /// the run ends with [`Stop::Deadlock`].
    ///
    /// A panic in a program or in the driver ends the run with [`Stop::Panic`]. That variant says
    /// where it unwinds instead. The simulation has stopped then, too.
    ///
    /// # Errors
    /// The reason for which the run ended early. Values on the programs' stacks are leaked. Only
    /// [`Simulation::reset`] is possible then.
    ///
    /// # Panics
    /// Panics if a program's processor does not exist or has a program already, or if the
    /// simulation has stopped.
    pub fn run(&mut self, programs: Vec<(usize, Program)>) -> Result<(), Stop> {
        self.phase(programs, Until::Quiet)
    }

    /// Runs one program on a processor. It is [`Simulation::run`] for a single program.
    ///
    /// ```
    /// use ntsim::{Config, Schedule, Simulation, current_processor};
    ///
    /// let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(1));
    /// kernel.run_on(1, || assert_eq!(current_processor(), 1))?;
    /// # Ok::<(), ntsim::Stop>(())
    /// ```
    ///
    /// # Errors
    /// The same as for [`Simulation::run`].
    ///
    /// # Panics
    /// Panics as [`Simulation::run`] does.
    pub fn run_on(&mut self, processor: usize, program: impl FnOnce() + 'static) -> Result<(), Stop> {
        self.programs().on(processor, program).run()
    }

    /// Collects the programs of one run. No program runs before [`Programs::run`].
    ///
    /// ```
    /// use ntsim::{Config, Schedule, Simulation, current_processor};
    ///
    /// let mut kernel = Simulation::new(Config { processors: 2, ..Config::default() }, Schedule::seed(1));
    /// kernel
    ///     .programs()
    ///     .on(0, || assert_eq!(current_processor(), 0))
    ///     .on(1, || assert_eq!(current_processor(), 1))
    ///     .run()?;
    /// # Ok::<(), ntsim::Stop>(())
    /// ```
    pub fn programs(&mut self) -> Programs<'_> {
        Programs { simulation: self, programs: Vec::new() }
    }

    /// Runs programs as [`Simulation::run`] does, with an OS thread of the host for each processor.
    /// All of them run at once, for ThreadSanitizer, for stress, and for benchmarks. No schedule
    /// decides and nothing is repeatable, except for choices that NT leaves open.
    ///
    /// The same rules are checked, with these differences:
    ///
    /// - Operations on atomics are the host's. They are neither traced nor counted, and their
    ///   addresses are not checked.
    /// - Accesses to cells are not watched.
    /// - Each kernel call excludes the others, so no data race is seen between accesses if each
    ///   thread makes a call between them.
    /// - System threads that wait at the end are given up.
    ///
    /// After a free run only [`Simulation::unload`] and [`Simulation::reset`] are possible.
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
    /// The same as for [`Simulation::run`].
    ///
    /// # Panics
    /// Panics as [`Simulation::run`] does. Also panics with [`Config::special_pool`], and if a
    /// system thread of an earlier run, such as a worker, waits.
    #[cfg(feature = "free-running")]
    pub fn run_freely(&mut self, programs: Vec<(usize, FreeProgram)>) -> Result<(), Stop> {
        self.check_programs(programs.iter().map(|(processor, _)| *processor));
        assert!(
            !self.machine().config.get().special_pool,
            "ntsim: run_freely with Config::special_pool, which needs a run with a schedule"
        );
        self.report()?;
        self.state = State::Stopped;
        free::run(self.machine, &mut self.threads, programs, Until::Quiet)?;
        self.state = State::Over;
        Ok(())
    }

    fn check_programs(&self, processors: impl Iterator<Item = usize>) {
        assert!(self.state == State::Ready, "ntsim: a run of a simulation that has stopped; reset it first");
        let (mut taken, count) = (0_u64, self.machine().count());
        for processor in processors {
            assert!(
                processor < count,
                "ntsim: processor {processor} does not exist; Config::processors is {count}"
            );
            assert!(
                taken >> processor & 1 == 0,
                "ntsim: processor {processor} has two programs; a run takes one for each"
            );
            taken |= 1 << processor;
        }
    }

    fn phase(&mut self, programs: Vec<(usize, Program)>, until: Until) -> Result<(), Stop> {
        self.check_programs(programs.iter().map(|(processor, _)| *processor));
        self.report()?;
        // A panic that unwinds through the run leaves this state.
        self.state = State::Stopped;
        self.threads.run(self.machine, programs, until)?;
        self.ended(false)?;
        self.state = State::Ready;
        Ok(())
    }

    /// Runs a driver's Unload routine at PASSIVE_LEVEL on a processor, in a system thread as on NT.
    /// When it returns, makes the checks of [`Simulation::unload`].
    ///
    /// Work that other processors have not finished by then is a bug check, except for the
    /// routine of a work item that holds a device. The image stays until that routine has returned,
    /// and the run goes on until then (`nf-wdm-ioqueueworkitem`). The simulation has stopped
    /// afterwards.
    ///
    /// # Errors
    /// The same as for [`Simulation::run`] and [`Simulation::unload`].
    ///
    /// # Panics
    /// Panics as [`Simulation::run`] does.
    pub fn unload_with(&mut self, processor: usize, unload: Program) -> Result<(), Stop> {
        let unload = move || {
            if let Some(machine) = here() {
                machine.in_system_thread(unload);
            }
        };
        self.phase(alloc::vec![(processor, Box::new(unload) as Program)], Until::Returned)?;
        self.state = State::Stopped;
        self.checked(unload::check(self.machine()))?;
        self.ended(true)
    }

    /// Ends a run that has ended well, or, with `unloaded`, the simulation after an unload. A
    /// recording in replay must have ended, too.
    fn ended(&self, unloaded: bool) -> Result<(), Stop> {
        let machine = self.machine();
        let digest = machine.digest();
        if !unloaded {
            machine.scheduling.decisions.borrow_mut().end_run(digest.hash);
        }
        let fits = machine.scheduling.schedule.borrow_mut().end(unloaded, digest);
        fits.map_err(|message| {
            let stop = Stop::failure("replay", message);
            machine.put_stop(stop.clone());
            stop
        })
    }

    /// Makes the checks of NT and Driver Verifier after a driver's unload. The bug checks are:
    ///
    /// - a system thread has not ended, a DPC is queued or running, a timer is set, a work item is
    ///   left, or a lookaside list is not deleted (0xCE);
    /// - a spin lock is held (0xC4/0x1006);
    /// - an ETW provider is registered (0xC4/0xDD);
    /// - pool is leaked (0xC4/0x62), or was written to outside of a block or after its free (0xC1,
    ///   0xCC).
    ///
    /// A program that returns at raised IRQL was stopped before, in [`Simulation::run`].
    ///
    /// # Errors
    /// The bug check.
    ///
    /// # Panics
    /// Panics if the simulation has stopped.
    pub fn unload(&mut self) -> Result<(), Stop> {
        assert!(
            self.state != State::Stopped,
            "ntsim: an unload of a simulation that has stopped; reset it first"
        );
        self.report()?;
        self.checked(unload::check(self.machine()))?;
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
        // SAFETY: only runs and checks add events, and they borrow the simulation mutably. Names,
        // which other calls add, too, are in a cell of their own.
        let recorder: &Recorder = unsafe { &*recorder };
        recorder.trace()
    }

    /// Writes the timeline of the events so far to a file ([`Trace::write_html`]), for a browser.
    /// Its title is the file's name. [`Config::trace`] must be set;
    /// [`Config::callers`] adds the events' places in the source.
    ///
    /// ```
    /// use ntsim::{Config, Schedule, Simulation};
    ///
    /// let config = Config { trace: true, callers: true, ..Config::default() };
    /// let mut kernel = Simulation::new(config, Schedule::round_robin());
    /// kernel.run_on(0, || ntsim::note(|| "hello".into())).unwrap();
    /// let path = std::env::temp_dir().join(format!("ntsim-{}/hello.html", std::process::id()));
    /// kernel.write_timeline(&path)?;
    /// assert!(std::fs::read_to_string(&path)?.contains("note: hello"));
    /// # std::fs::remove_dir_all(path.parent().unwrap())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// An error in making the folder or in writing the file.
    pub fn write_timeline(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let title = path.file_stem().map(|name| name.to_string_lossy()).unwrap_or_default();
        self.trace().write_html(path, &title)
    }

    /// The decisions so far, from which [`Schedule::replay`] makes the same run.
    pub fn recording(&self) -> Recording {
        self.machine().scheduling.decisions.borrow().clone()
    }

    /// The order of the events and decisions so far; empty without [`Config::trace`]. Another build
    /// that follows it makes the same run, though its preemption points may differ.
    pub fn order(&self) -> Order {
        Order::new(self.trace().events(), &self.machine().scheduling.ordered.borrow())
    }

    /// The result of following an order ([`Schedule::follow`]), if this simulation did. It is the
    /// number of events that came in that order, and the bytes of a schedule ([`Schedule::bytes`])
    /// that makes the same run.
    pub fn followed(&self) -> Option<(usize, Vec<u8>)> {
        let schedule = self.machine().scheduling.schedule.borrow();
        schedule.follower().map(|follower| follower.outcome(self.trace().events()))
    }

    /// Takes the schedule, and leaves round robin in its place.
    pub(crate) fn take_schedule(&mut self) -> Schedule {
        self.machine().scheduling.schedule.replace(Schedule::round_robin())
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

/// The possible times between two clock interrupts, in 100-ns units.
const TICKS: core::ops::RangeInclusive<u64> = 1_000..=10_000_000;
/// The least bytes of pool.
const SMALLEST_POOL: usize = 64 << 10;
/// The most bytes of pool.
const LARGEST_POOL: usize = 4 << 30;

fn check(config: Config) {
    let processors = config.processors;
    assert!((1..=PROCESSORS).contains(&processors), "ntsim: Config::processors is {processors}, not 1 to 64");
    host::prepare(config.special_pool);
    let tick = config.tick;
    assert!(TICKS.contains(&tick), "ntsim: Config::tick is {tick} units of 100 ns, not 1,000 to 10,000,000");
    let pool = config.pool_size;
    let possible = (SMALLEST_POOL..=LARGEST_POOL).contains(&pool) && pool.is_multiple_of(PAGE);
    assert!(possible, "ntsim: Config::pool_size is {pool} bytes, not 64 KiB to 4 GiB in pages of 4 KiB");
    let stack = config.stack;
    assert!(STACKS.contains(&stack), "ntsim: Config::stack is {stack} bytes, not 4 KiB to 16 MiB");
    let size = config.group_size;
    assert!((1..=PROCESSORS).contains(&size), "ntsim: Config::group_size is {size}, not 1 to 64");
}

impl Drop for Simulation {
    fn drop(&mut self) {
        let report = self.machine().take_report();
        load(None);
        // SAFETY: the machine comes from `new`. `load` has cleared the thread's pointers to it, and
        // no run is going on, because a run borrows the simulation.
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

/// The programs of one run, by processor. [`Simulation::programs`] makes it.
#[must_use = "the programs run when `run` is called"]
pub struct Programs<'a> {
    simulation: &'a mut Simulation,
    programs: Vec<(usize, Program)>,
}

impl Programs<'_> {
    /// Adds the program of a processor.
    pub fn on(mut self, processor: usize, program: impl FnOnce() + 'static) -> Self {
        self.programs.push((processor, Box::new(program)));
        self
    }

    /// Runs the programs as [`Simulation::run`] does.
    ///
    /// # Errors
    /// The same as for [`Simulation::run`].
    ///
    /// # Panics
    /// Panics as [`Simulation::run`] does.
    pub fn run(self) -> Result<(), Stop> {
        self.simulation.run(self.programs)
    }
}
