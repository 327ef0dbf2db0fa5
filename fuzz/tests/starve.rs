//! The executor's promises hold if memory is short. An allocation of each distinct call stack fails
//! once, in programs that make every allocation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use std::rc::Rc;

use ntcom_fuzz::executor::{
    input::{Plan, Setting},
    judge,
    ops::{ExecutorStep, Op, SpawnMode, TaskKind},
    script::{Script, Shape, Span},
    world,
};
use ntcom_fuzz_model::script::STEPS;
use ntsim::starve;

/// The byte of a step, from its number and its operand.
const fn byte(number: u8, operand: u8) -> u8 {
    number | operand << 5
}

/// The steps of bodies that allocate, or that meet the results of allocations.
/// `script::TaskStep::decode` gives their numbers.
const BODIES: [[u8; STEPS]; 6] = [
    // Timers of all kinds.
    [byte(6, 3), byte(7, 4), byte(8, 2), byte(10, 3), byte(9, 4), byte(1, 6)],
    // Values that are sent, and values that are not.
    [byte(11, 0), byte(3, 0), byte(11, 0), byte(18, 0), byte(11, 0), byte(1, 0)],
    // Timers that are dropped and given away.
    [byte(26, 5), byte(27, 5), byte(28, 4), byte(25, 0), byte(26, 7), byte(6, 3)],
    // Tasks that spawn tasks.
    [byte(23, 0), byte(23, 3), byte(23, 4), byte(1, 0), byte(23, 6), byte(23, 7)],
    // Waits that other tasks end.
    [byte(5, 1), byte(3, 1), byte(9, 3), byte(5, 2), byte(20, 0), byte(22, 0)],
    // Wakes and cancels of other tasks.
    [byte(12, 0), byte(24, 0), byte(16, 1), byte(17, 1), byte(29, 0), byte(6, 1)],
];

fn plan(shape: Shape, abrupt: bool, processors: usize) -> Plan {
    let setting = Setting { processors, abrupt, keeps: false, direct: false, low: true };
    let mut steps = Vec::new();
    for (number, body) in BODIES.into_iter().enumerate() {
        let kind = match number % 3 {
            0 => TaskKind::Dpc(SpawnMode::Plain),
            1 => TaskKind::Dpc(SpawnMode::Important(2)),
            _ => TaskKind::WorkItem(Some(0)),
        };
        // Each kind of task, with and without a handle.
        let script = Script { shape, steps: body };
        let actor = (number % 2) as u8;
        steps.push(ExecutorStep {
            actor,
            op: Op::Spawn { kind, script, cancellable: number < 3, irp: number == 4, operation: number == 5 },
        });
    }
    for op in [
        Op::OpenGate(0),
        Op::SetSignal(1),
        Op::Send(0),
        Op::Cancel(0),
        Op::PollTimer(0),
        Op::WakeStash { index: 0, by_ref: true },
        Op::Drain(Span::new(4)),
        Op::CancelAll,
        Op::DropTimer(0),
    ] {
        steps.push(ExecutorStep { actor: 0, op });
    }
    Plan { setting, faults: true, steps: Rc::new(steps), schedule: Vec::new() }
}

fn hunt(plan: &Plan) -> usize {
    let starved = starve(
        judge::config(&Plan { setting: Setting { low: false, ..plan.setting }, ..plan.clone() }, true),
        || judge::schedule(plan),
        |kernel| judge::run(kernel, plan),
    );
    if let Some(finding) = starved.finding {
        // The remains of this run refer to a kernel that has stopped.
        world::end(true);
        let what = format!("allocation {:?} of {} has failed", finding.allocation, finding.callers);
        panic!("{what}: {}\n{:?}\n{:#?}\ntrace:\n{}", finding.stop, plan.setting, plan.steps, finding.trace);
    }
    starved.call_stacks
}

/// Runs all hunts of a shape. Fewer call stacks than `at_least` would mean that the programs miss
/// allocations.
fn hunt_all(shape: Shape, at_least: usize) {
    for (abrupt, processors) in [(false, 2), (true, 1)] {
        let call_stacks = hunt(&plan(shape, abrupt, processors));
        assert!(call_stacks >= at_least, "{shape:?}: only {call_stacks} call stacks allocate");
    }
}

#[test]
fn plain_bodies() {
    hunt_all(Shape::Plain, 15);
}

#[test]
fn bodies_with_cleanups() {
    hunt_all(Shape::Nested, 15);
}

#[test]
fn bodies_with_dropped_parts() {
    hunt_all(Shape::Select, 15);
}

#[test]
fn bodies_of_several_futures() {
    hunt_all(Shape::Join, 15);
}
