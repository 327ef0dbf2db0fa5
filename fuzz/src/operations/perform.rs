//! Performs steps on the shipping runtime.
//!
//! Every step is legal, because a processor calls an operation only while it holds a reference. It
//! takes a reference out of the tables before it gives the reference up.

use ntcom::{AsyncOperationRaw, NTSTATUS};
use ntcom_fuzz_model::{
    answer::{Answer, Done, NOTHING, OutValue},
    call::Call,
    limits::{OPERATIONS, PROCESSORS},
    ops::{Handler, ObjectOp, Op, OperationStep, Via, has_interface},
    script::Script,
    status::STATUSES,
    value::ValueKind,
};
use ntsim::trace::{Mark, MarkKind};

use super::{
    body::{body, marked},
    call, declared,
    situation::{meet, situation},
    value::{Aligned, OperationValue, Padded, Page},
    world::OperationWorld,
};
use crate::harness::{coverage::hit, irql};

/// Two clock ticks, in units of 100 ns.
pub const TWO_TICKS: u64 = 2 * 156_250;

/// The step that [`perform`] does at this time in place of `op`, if it replaces it.
pub fn instead(world: &OperationWorld, op: &Op) -> Option<Op> {
    let (wakers, handles) = (!world.stash.is_empty(), !world.handles.is_empty());
    op.instead(world.spawned.get() < OPERATIONS, wakers, handles)
}

/// Does one step on this processor. The run has `processors` of them.
pub fn perform(
    world: &OperationWorld,
    processor: usize,
    processors: usize,
    step: &OperationStep,
) -> Option<Done> {
    // Borrow the step, because copying it costs as much as many calls.
    let replaced = instead(world, &step.op);
    let op = replaced.as_ref().unwrap_or(&step.op);
    let what = op.number();
    let on = world.held(processor, step.target);
    if ntsim::is_tracing() {
        say(processor, op, on);
    }
    world.doing[processor].set((what, on.map_or(u8::MAX, |operation| operation as u8)));
    meet(world, processor, what.into(), on);
    let done = dispatch(world, processor, processors, step.target, op);
    world.doing[processor].set((0, 0));
    if op.is_command() {
        world.steps.tried();
        if done.is_some() && op.reaches_something() {
            world.steps.reached();
        }
    } else if done.is_none() {
        // This slot call found no object. `call` counts those that found one.
        world.steps.tried();
    }
    // A command reports no feature here, because each feature costs. The next step on that
    // operation shows its effect.
    if let Some(Done { operation: Some(operation), answer }) = done
        && !op.is_command()
    {
        hit(u32::from(what) | 0x100, situation(world, operation) << 8 ^ answer.status);
    }
    done
}

/// Writes the coming step into the trace.
#[cold]
fn say(processor: usize, op: &Op, on: Option<usize>) {
    match on {
        // The call of `cancel` writes its own mark.
        Some(_) if *op == Op::Cancel => {}
        Some(operation) if !op.is_command() && !matches!(op, Op::Call { .. } | Op::Object(..)) => {
            ntsim::mark(|| {
                Mark::new(MarkKind::Call, format!("operation {operation}")).detail(format!("{op:?}"))
            })
        }
        Some(operation) => ntsim::note(|| format!("P{processor} does {op:?}; held: operation {operation}")),
        None => ntsim::note(|| format!("P{processor} does {op:?}; it holds no operation")),
    }
}

fn dispatch(
    world: &OperationWorld,
    processor: usize,
    processors: usize,
    target: u8,
    op: &Op,
) -> Option<Done> {
    let held = || world.held(processor, target);
    let on = |operation, answer| Some(Done { operation: Some(operation), answer });
    let command = || Some(Done { operation: None, answer: NOTHING });
    match *op {
        Op::Spawn { kind, script, cancellable, linked, shared } => {
            let link = if linked { held() } else { None };
            let operation = make(world, kind, link)?;
            let raw = spawn_kind(world, kind, operation, script, cancellable);
            publish(world, operation, raw, processor, if shared { processors } else { 1 });
            on(operation, NOTHING)
        }
        Op::SpawnError { kind, status } => {
            let operation = make(world, kind, None)?;
            let raw = spawn_error_kind(kind, NTSTATUS::from_u32(STATUSES[usize::from(status)]));
            world.slot(operation).bodyless.set(true);
            publish(world, operation, raw, processor, 1);
            on(operation, NOTHING)
        }
        Op::Query(via, iid, out) => {
            let operation = held()?;
            let answer = call::query(world, operation, via, iid, out);
            if answer.status == NTSTATUS::SUCCESS.to_u32() {
                world.own(operation, processor, 1);
            }
            on(operation, answer)
        }
        Op::AddRef(via) => {
            let operation = held()?;
            let answer = call::add_ref(world, operation, via);
            world.own(operation, processor, 1);
            on(operation, answer)
        }
        Op::Release(via) => {
            let operation = held()?;
            world.own(operation, processor, -1);
            on(operation, call::release(world, operation, via))
        }
        Op::GetStatus(out) => held().and_then(|o| on(o, call::get_status(world, o, out))),
        Op::GetResult(out) => held().and_then(|o| on(o, call::get_result(world, o, out))),
        Op::Cancel => held().and_then(|o| on(o, call::cancel(world, o))),
        Op::GetError(out) => held().and_then(|o| on(o, call::get_error(world, o, out))),
        Op::GetResultSize(out) => held().and_then(|o| on(o, call::get_result_size(world, o, out))),
        Op::Wait(timeout) => held().and_then(|o| on(o, call::wait(world, o, timeout))),
        Op::SetCompleted(handler) => {
            let operation = held()?;
            on(operation, set_completed(world, operation, handler))
        }
        Op::OpenGate(gate) => {
            world.gates.open(gate.into(), marked);
            command()
        }
        Op::WakeStash { index, by_ref } => on(world.stash.wake(index, by_ref, marked)?, NOTHING),
        Op::CloneStash(index) => on(world.stash.clone_nth(index)?, NOTHING),
        Op::DropStash(index) => {
            let (operation, waker) = world.stash.take(index)?;
            drop(waker);
            on(operation, NOTHING)
        }
        Op::HandleCancel(index) => {
            let (operation, handle) = world.handles.take(index)?;
            world.slot(operation).body.ask();
            marked(MarkKind::Cancel, operation, "by its handle");
            handle.cancel();
            world.handles.put(operation, handle);
            on(operation, NOTHING)
        }
        Op::HandleClone(index) => on(world.handles.clone_nth(index)?, NOTHING),
        Op::HandleDrop(index) => {
            let (operation, handle) = world.handles.take(index)?;
            drop(handle);
            on(operation, NOTHING)
        }
        Op::Raise => {
            irql::raise(&world.raised[processor]);
            command()
        }
        Op::Lower => {
            irql::lower(&world.raised[processor]);
            command()
        }
        Op::AdvanceTime => {
            ntsim::advance_time(TWO_TICKS);
            command()
        }
        Op::FailAllocation(nth) => {
            ntsim::fail_allocation(nth.into());
            command()
        }
        Op::Call { object, call, shared } => {
            let operation = declared_call(
                world,
                processor,
                processors,
                object.into(),
                call,
                if shared { processors } else { 1 },
            )?;
            on(operation, NOTHING)
        }
        Op::Object(number, op) => {
            let answer = object_op(world, processor, number.into(), op)?;
            Some(Done { operation: None, answer })
        }
        Op::CancelAll => {
            cancel_all(world);
            command()
        }
        Op::Schedule(_) => None,
    }
}

/// Looks up the object with this number for a processor that holds it. If it does not exist, makes
/// it with a reference for each processor.
fn object(world: &OperationWorld, processor: usize, processors: usize, number: usize) -> Option<()> {
    let object = &world.objects[number];
    if object.this.get().is_null() && !object.making.replace(true) {
        let this = declared::make(number);
        object.making.set(false);
        object.this.set(this?);
        object.ledger.set(1);
        object.own(processor, 1);
        for other in (0..processors).filter(|other| *other != processor) {
            declared::add_ref(world, number);
            object.own(other, 1);
        }
    }
    (object.references[processor].get() > 0).then_some(())
}

/// Calls an async method and publishes the operation that it returns.
fn declared_call(
    world: &OperationWorld,
    processor: usize,
    processors: usize,
    number: usize,
    call: Call,
    owners: usize,
) -> Option<usize> {
    object(world, processor, processors, number)?;
    let operation = make(world, call.method.kind(), None)?;
    let slot = world.slot(operation);
    slot.object.set(Some(number));
    slot.may_fail.set(call.failure());
    let raw = declared::call(world, number, operation, call);
    // No body was made, because there was no memory or the initialiser failed.
    if slot.body_object.get().is_none() && slot.body.drops.get() == 0 {
        slot.bodyless.set(true);
    }
    publish(world, operation, raw, processor, owners);
    Some(operation)
}

fn object_op(world: &OperationWorld, processor: usize, number: usize, op: ObjectOp) -> Option<Answer> {
    let object = &world.objects[number];
    if object.references[processor].get() == 0 {
        return None;
    }
    let flag = |zero: bool| Answer { status: zero.into(), out: OutValue::None };
    Some(match op {
        ObjectOp::AddRef => {
            let zero = declared::add_ref(world, number);
            object.own(processor, 1);
            flag(zero)
        }
        ObjectOp::Release => {
            object.own(processor, -1);
            flag(declared::release(world, number))
        }
        ObjectOp::Query(which) => {
            let (status, right) = declared::query(world, number, which);
            if status == NTSTATUS::SUCCESS.to_u32() {
                object.own(processor, 1);
            }
            if !right || (status == NTSTATUS::SUCCESS.to_u32()) != has_interface(which) {
                ntsim::fail(
                    "C1",
                    format!(
                        "QueryInterface of object {number} answers {status:#x} (pointer as expected: {right})"
                    ),
                );
            }
            Answer { status, out: OutValue::None }
        }
        ObjectOp::Echo(argument) => {
            let answer = declared::echo(world, number, argument.into());
            if answer != u32::from(argument) + number as u32 {
                ntsim::fail("layout", format!("object {number} echoes {argument} as {answer}"));
            }
            NOTHING
        }
    })
}

/// Asks every task to stop. Other processors may spawn meanwhile, so the set of tasks that it
/// reaches is not known.
pub fn cancel_all(world: &OperationWorld) {
    world.asking.set(world.asking.get() + 1);
    for operation in 0..world.spawned.get() {
        world.slot(operation).body.maybe_asked.set(true);
    }
    ntcom_exec::default_tracker(ntcom_exec::TaskTracker::cancel_all);
    world.asking.set(world.asking.get() - 1);
}

/// `set_completed`. It first adds the reference that a releasing handler consumes.
fn set_completed(world: &OperationWorld, operation: usize, handler: Handler) -> Answer {
    if handler == Handler::Releases {
        call::add_ref(world, operation, Via::Operation);
    }
    let answer = call::set_completed(world, operation, handler);
    let slot = world.slot(operation);
    if answer.status == NTSTATUS::SUCCESS.to_u32() {
        slot.handlers.set(slot.handlers.get() + 1);
        return answer;
    }
    if answer.status == NTSTATUS::INVALID_DEVICE_STATE.to_u32() {
        slot.refused.set(true);
    }
    if handler == Handler::Releases {
        call::release(world, operation, Via::Operation);
    }
    answer
}

/// Takes the number of a new operation, with a body that holds a reference to `link`.
fn make(world: &OperationWorld, kind: ValueKind, link: Option<usize>) -> Option<usize> {
    let operation = world.spawned.get();
    if operation >= OPERATIONS {
        return None;
    }
    world.spawned.set(operation + 1);
    let slot = world.slot(operation);
    slot.kind.set(kind);
    slot.spawning.set(true);
    slot.body.maybe_asked.set(world.asking.get() > 0);
    marked(MarkKind::Spawn, operation, "");
    if let Some(link) = link {
        call::add_ref(world, link, Via::Operation);
        slot.link.set(Some(link));
    }
    Some(operation)
}

/// Records that a spawn has returned. From here on its spawner and other processors may use the
/// operation.
fn publish(
    world: &OperationWorld,
    operation: usize,
    raw: *mut AsyncOperationRaw<u8>,
    processor: usize,
    owners: usize,
) {
    if raw.is_null() {
        ntsim::fail(
            "C11",
            format!("the spawn of operation {operation} returned null, expected an operation"),
        );
    }
    let slot = world.slot(operation);
    slot.spawning.set(false);
    // A body that was dropped by now without a poll was refused, or there was no memory for it.
    if slot.body.drops.get() > 0 && slot.body.polls.get() == 0 {
        slot.bodyless.set(true);
    }
    slot.operation.set(raw.cast());
    call::received(world, operation);
    world.own(operation, processor, 1);
    for other in (0..owners.min(PROCESSORS)).filter(|other| *other != processor) {
        call::add_ref(world, operation, Via::Operation);
        world.own(operation, other, 1);
    }
}

fn spawn_kind(
    world: &OperationWorld,
    kind: ValueKind,
    operation: usize,
    script: Script,
    cancellable: bool,
) -> *mut AsyncOperationRaw<u8> {
    match kind {
        ValueKind::Unit => spawn::<()>(world, operation, script, cancellable),
        ValueKind::U8 => spawn::<u8>(world, operation, script, cancellable),
        ValueKind::U64 => spawn::<u64>(world, operation, script, cancellable),
        ValueKind::Padded => spawn::<Padded>(world, operation, script, cancellable),
        ValueKind::Aligned => spawn::<Aligned>(world, operation, script, cancellable),
        ValueKind::Page => spawn::<Page>(world, operation, script, cancellable),
    }
}

fn spawn<T: OperationValue>(
    world: &OperationWorld,
    operation: usize,
    script: Script,
    cancellable: bool,
) -> *mut AsyncOperationRaw<u8> {
    let body = body::<T>(operation, script);
    if cancellable {
        let (raw, handle) = ntcom::spawn_async_operation_raw_cancellable(body);
        world.handles.put(operation, handle);
        raw.cast()
    } else {
        ntcom::spawn_async_operation_raw(body).cast()
    }
}

fn spawn_error_kind(kind: ValueKind, status: NTSTATUS) -> *mut AsyncOperationRaw<u8> {
    match kind {
        ValueKind::Unit => ntcom::spawn_async_operation_error_raw::<()>(status).cast(),
        ValueKind::U8 => ntcom::spawn_async_operation_error_raw::<u8>(status),
        ValueKind::U64 => ntcom::spawn_async_operation_error_raw::<u64>(status).cast(),
        ValueKind::Padded => ntcom::spawn_async_operation_error_raw::<Padded>(status).cast(),
        ValueKind::Aligned => ntcom::spawn_async_operation_error_raw::<Aligned>(status).cast(),
        ValueKind::Page => ntcom::spawn_async_operation_error_raw::<Page>(status).cast(),
    }
}

/// Gives up everything that clients hold, on this processor. Clients may do this when a run ends.
pub fn release_everything(world: &OperationWorld) {
    world.gates.drop_waiters();
    while let Some((_, waker)) = world.stash.take(0) {
        drop(waker);
    }
    while let Some((_, handle)) = world.handles.take(0) {
        drop(handle);
    }
    for (number, object) in world.objects.iter().enumerate() {
        for processor in 0..PROCESSORS {
            while object.references[processor].get() > 0 {
                object.own(processor, -1);
                declared::release(world, number);
            }
        }
    }
    for operation in 0..world.spawned.get() {
        for processor in 0..PROCESSORS {
            while world.slot(operation).references[processor].get() > 0 {
                world.own(operation, processor, -1);
                call::release(world, operation, Via::Operation);
            }
        }
    }
}
