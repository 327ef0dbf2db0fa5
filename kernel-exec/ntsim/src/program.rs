//! Functions by which programs, and all code that they call, use their machine.

extern crate alloc;

use alloc::string::String;

use crate::{
    counters::Counters,
    engine::{
        entry::{here, loaded_here, outside},
        free::{attend, bystander},
        machine::{Machine, active},
    },
    subsystem::{driver_object, watchdog},
    trace::{Mark, MarkKind, event::What, label::Label},
    types::PDRIVER_OBJECT,
    verifier::bugcheck::driver_verifier::irql::wake_too_high,
};

const DISPATCH: u8 = 2;

/// A preemption point, at which another processor may go on or a DPC interrupt may arrive. Does
/// nothing outside a run.
#[inline]
pub fn preemption_point() {
    match active() {
        Some(machine) => {
            machine.count_stack();
            machine.point();
        }
        None => attend(),
    }
}

/// The current processor; 0 outside a run. Not a preemption point.
#[inline]
pub fn current_processor() -> usize {
    match active() {
        Some(machine) => machine.current.get(),
        None => bystander().map_or(0, |(_, me)| me),
    }
}

/// The current processor's IRQL; 0 outside a run. Not a preemption point.
#[inline]
pub fn irql() -> u8 {
    match active() {
        Some(machine) => machine.irql(),
        None => bystander().map_or(0, |(machine, me)| machine.processor(me).irql.get()),
    }
}

/// Whether the current processor is in a DPC routine.
#[inline]
pub fn in_dpc() -> bool {
    match active() {
        Some(machine) => machine.cpu().in_dpc.get(),
        None => bystander().is_some_and(|(machine, me)| machine.processor(me).in_dpc.get()),
    }
}

/// Whether the caller is in a run of this thread's simulation.
#[inline]
pub fn is_active() -> bool {
    active().is_some() || bystander().is_some()
}

/// A series of DPCs that a processor runs without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// When the first of them began, in 100-ns units of the virtual clock.
    pub since: u64,
    /// How long they have run by now. All processors share one clock, so time that other processors
    /// use meanwhile counts.
    pub time: u64,
}

/// The series of DPCs that the current processor runs, if any. Not a preemption point.
#[must_use]
pub fn drain() -> Option<Drain> {
    let machine = here()?;
    let cpu = machine.cpu();
    let since = cpu.drain_start.get();
    cpu.draining.get().then(|| Drain { since, time: watchdog::time_at_dispatch(&machine) })
}

/// The virtual time of the last clock tick, in 100-ns units; 0 outside a run.
///
/// Waits with a time-out end at ticks, so a wait that ends without a tick in between was ended by
/// something else. Not a preemption point.
#[inline]
pub fn last_tick() -> u64 {
    here().map_or(0, |machine| machine.clock.tick_before(machine.clock.now()))
}

/// Moves the virtual clock on, in 100-ns units.
///
/// Due timers expire. Their DPCs run as after a clock interrupt, at once if IRQL allows it. In a
/// free run the DPC watchdog counts the time for the caller's processor only. A preemption point.
///
/// Timers expire at clock ticks, which are [`Config::tick`](crate::Config::tick) apart. A relative
/// due time counts from the last tick before the call that sets the timer. The timer expires at the
/// first tick at which that time is over. So after an advance by the due time and two ticks it has
/// expired. After an advance by the due time alone it may have or not, as the schedule has chosen
/// the ticks.
///
/// ```
/// use ntsim::{Config, Schedule, Simulation, advance_time, ddi, types::{KTIMER, LARGE_INTEGER}};
///
/// let config = Config { tick: 5_000, ..Config::default() };
/// let mut kernel = Simulation::new(config, Schedule::seed(1));
/// kernel.run_on(0, move || {
///     let mut timer = KTIMER::default();
///     // SAFETY: the timer lives until it has expired.
///     unsafe {
///         ddi::KeInitializeTimer(&mut timer);
///         let due = LARGE_INTEGER { QuadPart: -100_000 };
///         ddi::KeSetTimer(&mut timer, due, core::ptr::null_mut());
///     }
///     advance_time(100_000 + 2 * config.tick);
///     // SAFETY: the timer lives until it has expired.
///     assert_ne!(unsafe { ddi::KeReadStateTimer(&mut timer) }, 0);
/// })?;
/// # Ok::<(), ntsim::Stop>(())
/// ```
///
/// # Panics
/// Panics outside a run.
pub fn advance_time(by_100ns: u64) {
    let Some(machine) = here() else { outside("advance_time") };
    machine.count_stack();
    machine.clock.skip(by_100ns);
    machine.excuse_other_drains(by_100ns);
    if machine.tracing.get() {
        machine.record(What::TimeSkipped { by: by_100ns });
    }
    machine.attend_clock();
    machine.take_interrupts();
    machine.regrant();
    machine.point();
}

/// Sets the system clock, in 100-ns units, as a user or a time server does.
///
/// Timers and time-outs that are due at an absolute time follow it; if their time has passed by the
/// change, they are due at once. Relative ones do not follow it. A preemption point.
///
/// # Panics
/// Panics outside a run.
pub fn set_system_time(time: u64) {
    let Some(machine) = here() else { outside("set_system_time") };
    machine.count_stack();
    machine.set_system_time(time);
    machine.attend_clock();
    machine.take_interrupts();
    machine.regrant();
    machine.point();
}

/// Ends the run with [`Stop::Failure`](crate::Stop::Failure), because an oracle has failed. The
/// caller's stack is left as it is, and leaked.
///
/// # Panics
/// Panics outside a run, with the same text.
#[expect(clippy::panic, reason = "a test's failure, where there is no run to end")]
pub fn fail(oracle: &'static str, message: String) -> ! {
    match here() {
        Some(machine) => machine.fail(oracle, message),
        None => panic!("{oracle}: {message}"),
    }
}

/// Whether a run of this thread's simulation is in progress and traced, so that marks and notes are
/// worth preparing.
#[inline]
pub fn is_tracing() -> bool {
    here().is_some_and(|machine| machine.tracing.get())
}

/// Adds a line to the trace. The closure is called only when tracing.
#[inline]
pub fn note(f: impl FnOnce() -> String) {
    if let Some(machine) = here()
        && machine.tracing.get()
    {
        traced(&machine, || What::Note(f()));
    }
}

/// Names an object for the trace and the timeline of this run, in place of `object7` or `block3`.
///
/// The label is for all bytes of the object, until the next reset. It has no effect when not
/// tracing, so it costs nothing then.
///
/// ```
/// use ntsim::{Config, Schedule, Simulation, sync::{AtomicU32, Ordering}};
///
/// let mut kernel = Simulation::new(Config { trace: true, ..Config::default() }, Schedule::round_robin());
/// kernel.run_on(0, || {
///     let ready = AtomicU32::new(0);
///     ntsim::name(&ready, "ready");
///     ready.store(1, Ordering::Release);
/// })?;
/// assert!(kernel.trace().to_string().contains("`ready`: store 0x0 -> 0x1"));
/// # Ok::<(), ntsim::Stop>(())
/// ```
pub fn name<T: ?Sized>(object: &T, label: &str) {
    if let Some(machine) = here()
        && machine.tracing.get()
    {
        let address = core::ptr::from_ref(object).cast::<()>().addr();
        machine.label(address, size_of_val(object), Label::new(label));
    }
}

/// Adds a program's action to the trace, such as a wake or the start of a poll. Timelines draw it,
/// and connect related marks. The closure is called only when tracing.
///
/// ```
/// use ntsim::{Config, Schedule, Simulation, trace::{Mark, MarkKind}};
///
/// let mut kernel = Simulation::new(Config { trace: true, ..Config::default() }, Schedule::round_robin());
/// kernel.run_on(0, || ntsim::mark(|| Mark::new(MarkKind::Wake, "request 3")))?;
/// assert!(kernel.trace().to_string().contains("wake request 3"));
/// # Ok::<(), ntsim::Stop>(())
/// ```
#[inline]
pub fn mark(f: impl FnOnce() -> Mark) {
    if let Some(machine) = here()
        && machine.tracing.get()
    {
        traced(&machine, || What::Mark(f()));
    }
}

/// Adds an action on an object to the trace, as [`mark`] does. The subject is `kind` with the
/// object's name, such as `task block3`. Does nothing in a free run.
///
/// ```
/// use ntsim::{Config, Schedule, Simulation, mark_object, trace::MarkKind};
///
/// let mut kernel = Simulation::new(Config { trace: true, ..Config::default() }, Schedule::round_robin());
/// kernel.run_on(0, || {
///     let request = 7_u64;
///     ntsim::name(&request, "first");
///     mark_object(MarkKind::Wake, "request", (&raw const request).cast(), "by a timer");
/// })?;
/// assert!(kernel.trace().to_string().contains("wake request `first` (by a timer)"));
/// # Ok::<(), ntsim::Stop>(())
/// ```
#[inline]
pub fn mark_object(action: MarkKind, kind: &str, object: *const (), detail: &str) {
    if let Some(machine) = active()
        && machine.tracing.get()
    {
        let name = || machine.name(object.addr()).without_offset();
        let mark = || Mark::new(action, alloc::format!("{kind} {}", name())).detail(detail);
        traced(machine, || What::Mark(mark()));
    }
}

/// Adds an event. Out of line, so that its construction does not slow down untraced runs.
#[cold]
#[inline(never)]
fn traced(machine: &Machine, what: impl FnOnce() -> What) {
    let what = what();
    machine.count_stack();
    machine.record(what);
}

/// Checks the verifier's rule for wakes, for implementers of wakers.
///
/// Wakes are allowed at IRQL ≤ DISPATCH_LEVEL, whether or not this wake calls the kernel. Without
/// this call, a wake from an interrupt's level is detected only if it happens to queue a work item.
/// Does nothing outside a run.
///
/// Above DISPATCH_LEVEL it is bug check 0xC4/0xE5, and the third parameter is the address of the
/// woken object.
///
/// ```
/// use ntsim::{Config, Schedule, Simulation, Stop, check_wake, ddi};
///
/// let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// let stop = kernel.run_on(0, || {
///     let task = 7_u64;
///     check_wake((&raw const task).cast());
///     // SAFETY: in a run.
///     unsafe { ddi::KfRaiseIrql(3) };
///     check_wake((&raw const task).cast());
/// });
/// assert!(matches!(stop, Err(Stop::BugCheck(bug)) if (bug.code, bug.parameters[0]) == (0xC4, 0xE5)));
/// ```
#[inline]
pub fn check_wake(woken: *const ()) {
    if irql() > DISPATCH
        && let Some(machine) = here()
    {
        stop_wake(&machine, woken.addr());
    }
}

#[cold]
fn stop_wake(machine: &Machine, woken: usize) -> ! {
    machine.bug_check(wake_too_high(woken, machine.name(woken), machine.irql()))
}

/// Makes one pool allocation of this thread's simulation return NULL. It is the `nth` one from now,
/// and 0 means the next. It replaces an earlier order. Does nothing without a simulation.
pub fn fail_allocation(nth: u32) {
    if let Some(machine) = loaded_here() {
        machine.kernel.borrow_mut().pool.fail(nth);
    }
}

/// How many blocks of pool are allocated. One of the [`counters`], for frequent use.
#[inline]
pub fn live_blocks() -> u64 {
    loaded_here().map_or(0, |machine| machine.live_blocks())
}

/// The counters of this thread's simulation; all 0 without one.
pub fn counters() -> Counters {
    loaded_here().map_or_else(Counters::default, |machine| machine.counters())
}

/// This simulated kernel's `T`, in the place of a driver's static.
///
/// It is made by `Default` at the first call, and its address stays the same until the simulation
/// is reset. Like a static it is never dropped.
///
/// # Panics
/// Panics if the thread has no simulation.
#[inline]
pub fn image_state<T: Default + 'static>() -> *const T {
    match loaded_here() {
        Some(machine) => machine.image_state::<T>(),
        None => outside("image_state"),
    }
}

/// This simulated kernel's driver object, which is DriverEntry's argument. It is the same until the
/// simulation is reset.
///
/// # Panics
/// Panics if the thread has no simulation.
pub fn driver_object() -> PDRIVER_OBJECT {
    match loaded_here() {
        Some(machine) => driver_object::address(&machine),
        None => outside("driver_object"),
    }
}

impl Machine {
    /// This kernel's `T`. If it is new, names of objects that had its addresses before are
    /// forgotten.
    #[inline]
    pub(crate) fn image_state<T: Default + 'static>(&self) -> *const T {
        self.image.get::<T>(|addresses| self.forget_names(addresses))
    }
}
