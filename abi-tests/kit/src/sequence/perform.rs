//! Does a step to the operation to which the model did it.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{
    answer::{Answer, Done, OutValue},
    call::Method,
    limits::OPERATIONS,
    ops::{ObjectOp, Op, OperationStep, has_interface},
    status::STATUSES,
};

use crate::{
    client,
    finding::Finding,
    kit::{Kit, Spawn},
    world,
};

/// Does a step to the operation to which the model did it.
pub(super) fn perform(
    kit: &Kit<'_>,
    step: &OperationStep,
    expected: Option<Done>,
) -> Result<Option<Answer>, Finding> {
    let here = kit.0;
    let nothing = Some(Answer { status: 0, out: OutValue::None });
    // A step that reaches nothing is replaced here as in the model.
    let op = replaced(kit, step);
    match op {
        Op::Spawn { kind, script, cancellable, .. } => {
            kit.make(Spawn { cancellable, ..Spawn::new(kind, script) })?;
            return Ok(nothing);
        }
        Op::SpawnError { kind, status } => {
            kit.spawn_error(kind, NTSTATUS::from_u32(STATUSES[usize::from(status)]))?;
            return Ok(nothing);
        }
        Op::Call { object, call, .. } => {
            if expected.is_none() {
                return Ok(None);
            }
            let object = the_object(kit, object.into())?;
            kit.make(Spawn {
                object: Some(object),
                fails: call.failure().map(NTSTATUS::from_u32),
                reaches: call.method == Method::Reaching,
                ..Spawn::new(call.method.kind(), call.script)
            })?;
            return Ok(nothing);
        }
        Op::Object(object, op) => {
            if expected.is_none() {
                return Ok(None);
            }
            return object_op(kit, object.into(), op).map(Some);
        }
        Op::OpenGate(gate) => {
            kit.open(gate.into())?;
            return Ok(nothing);
        }
        Op::FailAllocation(_) => {
            kit.fail_next_allocation()?;
            return Ok(nothing);
        }
        Op::CancelAll => {
            kit.cancel_all()?;
            return Ok(nothing);
        }
        _ => {}
    }
    let Some(operation) = expected.and_then(|done| done.operation) else { return Ok(None) };
    let answer = match op {
        Op::Query(via, iid, out) => client::query(here, operation, via, iid, out)?,
        Op::AddRef(via) => client::add_ref(here, operation, via)?,
        Op::Release(via) => client::release(here, operation, via)?,
        Op::GetStatus(out) => client::get_status(here, operation, out)?,
        Op::GetResult(out) => client::get_result(here, operation, out)?,
        Op::Cancel => client::cancel(here, operation)?,
        Op::GetError(out) => client::get_error(here, operation, out)?,
        Op::GetResultSize(out) => client::get_result_size(here, operation, out)?,
        Op::SetCompleted(handler) => client::set_completed(here, operation, handler)?,
        Op::Wait(_) => client::wait(here, operation, Some(0))?,
        Op::WakeStash { by_ref, .. } => {
            kit.wake(operation, by_ref)?;
            return Ok(nothing);
        }
        Op::CloneStash(_) => {
            kit.clone_waker(operation)?;
            return Ok(nothing);
        }
        Op::DropStash(_) => {
            kit.drop_waker(operation)?;
            return Ok(nothing);
        }
        Op::HandleCancel(_) => {
            kit.handle_cancel(operation)?;
            return Ok(nothing);
        }
        Op::HandleClone(_) => {
            kit.handle_clone(operation)?;
            return Ok(nothing);
        }
        Op::HandleDrop(_) => {
            kit.handle_drop(operation)?;
            return Ok(nothing);
        }
        _ => return Ok(None),
    };
    world::no_stray_call()?;
    Ok(Some(answer))
}

/// The object of this number in the sequence. Its first call makes it.
fn the_object(kit: &Kit<'_>, number: usize) -> Result<usize, Finding> {
    let known = kit.0.objects.borrow().iter().position(|object| object.number == number);
    match known {
        Some(object) => Ok(object),
        None => {
            let object = kit.object()?;
            kit.0.objects.borrow_mut()[object].number = number;
            Ok(object)
        }
    }
}

fn object_op(kit: &Kit<'_>, number: usize, op: ObjectOp) -> Result<Answer, Finding> {
    let object = the_object(kit, number)?;
    let status = match op {
        ObjectOp::AddRef => u32::from(kit.object_add_ref(object)?),
        ObjectOp::Release => u32::from(kit.object_release(object)?),
        ObjectOp::Query(which) => kit.object_query(object, has_interface(which))?.to_u32(),
        ObjectOp::Echo(_) => 0,
    };
    Ok(Answer { status, out: OutValue::None })
}

/// The step's operation, or its replacement.
pub(super) fn replaced(kit: &Kit<'_>, step: &OperationStep) -> Op {
    let world = kit.0;
    let room = world.count() < OPERATIONS;
    let (wakers, handles) = (!world.stash.borrow().is_empty(), !world.handles.borrow().is_empty());
    step.op.instead(room, wakers, handles).unwrap_or(step.op)
}
