//! The oracles of `schedules`, which runs several processors in any interleaving. Every order must
//! obey the rules C5–C10, poll a body on one processor at a time, lose and leave nothing, and end.

use core::time::Duration;
use std::rc::Rc;

use ntcom::NTSTATUS;
use ntcom_exec::{TaskTracker, default_tracker};
use ntcom_fuzz_model::{
    answer::{Answer, Done, OutValue},
    input::SchedulesInput,
    ops::{Handler, Iid, Op, OperationStep, Out},
    value::Bytes,
};
use ntsim::{Schedule, Simulation, Stop};

use super::{
    body::marked,
    call,
    perform::{cancel_all, instead, perform, release_everything},
    world::{self, OperationWorld},
};
use crate::{
    executor::thread::Thread,
    harness::{
        body::Waiting,
        irql,
        run::{Report, Target, config},
    },
};

impl Target for SchedulesInput {
    fn run(&self, kernel: &mut Simulation, schedule: Schedule, trace: bool) -> Report {
        kernel.reset(config(self.processors, 1, trace), schedule);
        let stop = run(kernel, self);
        let steps = world::end(stop.is_some());
        Report::new(kernel, stop, steps)
    }
}

/// Runs an input. Returns the reason if it fails.
fn run(kernel: &mut Simulation, input: &SchedulesInput) -> Option<Stop> {
    world::begin();
    world::with(|world| {
        world.alone.set(false);
        world.timers.set(input.timers);
    });
    if input.abrupt {
        let input = input.clone();
        return kernel.unload_with(0, Box::new(move || world::with(|world| at_once(world, &input)))).err();
    }
    phases(kernel, input).err()
}

/// Does the whole run in the routine that unloads the driver. The programs are threads of that
/// routine, and their operations are under way when it drains.
fn at_once(world: &OperationWorld, input: &SchedulesInput) {
    let processors = input.processors;
    let spawn = |processor| {
        let steps = Rc::clone(&input.steps);
        Thread::spawn(move || world::with(|world| drive(world, processor, processors, &steps)))
    };
    let threads: Vec<Thread> = (1..processors).filter_map(spawn).collect();
    drive(world, 0, processors, &input.steps);
    look_around();
    threads.into_iter().for_each(Thread::join);
    open_everything(world);
    look_around();
    release_everything(world);
    default_tracker(TaskTracker::close);
    // Each round asks all tasks to stop, and gives them two clock periods to do so.
    let round = || {
        cancel_all(world);
        default_tracker(|tracker| tracker.drain(Some(Duration::from_millis(40)))).is_ok()
    };
    let ended = (0..ROUNDS).any(|_| round());
    if let (false, Some(operation)) = (ended, unfinished(world)) {
        fail("liveness", operation, "it does not end, although it was cancelled again and again".into());
    }
    everything_has_ended(world);
    release_everything(world);
}

/// Drains with a timeout of zero several times while tasks end.
fn look_around() {
    for _ in 0..LOOKS {
        let _left = default_tracker(|tracker| tracker.drain(Some(Duration::ZERO)));
    }
}

/// Opens all gates, so that everything that waits for one must end.
fn open_everything(world: &OperationWorld) {
    world.gates.open_all(marked);
}

fn phases(kernel: &mut Simulation, input: &SchedulesInput) -> Result<(), Stop> {
    let processors = input.processors;
    let programs = (0..processors).map(|processor| -> (usize, ntsim::Program) {
        let steps = Rc::clone(&input.steps);
        (processor, Box::new(move || world::with(|world| drive(world, processor, processors, &steps))))
    });
    kernel.run(programs.collect())?;
    on_processor_0(kernel, open_everything)?;
    on_processor_0(kernel, |world| {
        nothing_is_lost(world);
        release_everything(world);
    })?;
    for _ in 0..ROUNDS {
        if world::with(unfinished).is_none() {
            break;
        }
        on_processor_0(kernel, cancel_all)?;
    }
    on_processor_0(kernel, |world| {
        everything_has_ended(world);
        // These are wakers that bodies have stashed since. Their operations have all ended.
        release_everything(world);
    })?;
    kernel.unload()
}

/// How often the tracker is drained without a timeout while tasks end.
const LOOKS: usize = 8;
/// The number of rounds after which every script has ended. Each round polls it at least once.
const ROUNDS: usize = 128;

fn on_processor_0(kernel: &mut Simulation, f: impl FnOnce(&OperationWorld) + 'static) -> Result<(), Stop> {
    kernel.run_on(0, move || world::with(f))
}

fn drive(world: &OperationWorld, processor: usize, processors: usize, steps: &[OperationStep]) {
    for step in steps.iter().filter(|step| usize::from(step.processor) == processor) {
        // The check is for the step that is done. Look up its replacement first, because the step
        // may change the world.
        let replaced = instead(world, &step.op);
        // Another processor may see the end while this call returns. Only an end that was seen
        // before the call began binds its answer.
        let ended_before = world.seen_to_have_ended();
        if let Some(Done { operation: Some(operation), answer }) = perform(world, processor, processors, step)
        {
            let op = replaced.as_ref().unwrap_or(&step.op);
            let ended_before = ended_before.get(operation).is_some_and(|ended| *ended);
            check(world, operation, op, answer, ended_before);
        }
    }
    irql::lower(&world.raised[processor]);
}

fn check(world: &OperationWorld, operation: usize, op: &Op, answer: Answer, ended_before: bool) {
    let Answer { status, out } = answer;
    let success = status == NTSTATUS::SUCCESS.to_u32();
    match (*op, out) {
        (Op::GetStatus(_), OutValue::Number(number)) => {
            if !success || number > 3 {
                fail("C4", operation, format!("get_status answers {status:#x} and {number}"));
            }
            if number > 0 {
                ended(world, operation, number.cast_signed());
            } else if ended_before {
                fail("C6", operation, "get_status writes Started after a terminal status".into());
            }
        }
        (Op::GetResult(_), OutValue::Bytes(bytes)) => {
            let expected = if success { Bytes::Value } else { Bytes::Zeroed };
            if bytes != expected {
                fail("C5", operation, format!("get_result answers {status:#x} and leaves {bytes:?}"));
            }
            let pending = status == NTSTATUS::PENDING.to_u32();
            let slot = world.slot(operation);
            if pending && ended_before {
                fail("C6", operation, "get_result is pending after a terminal status".into());
            }
            if status == NTSTATUS::CANCELLED.to_u32() {
                ended_by_cancelled(world, operation);
            } else if success {
                ended(world, operation, 1);
            } else if !pending && !slot.bodyless.get() {
                if slot.may_fail.get().map(stored) != Some(status) {
                    fail("C7", operation, format!("get_result answers {status:#x}"));
                }
                ended(world, operation, 3);
            }
        }
        (Op::GetError(_), OutValue::Number(number)) => {
            let slot = world.slot(operation);
            match NTSTATUS::from_u32(number) {
                NTSTATUS::PENDING if ended_before => {
                    fail("C6", operation, "get_error writes STATUS_PENDING after a terminal status".into());
                }
                NTSTATUS::PENDING => {}
                _ if slot.bodyless.get() => {}
                NTSTATUS::CANCELLED => ended_by_cancelled(world, operation),
                NTSTATUS::SUCCESS => ended(world, operation, 1),
                _ if slot.may_fail.get().map(stored) == Some(number) => ended(world, operation, 3),
                _ => fail("C7", operation, format!("get_error writes {number:#x}")),
            }
        }
        (Op::Query(_, Iid::Unsupported | Iid::Null, Out::Given), OutValue::Null) => {}
        (Op::Query(_, Iid::Unsupported | Iid::Null, Out::Given), out) => {
            fail("C1", operation, format!("a failed QueryInterface leaves {out:?}"));
        }
        (Op::Query(_, _, Out::Given), out) if !matches!(out, OutValue::Interface(_)) => {
            fail("C2", operation, format!("QueryInterface answers {status:#x} and {out:?}"));
        }
        (Op::Release(_), _) => {
            let left: u32 = world.slot(operation).references.iter().map(core::cell::Cell::get).sum();
            if status == 1 && left > 0 {
                fail("C3", operation, format!("Release answers 0 with {left} references left"));
            }
        }
        (Op::SetCompleted(handler), _) => check_set_completed(operation, handler, NTSTATUS::from_u32(status)),
        (Op::Wait(_), _) => check_wait(world, operation, NTSTATUS::from_u32(status)),
        (Op::Cancel, _) if !success => fail("C10", operation, format!("cancel answers {status:#x}")),
        _ => {}
    }
}

/// Checks an answer of `set_completed` `[C14]`. A refusal is right if there is another handler,
/// which is checked at the end of the run.
fn check_set_completed(operation: usize, handler: Handler, answer: NTSTATUS) {
    let right = match answer {
        NTSTATUS::INVALID_PARAMETER => handler == Handler::Null,
        NTSTATUS::SUCCESS | NTSTATUS::INVALID_DEVICE_STATE => handler != Handler::Null,
        _ => false,
    };
    if !right {
        fail("C14", operation, format!("set_completed of {handler:?} answers {answer}"));
    }
}

/// Checks an answer of `wait` `[C15]`.
fn check_wait(world: &OperationWorld, operation: usize, answer: NTSTATUS) {
    match answer {
        NTSTATUS::SUCCESS if call::has_ended(world, operation) => {}
        // `call::wait` checks whether the operation was seen to have ended before.
        NTSTATUS::TIMEOUT => {}
        NTSTATUS::NOT_SUPPORTED if u32::from(ntsim::irql()) > ntsim::types::PASSIVE_LEVEL => {}
        _ => fail("C15", operation, format!("wait answers {answer}")),
    }
}

/// The status that an operation stores when it fails with this status `[C7]`.
fn stored(status: u32) -> u32 {
    NTSTATUS::from_u32(status).as_failure().to_u32()
}

/// Checks an operation that answers `STATUS_CANCELLED`. It was cancelled, or its body failed with
/// that status without a cancel request `[C20]`.
fn ended_by_cancelled(world: &OperationWorld, operation: usize) {
    if world.slot(operation).may_fail.get() != Some(NTSTATUS::CANCELLED.to_u32()) {
        ended(world, operation, 2);
    }
}

/// Records and checks a terminal status.
fn ended(world: &OperationWorld, operation: usize, status: i32) {
    let slot = world.slot(operation);
    let before = slot.ended.replace(status);
    if before != 0 && before != status {
        fail("C6", operation, format!("its terminal status was {before} and is {status}"));
    }
    if let Some(wrong) = call::outcome_mismatch(world, operation, status) {
        fail("C10", operation, format!("its terminal status is {status}: {wrong}"));
    }
    // The caller holds a reference, so the operation was not abandoned.
    if status == 2 && slot.body.is_unasked() {
        fail("C10", operation, "its status is Canceled, but no client has cancelled it".into());
    }
    let failed_with = slot.may_fail.get().map(NTSTATUS::from_u32);
    if status == 3 && failed_with == Some(NTSTATUS::CANCELLED) && slot.body.took.get() {
        fail(
            "C20",
            operation,
            "it took a request and failed with STATUS_CANCELLED, but its status is not Canceled".into(),
        );
    }
    if !slot.bodyless.get() && slot.body.drops.get() != 1 {
        let drops = slot.body.drops.get();
        fail("C8", operation, format!("it has ended, but its body was dropped {drops} times"));
    }
}

/// Checks that no wake is lost. All gates are open, so a body that has not ended waits for
/// something else.
fn nothing_is_lost(world: &OperationWorld) {
    for operation in 0..world.spawned.get() {
        let slot = world.slot(operation);
        let body = &slot.body;
        let held = slot.references.iter().any(|count| count.get() > 0);
        if slot.bodyless.get() || body.drops.get() > 0 {
            continue;
        }
        if body.waiting.get() != Waiting::Parked {
            let waiting = body.waiting.get();
            fail(
                "lost wake-up",
                operation,
                format!("its wake has come, but it was not polled (it waits for {waiting:?})"),
            );
        }
        // A request that is pending while a cleanup runs is seen when the cleanup ends. By now
        // every cleanup has.
        if body.asked.get() {
            fail(
                "C10",
                operation,
                "it was cancelled, but its body was not polled with the request set".into(),
            );
        }
        // It was polled with a request set, but has not taken it, unwound, or been dropped. So it
        // did not see the request.
        if body.ever_asked.get() && !body.took.get() {
            fail("C10", operation, "it was cancelled, but its body has not seen the request".into());
        }
        if held && call::get_status(world, operation, Out::Given).out != OutValue::Number(0) {
            fail("C8", operation, "it has ended, but its body is not dropped".into());
        }
    }
}

fn unfinished(world: &OperationWorld) -> Option<usize> {
    (0..world.spawned.get()).find(|operation| {
        let slot = world.slot(*operation);
        !slot.bodyless.get() && slot.body.drops.get() == 0
    })
}

fn everything_has_ended(world: &OperationWorld) {
    if let Some(operation) = unfinished(world) {
        fail("liveness", operation, "it does not end, although it was cancelled again and again".into());
    }
    for (number, object) in world.objects.iter().enumerate() {
        let held = object.ledger.get() > 0;
        if !object.this.get().is_null() && !held && object.drops.get() != 1 {
            let drops = object.drops.get();
            ntsim::fail(
                "C19",
                format!("object {number} has no references, but was dropped {drops} times, expected once"),
            );
        }
    }
    for operation in 0..world.spawned.get() {
        let slot = world.slot(operation);
        if slot.handled.get() != slot.handlers.get() {
            let (handlers, runs) = (slot.handlers.get(), slot.handled.get());
            fail(
                "C14",
                operation,
                format!("{handlers} completion handlers were accepted, but {runs} have run"),
            );
        }
        if slot.refused.get() && slot.handlers.get() == 0 {
            fail("C14", operation, "a completion handler was refused, but no other one was accepted".into());
        }
    }
}

fn fail(rule: &'static str, operation: usize, message: String) -> ! {
    ntsim::fail(rule, format!("operation {operation}: {message}"))
}
