//! The library against the model, and the rule that a difference is attributed to.

use ntcom::NTSTATUS;
use ntcom_fuzz::{
    call::{Answer, OutValue},
    model::Model,
    ops::{ObjectOp, Op, Step},
    perform::Done,
};

use super::perform::replaced;
use crate::{
    finding::{Check, Finding},
    kit::Kit,
    rule::Rule,
    world::Record,
};

pub(super) fn compare_answer(kit: &Kit<'_>, step: &Step, found: Answer, expected: Done) -> Check {
    let Done { operation, answer } = expected;
    // Where nothing is written the model says so or says nothing.
    let same_out = found.out == answer.out
        || matches!(
            (found.out, answer.out),
            (OutValue::None | OutValue::Untouched, OutValue::None | OutValue::Untouched)
        );
    if found.status == answer.status && same_out {
        return Ok(());
    }
    let op = replaced(kit, step);
    let show = |answer: Answer| format!("{}, out {:?}", NTSTATUS::from_u32(answer.status), answer.out);
    let on = operation.map_or_else(String::new, |operation| format!(" of operation {operation}"));
    let message = format!("{op:?}{on} answered {}; the contract says {}", show(found), show(answer));
    let rule = operation.and_then(|operation| how_it_ended(kit, operation, op, found, answer));
    Err(Finding::new(rule.unwrap_or_else(|| rule_of(op, found, answer)), message))
}

/// The rule for an operation that ended, but not as it should have.
fn how_it_ended(kit: &Kit<'_>, operation: usize, op: Op, found: Answer, expected: Answer) -> Option<Rule> {
    let (fails, bodyless, made_so) =
        kit.0.slot(operation, |slot| (slot.fails.is_some(), slot.bodyless, slot.record.drops == 0));
    let ended = match op {
        Op::GetStatus(_) => {
            found.status == expected.status
                && matches!(found.out, OutValue::Number(1..=3))
                && found.out != expected.out
        }
        Op::GetResult(_) | Op::GetError(_) => {
            let failure = |answer: Answer| match (op, answer.out) {
                (Op::GetError(_), OutValue::Number(number)) => number >> 31 == 1,
                (Op::GetError(_), _) => false,
                _ => answer.status >> 31 == 1,
            };
            failure(expected) && failure(found) && found != expected
        }
        _ => false,
    };
    match (ended, fails, bodyless, op) {
        (false, ..) => None,
        (true, true, ..) => Some(Rule::C20),
        // There was no memory for it; or it was made as one that failed.
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
        // An object is gone when its bodies are, too.
        Op::Object(..) => Rule::C19,
        // The right answer, and another status: how it ended.
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

/// What has happened to bodies and handlers.
pub(super) fn compare_records(kit: &Kit<'_>, model: &Model) -> Check {
    for (operation, task) in model.tasks.iter().enumerate() {
        let expected = Record {
            polls: task.polls,
            drops: task.drops,
            log: task.log,
            handled: task.handled,
            told: task.told,
        };
        let mut found = kit.record(operation);
        // A method whose operation there is no memory for has no body yet, in the model; here it is dropped at once.
        let refused = kit.0.slot(operation, |slot| slot.object.is_some() && slot.bodyless);
        if refused && (found.drops, expected.drops) == (1, 0) {
            found.drops = 0;
        }
        if found == expected {
            continue;
        }
        let asked = kit.0.slot(operation, |slot| slot.asked);
        let left = kit.0.slot(operation, |slot| slot.references == 0);
        let (rule, what, real, wanted) = if found.handled != expected.handled {
            (
                Rule::C14,
                "runs of its completion handler",
                u64::from(found.handled),
                u64::from(expected.handled),
            )
        } else if found.told != expected.told {
            let number = |told: i32| u64::from(told.cast_unsigned());
            (Rule::C14, "what its completion handler was told", number(found.told), number(expected.told))
        } else {
            let rule = match (asked, left) {
                (true, _) => Rule::C10,
                (false, true) => Rule::C9,
                (false, false) => Rule::C8,
            };
            if found.polls != expected.polls {
                (rule, "polls of its body", u64::from(found.polls), u64::from(expected.polls))
            } else if found.drops != expected.drops {
                (rule, "drops of its body", u64::from(found.drops), u64::from(expected.drops))
            } else {
                let what = "its body has seen something else of requests and guards than the contract says";
                return Err(Finding::new(Rule::C10, format!("operation {operation}: {what}")));
            }
        };
        return Err(Finding::new(
            rule,
            format!("operation {operation}: {what}: {real}; the contract says {wanted}"),
        ));
    }
    // The model counts the blocks of objects, too.
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
