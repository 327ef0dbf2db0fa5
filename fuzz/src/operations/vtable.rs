//! The oracle of `vtable`, which runs one processor. After every step the model predicts every
//! answer, every body and every block.

use core::cell::RefCell;
use std::rc::Rc;

use ntcom_fuzz_model::{
    answer::{Answer, Done},
    input::VtableInput,
    limits::POLL_BUDGET,
    model::Model,
    ops::OperationStep,
};
use ntsim::{Schedule, Simulation, Stop};

use super::{
    body::marked,
    perform::{TWO_TICKS, cancel_all, perform, release_everything},
    world::{self, OperationWorld},
};
use crate::harness::{
    irql,
    run::{Report, Target, config},
};

const _: () = assert!(POLL_BUDGET == ntcom_exec::DEFAULT_POLL_BUDGET.get(), "the model counts polls");

thread_local! {
    static MODEL: RefCell<Rc<RefCell<Model>>> = RefCell::default();
}

impl Target for VtableInput {
    fn run(&self, kernel: &mut Simulation, _schedule: Schedule, trace: bool) -> Report {
        kernel.reset(config(1, 0, trace), Schedule::round_robin());
        let model = MODEL.with_borrow(Rc::clone);
        model.borrow_mut().reset();
        let stop = run(kernel, self, &model);
        if stop.is_some() {
            MODEL.take();
        }
        let steps = world::end(stop.is_some());
        Report::new(kernel, stop, steps)
    }
}

/// Runs an input with a model that has been reset. Returns the reason if it fails. The model is
/// then lost with the program, which is suspended for ever.
fn run(kernel: &mut Simulation, input: &VtableInput, model: &Rc<RefCell<Model>>) -> Option<Stop> {
    world::begin();
    world::with(|world| {
        world.alone.set(true);
    });
    let steps = Rc::clone(&input.steps);
    let in_program = Rc::clone(model);
    let program = move || {
        world::with(|world| drive(world, &mut in_program.borrow_mut(), &steps));
    };
    kernel.run_on(0, program).and_then(|()| kernel.unload()).err()
}

fn drive(world: &OperationWorld, model: &mut Model, steps: &[OperationStep]) {
    for (number, step) in steps.iter().enumerate() {
        let expected = model.step(step);
        let done = perform(world, 0, 1, step);
        if done != expected {
            different(number, step, done, expected);
        }
        compare(world, model, &|| format!("after step {number}, {step}"));
    }
    finish(world, model);
}

/// Ends a run. All clients release everything, the remaining operations are cancelled, and nothing
/// may be left.
fn finish(world: &OperationWorld, model: &mut Model) {
    model.open_everything();
    irql::lower(&world.raised[0]);
    world.gates.open_all(marked);
    compare(world, model, &|| "with all gates opened".into());
    model.release_everything();
    release_everything(world);
    compare(world, model, &|| "with everything released".into());
    // A body that keeps its own waker, or is in the middle of a long yield, needs a request and
    // time.
    for round in 0..ROUNDS {
        if model.unfinished() == 0 {
            break;
        }
        model.advance_time();
        ntsim::advance_time(TWO_TICKS);
        model.cancel_all();
        cancel_all(world);
        compare(world, model, &|| format!("in round {round} of cancelling the remaining operations"));
    }
    if model.unfinished() > 0 {
        ntsim::fail("liveness", format!("{} operations never end", model.unfinished()));
    }
    // These are wakers that bodies have stashed since. Their operations have all ended.
    model.release_everything();
    release_everything(world);
    let left = ntsim::live_blocks();
    if left > 0 {
        ntsim::fail("leak", format!("{left} pool blocks are left at the end"));
    }
}

/// The number of rounds after which every script has ended. Each round polls it at least once.
const ROUNDS: usize = 128;

#[cold]
fn different(number: usize, step: &OperationStep, done: Option<Done>, expected: Option<Done>) -> ! {
    let show = |done: Option<Done>| match done {
        None => "nothing".to_owned(),
        Some(Done { operation, answer: Answer { status, out } }) => {
            let operation =
                operation.map_or_else(String::new, |operation| format!("operation {operation}: "));
            format!("{operation}{status:#x}, out {out:?}")
        }
    };
    let (done, expected) = (show(done), show(expected));
    ntsim::fail("model", format!("step {number}, {step}: answered {done}; the contract says {expected}"))
}

fn compare(world: &OperationWorld, model: &Model, when: &dyn Fn() -> String) {
    let blocks = ntsim::live_blocks();
    if world.digest.get() != model.digest || blocks as usize != model.blocks() {
        compare_in_detail(world, model, blocks, when);
    }
}

#[cold]
fn compare_in_detail(world: &OperationWorld, model: &Model, blocks: u64, when: &dyn Fn() -> String) -> ! {
    let wrong = |operation: usize, what: &str, real: u64, expected: u64| -> ! {
        let when = when();
        ntsim::fail(
            "model",
            format!("{when}: operation {operation}: {what} {real}, expected {expected} by the model"),
        )
    };
    for (operation, task) in model.tasks.iter().enumerate() {
        let slot = world.slot(operation);
        let body = &slot.body;
        if body.polls.get() != task.polls {
            wrong(operation, "polls", body.polls.get().into(), task.polls.into());
        }
        if body.drops.get() != task.drops {
            wrong(operation, "drops of the body", body.drops.get().into(), task.drops.into());
        }
        if slot.log.get() != task.log {
            wrong(operation, "hash of the body's observations", slot.log.get(), task.log);
        }
        if slot.handled.get() != task.handled {
            wrong(
                operation,
                "runs of the completion handler",
                slot.handled.get().into(),
                task.handled.into(),
            );
        }
        if slot.told.get() != task.told {
            let (told, expected) = (slot.told.get().cast_unsigned(), task.told.cast_unsigned());
            wrong(operation, "status told to the completion handler", told.into(), expected.into());
        }
    }
    let (when, expected) = (when(), model.blocks());
    ntsim::fail(
        "blocks",
        format!("{when}: {blocks} pool blocks are allocated, expected {expected} by the model"),
    )
}
