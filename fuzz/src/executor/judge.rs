//! The phases of a run, with their checks. The actors run first. Then everything is woken and
//! nothing may be left, and the driver is unloaded.

use core::time::Duration;
use std::rc::Rc;

use ntcom_exec::{TaskTracker, default_tracker};
use ntsim::{Config, Schedule, Simulation, Stop};

use super::{
    ACTORS, STORAGES,
    held::drop_handle,
    input::{ExecutorInput, FaultsInput, Plan},
    operation,
    ops::{ExecutorStep, SpawnMode, TaskKind},
    perform::{cancel_all, close, drain, perform, report, unfinished},
    request,
    script::{CHILDREN, SIGNALS, resists},
    spawn::{self, Order},
    task::{fail, marked},
    thread::{self, Thread, delete_devices, make_devices},
    world::{self, ExecutorWorld, signal, storage},
};
use crate::harness::{
    body::Waiting,
    irql,
    run::{Report, Target},
};

/// The number of preemption points within which a run under a fair schedule must end. It is six
/// times the number that the longest committed input takes.
pub const STEP_LIMIT: u64 = 150_000;
/// The number of rounds of requests after which every body has ended. Each round polls it at least
/// once, and each step of a body resists once.
const ROUNDS: usize = 64;
/// The time limit of a round's drain. The first rounds allow two clock periods, and the last ones
/// allow the longest body to end.
const fn patience(round: usize) -> Duration {
    Duration::from_millis(if round < ROUNDS / 4 { 40 } else { 500 })
}

/// The configuration of the machine on which a program is run.
#[must_use]
pub fn config(plan: &Plan, trace: bool) -> Config {
    let low = if plan.setting.low { ntsim::LowResources::Random } else { ntsim::LowResources::Never };
    let processors = plan.setting.processors;
    Config { processors, trace, step_limit: STEP_LIMIT, low_resources: low, ..Config::default() }
}

/// The schedule of a program.
#[must_use]
pub fn schedule(plan: &Plan) -> Schedule {
    Schedule::bytes(plan.schedule.clone())
}

impl Target for ExecutorInput {
    fn run(&self, kernel: &mut Simulation, schedule: Schedule, trace: bool) -> Report {
        report_of(kernel, &self.0, schedule, trace)
    }
}

impl Target for FaultsInput {
    fn run(&self, kernel: &mut Simulation, schedule: Schedule, trace: bool) -> Report {
        report_of(kernel, &self.0, schedule, trace)
    }
}

fn report_of(kernel: &mut Simulation, plan: &Plan, schedule: Schedule, trace: bool) -> Report {
    kernel.reset(config(plan, trace), schedule);
    let stop = run(kernel, plan).err();
    let steps = world::end(stop.is_some());
    Report::new(kernel, stop, steps)
}

/// Runs a program on a machine that has just been reset.
///
/// # Errors
/// The run failed. The error says why.
pub fn run(kernel: &mut Simulation, plan: &Plan) -> Result<(), Stop> {
    world::begin();
    world::with(|world| {
        world.starved.set(plan.setting.low);
        world.processors.set(plan.setting.processors);
    });
    if plan.setting.abrupt {
        let plan = plan.clone();
        return kernel.unload_with(0, Box::new(move || world::with(|world| at_once(world, &plan))));
    }
    one_after_the_other(kernel, plan)
}

/// Initialises the driver's statics, and creates its devices.
fn prepare(world: &ExecutorWorld) {
    request::install();
    world::init_events();
    make_devices(world);
}

/// Runs the actors, on processors of their own as far as there are any. Judges when all is quiet,
/// and then unloads the driver.
fn one_after_the_other(kernel: &mut Simulation, plan: &Plan) -> Result<(), Stop> {
    on_processor_0(kernel, prepare)?;
    let processors = plan.setting.processors;
    let programs = (0..processors.min(ACTORS)).map(|actor| -> (usize, ntsim::Program) {
        let steps = Rc::clone(&plan.steps);
        let main = move |world: &ExecutorWorld| {
            let rest = if actor == 0 { start_threads(&steps, processors) } else { Vec::new() };
            act(world, actor, &steps);
            rest.into_iter().for_each(Thread::join);
        };
        (actor, Box::new(move || world::with(main)))
    });
    kernel.run(programs.collect())?;
    on_processor_0(kernel, wake_everything)?;
    on_processor_0(kernel, nothing_is_lost)?;
    let setting = plan.setting;
    kernel.unload_with(0, Box::new(move || world::with(|world| end(world, setting.keeps, setting.direct))))
}

/// Does the whole run in the routine that unloads the driver, while the actors' tasks are under
/// way.
fn at_once(world: &ExecutorWorld, plan: &Plan) {
    prepare(world);
    let threads = start_threads(&plan.steps, 1);
    act(world, 0, &plan.steps);
    threads.into_iter().for_each(Thread::join);
    wake_everything(world);
    end(world, plan.setting.keeps, plan.setting.direct);
}

fn on_processor_0(kernel: &mut Simulation, f: impl FnOnce(&ExecutorWorld) + 'static) -> Result<(), Stop> {
    kernel.run_on(0, move || world::with(f))
}

/// Starts a thread for each actor from `first` on that has steps. The steps of an actor are not
/// done if there is no memory for its thread.
fn start_threads(steps: &Rc<Vec<ExecutorStep>>, first: usize) -> Vec<Thread> {
    let acts = |actor: &usize| steps.iter().any(|step| usize::from(step.actor) == *actor);
    let spawn = |actor| {
        let steps = Rc::clone(steps);
        Thread::spawn(move || world::with(|world| act(world, actor, &steps)))
    };
    (first..ACTORS).filter(acts).filter_map(spawn).collect()
}

/// Does the steps of an actor in its thread.
fn act(world: &ExecutorWorld, actor: usize, steps: &[ExecutorStep]) {
    world.actors[actor].set(thread::current());
    steps.iter().filter(|step| usize::from(step.actor) == actor).for_each(|step| perform(world, step));
    irql::lower(&world.raised[actor]);
    world.actors[actor].set(0);
}

/// Wakes all waits for gates, signals and values. No task will wait for one again.
fn wake_everything(world: &ExecutorWorld) {
    world.gates.open_all(marked);
    (0..SIGNALS).for_each(|number| signal(number).set());
    while let Some((_, sender)) = world.senders.take(0) {
        drop(sender);
    }
}

/// Checks that no wake is lost. Everything has been woken, and time has advanced until nothing more
/// happens, so an unfinished body waits for nothing.
fn nothing_is_lost(world: &ExecutorWorld) {
    for task in world.unfinished() {
        let record = world.task(task);
        let waiting = record.body.waiting.get();
        if waiting != Waiting::Parked {
            fail(
                "lost wake-up",
                task,
                &format!("its wake has come, but it was not polled (it waits for {waiting:?})"),
            );
        }
        // A request that is pending while a cleanup runs is seen when the cleanup ends. By now
        // every cleanup has.
        if record.body.asked.get() {
            fail("C10", task, "it was cancelled, but its body was not polled with the request set");
        }
        // It was polled with a request set, but has not taken it, unwound, or been dropped. So it
        // did not see the request.
        if record.body.ever_asked.get() && !record.body.took.get() {
            fail("C10", task, "it was cancelled, but its body has not seen the request");
        }
    }
    // A task that is scheduled, running or cancelled would have been run by now.
    report(world, |task| !task.scheduled && !task.running && !task.cancel_requested);
    let (told, there) = (unfinished(world), world.unfinished().count());
    if told != there {
        ntsim::fail("C18", format!("the tracker counts {told} unfinished tasks, expected {there}"));
    }
}

/// Does the driver's Unload.
///
/// With `keeps`, handles, wakers and timers are given up only after the drain. With `direct`, the
/// tasks are asked once and drained without a limit, if every body ends when it is asked to.
fn end(world: &ExecutorWorld, keeps: bool, direct: bool) {
    close(world);
    // The spawn is refused, which `spawn` checks.
    let (kind, script) = (TaskKind::Dpc(SpawnMode::Plain), CHILDREN[0].1);
    spawn::spawn(world, Order { kind, script, cancellable: true, irp: false, operation: false });
    if !keeps {
        release_everything(world);
    }
    cancel_all(world);
    let may_resist = |task| resists(&world.task(task).script.get());
    if !direct || world.unfinished().any(may_resist) {
        let round = |number| {
            cancel_all(world);
            drain(world, Some(patience(number)))
        };
        if !(0..ROUNDS).any(round) {
            let left = world.unfinished().next().unwrap_or(0);
            fail("liveness", left, "it does not end, although it was cancelled again and again");
        }
    }
    drain(world, None);
    let left = default_tracker(TaskTracker::unfinished);
    if left > 0 {
        ntsim::fail("C18", format!("the tracker is closed and drained, but counts {left} tasks"));
    }
    release_everything(world);
    request::settle(world);
    if world.tokens.get() != 0 {
        ntsim::fail(
            "oneshot",
            format!("{} more values were made than dropped, expected 0", world.tokens.get()),
        );
    }
    if let Some(number) = (0..STORAGES).find(|number| !storage(*number).is_free()) {
        ntsim::fail("storage", format!("no task is left, but storage {number} is not free"));
    }
    delete_devices(world);
}

/// Gives up everything that is kept of tasks.
fn release_everything(world: &ExecutorWorld) {
    world.gates.drop_waiters();
    while let Some((_, waker)) = world.stash.take(0) {
        drop(waker);
    }
    while let Some((_, timer)) = world.timers.take(0) {
        drop(timer);
    }
    while let Some((_, sender)) = world.senders.take(0) {
        drop(sender);
    }
    while operation::release(world, 0).is_some() {}
    while drop_handle(world, 0).is_some() {}
}
