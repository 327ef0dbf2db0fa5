//! The phases of a run. The programs run, all clients release everything, the remaining bodies are
//! cancelled, and nothing may be left.

use ntcom_fuzz_model::limits::PROCESSORS;
use ntsim::{Schedule, Simulation, Stop};

use super::{
    client::{perform, release_everything},
    input::ComInput,
    world::{self, ComWorld, STATIC},
};
use crate::harness::{
    irql,
    run::{Report, Target, config},
};

impl Target for ComInput {
    fn run(&self, kernel: &mut Simulation, schedule: Schedule, trace: bool) -> Report {
        kernel.reset(config(self.processors, 1, trace), schedule);
        let stop = run(kernel, self);
        let steps = world::with(|world| (world.steps.get(), world.live.get()));
        let report = Report::new(kernel, stop, steps);
        if report.stop.is_none() && !trace {
            // A machine that stops keeps its memory until it is reset. Reset it now, or libFuzzer
            // would suspect leaks.
            kernel.reset(config(1, 1, false), Schedule::round_robin());
        }
        report
    }
}

/// Runs an input. Returns the reason if it fails.
fn run(kernel: &mut Simulation, input: &ComInput) -> Option<Stop> {
    world::with(|world| {
        world.reset();
        world.input.set(input);
    });
    let stop = phases(kernel, input.processors).err();
    world::with(|world| match (world.must_stop.get(), stop) {
        (Some(_), Some(Stop::BugCheck(bug))) if (bug.code, bug.parameters[0]) == (0x139, 14) => None,
        (_, stop) => stop,
    })
}

fn phases(kernel: &mut Simulation, processors: usize) -> Result<(), Stop> {
    // The programs own nothing, because a program that stops in the middle leaks everything that it
    // owns.
    let program = |processor| -> (usize, ntsim::Program) { (processor, Box::new(|| world::with(drive))) };
    kernel.run((0..processors).map(program).collect())?;
    on_processor_0(kernel, |world| {
        (0..PROCESSORS).for_each(|processor| release_everything(world, processor))
    })?;
    for _ in 0..ROUNDS {
        if world::with(|world| world.records.iter().all(|record| record.bodies.get() == 0)) {
            break;
        }
        on_processor_0(kernel, |_| ntcom_exec::default_tracker(ntcom_exec::TaskTracker::cancel_all))?;
    }
    on_processor_0(kernel, nothing_is_left)?;
    kernel.unload()
}

/// The number of rounds after which every body has ended. Each round polls it at least once.
const ROUNDS: usize = 8;

fn on_processor_0(kernel: &mut Simulation, f: impl FnOnce(&ComWorld) + 'static) -> Result<(), Stop> {
    kernel.run_on(0, move || world::with(f))
}

fn drive(world: &ComWorld) {
    let processor = ntsim::current_processor();
    // SAFETY: `run` has set the pointer to its input, and returns after its programs are over.
    let input = unsafe { &*world.input.get() };
    for step in input.steps.iter().filter(|step| usize::from(step.processor) == processor) {
        perform(world, processor, input.processors, step);
    }
    irql::lower(&world.raised[processor]);
}

fn nothing_is_left(world: &ComWorld) {
    for (number, record) in world.records.iter().enumerate().skip(STATIC + 1) {
        let (built, drops, bodies) = (record.built.get(), record.drops.get(), record.bodies.get());
        if bodies > 0 {
            ntsim::fail(
                "liveness",
                format!("{bodies} bodies of object {number} do not end, although they were cancelled"),
            );
        }
        if built != drops {
            ntsim::fail(
                "C3",
                format!(
                    "object {number} has no references; it was built {built} times and dropped {drops} times"
                ),
            );
        }
    }
    let (blocks, pools) = (world.blocks.borrow().len(), world.pools.get());
    if blocks > 0 || pools > 0 {
        ntsim::fail(
            "allocator",
            format!("{blocks} blocks were not freed, {pools} allocators were not dropped"),
        );
    }
    let left = ntsim::live_blocks();
    if left > 0 {
        ntsim::fail("leak", format!("{left} pool blocks are left at the end"));
    }
}
