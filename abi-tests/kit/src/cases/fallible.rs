//! Cases of C20, bodies that fail by themselves.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{script::Shape, status::STATUSES, value::ValueKind};

use super::{
    states,
    steps::{END, OBSERVE, PARK, READY, WAIT, guarded, plain},
};
use crate::{
    case::{Case, case},
    finding::Check,
    kit::{Kit, Spawn, status},
    need::Need,
    rule::Rule,
    table::shape,
};

const FAILS: &[Need] = &[Need::Fails];

pub(super) const CASES: &[Case] = &[
    case(Rule::C20, "a_body_that_fails_is_an_error", fails).needs(FAILS),
    case(Rule::C20, "a_success_code_is_no_failure", success_code).needs(FAILS),
    case(Rule::C20, "a_failure_after_a_request_is_an_error", fails_after_request)
        .needs(&[Need::Control, Need::Fails]),
    case(Rule::C20, "cancelled_by_itself_is_an_error", cancelled_by_itself).needs(FAILS),
    case(Rule::C20, "cancelled_when_asked_is_canceled", cancelled_when_asked)
        .needs(&[Need::Control, Need::Fails]),
    case(Rule::C20, "a_failure_in_an_unwinding_body_is_an_error", fails_unwinding).needs(&[
        Need::Control,
        Need::Fails,
        Need::Shape(shape::TRY_FINALLY),
    ]),
];

fn failing(script: ntcom_fuzz_model::script::Script, with: NTSTATUS) -> Spawn {
    Spawn { fails: Some(with), ..Spawn::new(ValueKind::U64, script) }
}

fn fails(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        for script in [READY, plain([WAIT, END, END, END, END, END])] {
            let operation = kit.make(Spawn { kind, ..failing(script, states::FAILURE) })?;
            kit.open(0)?;
            kit.advance()?;
            kit.expect_end(Rule::C20, operation, status::ERROR, states::FAILURE)?;
        }
    }
    Ok(())
}

fn success_code(kit: &Kit<'_>) -> Check {
    for given in STATUSES.into_iter().filter(|status| *status != 0) {
        let operation = kit.make(failing(READY, NTSTATUS::from_u32(given)))?;
        kit.advance()?;
        let stored = if given >> 31 == 0 { NTSTATUS::UNSUCCESSFUL } else { NTSTATUS::from_u32(given) };
        kit.expect_end(Rule::C20, operation, status::ERROR, stored)?;
    }
    Ok(())
}

fn fails_after_request(kit: &Kit<'_>) -> Check {
    let operation = kit.make(failing(plain([OBSERVE, END, END, END, END, END]), states::FAILURE))?;
    kit.cancel(operation)?;
    kit.advance()?;
    kit.expect_end(Rule::C20, operation, status::ERROR, states::FAILURE)
}

fn cancelled_by_itself(kit: &Kit<'_>) -> Check {
    let operation = kit.make(failing(READY, NTSTATUS::CANCELLED))?;
    kit.advance()?;
    kit.expect_end(Rule::C20, operation, status::ERROR, NTSTATUS::CANCELLED)
}

fn cancelled_when_asked(kit: &Kit<'_>) -> Check {
    let operation = kit.make(failing(plain([OBSERVE, END, END, END, END, END]), NTSTATUS::CANCELLED))?;
    kit.cancel(operation)?;
    kit.advance()?;
    kit.expect_end(Rule::C20, operation, status::CANCELED, NTSTATUS::CANCELLED)
}

fn fails_unwinding(kit: &Kit<'_>) -> Check {
    let script = guarded(Shape::TryFinally, [PARK, WAIT, END, END, END, END]);
    let operation = kit.make(failing(script, states::FAILURE))?;
    kit.advance()?;
    kit.cancel(operation)?;
    kit.advance()?;
    kit.expect_end(Rule::C20, operation, status::ERROR, states::FAILURE)
}
