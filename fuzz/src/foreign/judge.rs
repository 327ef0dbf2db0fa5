//! The phases of a run.
//!
//! The steps are done first. Then the other side keeps the contract, and every future and task must
//! end. Then the client drops everything, and nothing may be left. Handlers that are called after
//! that must do nothing.

use core::time::Duration;

use ntsim::{Schedule, Simulation, Stop};

use super::{
    client::{advance_time, calls_back, drop_future, perform, poll},
    input::{ForeignInput, ForeignStep},
    world::{self, ForeignWorld, Given},
};
use crate::harness::run::{Report, Target, config};

impl Target for ForeignInput {
    fn run(&self, kernel: &mut Simulation, schedule: Schedule, trace: bool) -> Report {
        kernel.reset(config(self.processors, 1, trace), schedule);
        let stop = run(kernel, self).err();
        let steps = world::with(|world| (world.steps.get(), world.live.get()));
        if stop.is_some() {
            world::forget();
        }
        Report::new(kernel, stop, steps)
    }
}

/// Runs an input.
///
/// # Errors
/// The run is a finding. The error says why.
fn run(kernel: &mut Simulation, input: &ForeignInput) -> Result<(), Stop> {
    world::with(|world| world.reset(input.processors));
    let programs = (0..input.processors).map(|processor| -> (usize, ntsim::Program) {
        let (steps, processors) = (std::rc::Rc::clone(&input.steps), input.processors);
        (processor, Box::new(move || world::with(|world| drive(world, processor, processors, &steps))))
    });
    kernel.run(programs.collect())?;
    kernel.unload()
}

fn drive(world: &ForeignWorld, processor: usize, processors: usize, steps: &[ForeignStep]) {
    for step in steps {
        let its = if step.op.is_hostile() { processors - 1 } else { 0 };
        if its == processor {
            perform(world, step);
        }
    }
    if processor > 0 {
        return world.said_all.set(true);
    }
    while processors > 1 && !world.said_all.get() {
        ntsim::preemption_point();
    }
    world.alone.set(true);
    // Do this in the same program, because a future that polls by a timer goes on until its end. A
    // machine with timers is not quiet.
    everything_ends(world);
    everybody_lets_go(world);
    nothing_is_left(world);
}

/// The number of clock ticks within which a task that polls by a timer must end. It is twice the
/// number that such a task takes.
const ROUNDS: usize = 6;

/// Completes every operation. The other side calls the handlers that it must, and each waiting
/// future is woken and is then ready.
fn everything_ends(world: &ForeignWorld) {
    ntsim::note(|| "from here on the other side keeps the contract".into());
    let objects = world.objects.borrow().len();
    for number in 0..objects {
        let object = world.object(number);
        object.honest.set(true);
        if object.state.get() == 0 {
            object.state.set(1);
        }
    }
    let given: Vec<Given> = world.given.borrow().clone();
    for given in given {
        if !world.called.borrow().contains(&given.context) {
            calls_back(world, given, world.object(given.object).state.get());
        }
    }
    for _ in 0..ROUNDS {
        advance_time(world);
    }
    let places = world.futures.borrow().len();
    for place in 0..places {
        let waits = world.futures.borrow()[place].as_ref().and_then(|future| future.waits);
        // A future that was told too early is not told the end again, but it has been woken.
        if let Some((waker, before)) = waits
            && world.wakers.borrow()[waker].wakes() == before
        {
            ntsim::fail("liveness", format!("future {place} is not woken, although its operation has ended"));
        }
        poll(world, place, 0);
        if world.futures.borrow()[place].is_some() {
            ntsim::fail(
                "liveness",
                format!("future {place} is still pending, although its operation has ended"),
            );
        }
    }
    for (number, task) in world.tasks.iter().enumerate() {
        let (result, object) = (task.result.get(), task.object.get());
        match result {
            None if task.spawned.get() && !task.canceled.get() => {
                ntsim::fail(
                    "liveness",
                    format!("task {number} does not end, although its operation has ended"),
                );
            }
            Some(Err(error)) if error.is_success() => {
                ntsim::fail("C17", format!("task {number} fails with the success code {error}"));
            }
            Some(Ok(value)) if !world.object(object).may_have_said(value) => {
                ntsim::fail(
                    "C17",
                    format!("task {number} has the value {value:#x}, which its operation does not yield"),
                );
            }
            _ => {}
        }
    }
}

/// Drops everything that the client has. The other side then calls each handler that it ever had,
/// twice.
fn everybody_lets_go(world: &ForeignWorld) {
    let places = world.futures.borrow().len();
    (0..places).for_each(|place| drop_future(world, place));
    world.held.borrow_mut().clear();
    world.kept.borrow_mut().clear();
    for task in &world.tasks {
        drop(task.handle.take());
    }
    let given: Vec<Given> = world.given.borrow().clone();
    for given in given.iter().chain(&given) {
        calls_back(world, *given, 1);
    }
}

fn nothing_is_left(world: &ForeignWorld) {
    let objects = world.objects.borrow().len();
    for number in 0..objects {
        let object = world.object(number);
        let left = object.references();
        if left > 0 && !object.leaky.get() {
            ntsim::fail("leak", format!("{left} references to object {number} are left"));
        }
        let left = object.thing.left();
        if left > 0 {
            ntsim::fail(
                "leak",
                format!("{left} references to the interface that object {number} yields are left"),
            );
        }
    }
    for (number, waker) in world.wakers.borrow().iter().enumerate() {
        let left = std::sync::Arc::strong_count(waker) - 1;
        if left > 0 {
            ntsim::fail("leak", format!("{left} references to waker {number} are left"));
        }
    }
    let blocks = ntsim::live_blocks();
    if blocks > 0 {
        ntsim::fail("leak", format!("{blocks} pool blocks are left at the end"));
    }
    // Every handler has been called by now.
    if let Err(stuck) = ntcom_exec::default_tracker(|tracker| tracker.drain(Some(Duration::ZERO))) {
        ntsim::fail("drain", format!("{stuck:?}"));
    }
}
