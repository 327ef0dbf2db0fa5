//! Comparison of the library with the model. A difference is attributed to a rule.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{
    answer::{Answer, Done, OutValue},
    model::Model,
    ops::{ObjectOp, Op, OperationStep, Out},
};

use super::perform::replaced;
use crate::{
    finding::{Check, Finding},
    kit::Kit,
    rule::Rule,
    world::Record,
};

pub(super) fn compare_answer(kit: &Kit<'_>, step: &OperationStep, found: Answer, expected: Done) -> Check {
    let Done { operation, answer } = expected;
    // If the library writes nothing, the model may have the old value or none.
    let same_out = found.out == answer.out
        || matches!(
            (found.out, answer.out),
            (OutValue::None | OutValue::Untouched, OutValue::None | OutValue::Untouched)
        );
    if found.status == answer.status && same_out {
        return Ok(());
    }
    let op = replaced(kit, step);
    let on = operation.map_or_else(String::new, |operation| format!(" of operation {operation}"));
    if operation.is_some_and(|operation| is_gone_for_clients(kit, operation, op, found, answer)) {
        return Ok(());
    }
    let (said, right) = (shown(op, found), shown(op, answer));
    let message = format!("{op:?}{on} answered {said}; the contract says {right}");
    let rule = operation.and_then(|operation| how_it_ended(kit, operation, op, found, answer));
    let finding = Finding::new(rule.unwrap_or_else(|| rule_of(op, found, answer)), message);
    if parts_from_the_model(op, found, answer) {
        return Err(finding);
    }
    kit.0.find(finding);
    Ok(())
}

/// Whether the object has gone for its clients [C3]. An object that is separate from its task goes
/// with the last client's reference, while the task lives.
fn is_gone_for_clients(kit: &Kit<'_>, operation: usize, op: Op, found: Answer, expected: Answer) -> bool {
    let (references, bodyless) = kit.0.slot(operation, |slot| (slot.references, slot.bodyless));
    let zero = matches!(op, Op::Release(_)) && found.status != 0 && expected.status == 0;
    zero && references == 0 && !bodyless
}

/// Describes an answer. The answer of AddRef and Release is a count, which only means "zero or
/// not".
fn shown(op: Op, answer: Answer) -> String {
    let counts =
        matches!(op, Op::AddRef(_) | Op::Release(_) | Op::Object(_, ObjectOp::AddRef | ObjectOp::Release));
    match answer.status {
        0 if counts => "not 0".to_owned(),
        _ if counts => "0".to_owned(),
        status => format!("{}, out {:?}", NTSTATUS::from_u32(status), answer.out),
    }
}

/// Whether the library and the model disagree about the objects from now on. Later comparisons then
/// mean nothing.
fn parts_from_the_model(op: Op, found: Answer, expected: Answer) -> bool {
    let succeeds = |answer: Answer| answer.status == 0;
    match op {
        Op::Query(..) | Op::SetCompleted(_) | Op::Object(_, ObjectOp::Query(_)) => {
            succeeds(found) != succeeds(expected)
        }
        // The library answers 0 although a client has a reference.
        Op::Release(_) | Op::Object(_, ObjectOp::Release) => expected.status == 0,
        Op::GetStatus(_) => succeeds(found) && succeeds(expected),
        _ => false,
    }
}

const CANCELLED: u32 = NTSTATUS::CANCELLED.to_u32();

/// The rule for an operation that has ended in a wrong way.
fn how_it_ended(kit: &Kit<'_>, operation: usize, op: Op, found: Answer, expected: Answer) -> Option<Rule> {
    let (fails, bodyless, made_so) =
        kit.0.slot(operation, |slot| (slot.fails.is_some(), slot.bodyless, slot.record.drops == 0));
    let ended = match op {
        Op::GetStatus(_) => {
            found.status == expected.status
                && matches!(found.out, OutValue::Number(1..=3))
                && found.out != expected.out
        }
        // With a null out the answer is wrong, and not the way in which the operation ended.
        Op::GetResult(Out::Null) | Op::GetError(Out::Null) => false,
        Op::GetResult(_) | Op::GetError(_) => {
            let failure = |answer: Answer| match (op, answer.out) {
                (Op::GetError(_), OutValue::Number(number)) => number >> 31 == 1,
                (Op::GetError(_), _) => false,
                _ => answer.status >> 31 == 1,
            };
            // The status is right, so the out-parameter is wrong.
            let differs = match op {
                Op::GetError(_) => found.out != expected.out,
                _ => found.status != expected.status,
            };
            failure(expected) && failure(found) && differs
        }
        _ => false,
    };
    let canceled = match op {
        Op::GetResult(Out::Null) | Op::GetError(Out::Null) => false,
        Op::GetResult(_) => expected.status == CANCELLED && found.status != CANCELLED,
        Op::GetError(_) => expected.out == OutValue::Number(CANCELLED) && found.out != expected.out,
        _ => false,
    };
    match (ended, fails, bodyless, op) {
        // The operation was cancelled, but it has not ended, or has a value.
        (false, ..) if canceled => Some(Rule::C10),
        (false, ..) => None,
        (true, true, ..) => Some(Rule::C20),
        // There was no memory for it, or it was made as a failed one.
        (true, false, true, _) if !made_so => Some(Rule::C11),
        (true, false, _, Op::GetResult(_) | Op::GetError(_)) => Some(Rule::C7),
        (true, false, ..) => None,
    }
}

/// The rule that an answer breaks.
fn rule_of(op: Op, found: Answer, expected: Answer) -> Rule {
    match op {
        Op::Query(..) if found.status == expected.status && matches!(found.out, OutValue::Interface(_)) => {
            Rule::C2
        }
        Op::Query(..) | Op::Object(_, ObjectOp::Query(_)) => Rule::C1,
        Op::AddRef(_) | Op::Release(_) => Rule::C3,
        // An object goes when its bodies have gone too.
        Op::Object(..) => Rule::C19,
        // The answer is right and the status differs, so the operation ended in a wrong way.
        Op::GetStatus(_) if found.status == expected.status => match (found.out, expected.out) {
            (OutValue::Number(0..=3), OutValue::Number(2)) => Rule::C10,
            (OutValue::Number(0..=3), OutValue::Number(_)) => Rule::C6,
            _ => Rule::C4,
        },
        Op::GetStatus(_) => Rule::C4,
        Op::GetError(_) | Op::GetResultSize(_) => Rule::C16,
        Op::SetCompleted(_) => Rule::C14,
        Op::Wait(_) => Rule::C15,
        Op::Cancel => Rule::C10,
        _ => Rule::C5,
    }
}

/// Compares the events of bodies and handlers. A difference is recorded, and from then on the model
/// follows the library.
///
/// # Errors
/// The library and the model disagree about which bodies exist.
pub(super) fn compare_records(kit: &Kit<'_>, model: &mut Model) -> Check {
    for operation in 0..model.tasks.len() {
        compare_record(kit, model, operation)?;
    }
    // The model counts the blocks of objects too.
    let objects = kit.0.objects.borrow().iter().filter(|object| object.drops == 0).count();
    let expected = model.blocks().saturating_sub(objects);
    if let Some(live) = kit.live()
        && live != expected as u64
    {
        return Err(Finding::new(
            Rule::C3,
            format!("there is memory for {live} operations; the contract says for {expected}"),
        ));
    }
    Ok(())
}

fn compare_record(kit: &Kit<'_>, model: &mut Model, operation: usize) -> Check {
    let task = &mut model.tasks[operation];
    let expected = Record {
        polls: task.polls,
        drops: task.drops,
        log: task.log,
        handled: task.handled,
        told: task.told,
    };
    let mut found = kit.record(operation);
    // If there is no memory for the operation of a method, the model has no body yet. Here the body
    // is dropped at once.
    let refused = kit.0.slot(operation, |slot| slot.object.is_some() && slot.bodyless);
    if refused && (found.drops, expected.drops) == (1, 0) {
        found.drops = 0;
    }
    if found == expected {
        return Ok(());
    }
    let finding = difference(kit, operation, found, expected);
    if found.drops != expected.drops {
        return Err(finding);
    }
    kit.0.find(finding);
    (task.polls, task.log) = (found.polls, found.log);
    (task.handled, task.told) = (found.handled, found.told);
    Ok(())
}

/// The rule that a difference breaks, and the difference.
fn difference(kit: &Kit<'_>, operation: usize, found: Record, expected: Record) -> Finding {
    let counted = |rule, what: &str, real: u32, wanted: u32| {
        Finding::new(rule, format!("operation {operation}: {what}: {real}; the contract says {wanted}"))
    };
    let (asked, left) = kit.0.slot(operation, |slot| (slot.asked, slot.references == 0));
    let rule = match (asked, left) {
        (true, _) => Rule::C10,
        (false, true) => Rule::C9,
        (false, false) => Rule::C8,
    };
    // Before the operation's end there is no status for a handler, so the handler is compared last.
    if found.drops != expected.drops {
        return counted(rule, "drops of its body", found.drops, expected.drops);
    }
    if found.handled != expected.handled {
        return counted(Rule::C14, "runs of its completion handler", found.handled, expected.handled);
    }
    if found.told != expected.told {
        let [told, right] = [found.told, expected.told].map(i32::cast_unsigned);
        return counted(Rule::C14, "what its completion handler was told", told, right);
    }
    if found.polls != expected.polls {
        counted(rule, "polls of its body", found.polls, expected.polls)
    } else {
        let what = "its body has seen something else of requests and guards than the contract says";
        Finding::new(Rule::C10, format!("operation {operation}: {what}"))
    }
}
