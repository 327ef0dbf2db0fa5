//! C15, C18: bodies that wait, for others and for themselves.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::value::ValueKind;

use super::steps::{PENDING, READY};
use crate::{
    case::{Case, case},
    check,
    finding::Check,
    kit::{InBody, Kit, Spawn, status},
    need::Need,
    rule::Rule,
};

const WAITS: &[Need] = &[Need::Control, Need::PassiveBodies];

pub(super) const CASES: &[Case] = &[
    case(Rule::C15, "a_body_waits_for_its_own_operation", for_itself).needs(WAITS),
    case(Rule::C15, "a_body_waits_for_other_operations", for_others).needs(WAITS),
    case(Rule::C18, "a_body_drains", drains).needs(&[Need::DrainInBody]),
];

/// Timeouts, in units of 100 ns: a millisecond from now, and long ago.
const SOON: Option<i64> = Some(-10_000);
const LONG_AGO: Option<i64> = Some(1);

/// Runs a body that makes these calls at PASSIVE_LEVEL and then ends.
fn asked(kit: &Kit<'_>, rule: Rule, asks: InBody) -> Check {
    let operation = kit.make(Spawn { asks: Some(asks), ..Spawn::new(ValueKind::U64, READY) })?;
    kit.advance()?;
    if kit.record(operation).polls == 0 {
        kit.0.breach(Rule::C8, format!("the body of operation {operation} has not been polled"));
    }
    kit.expect_end(rule, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn expect_wait(
    kit: &Kit<'_>,
    whose: &str,
    operation: usize,
    timeout: Option<i64>,
    expected: NTSTATUS,
) -> Check {
    let answer = kit.wait(operation, timeout)?;
    check!(
        kit,
        C15,
        answer == expected,
        "in a body at PASSIVE_LEVEL wait for {whose} operation with timeout {timeout:?} answers {answer}, and should answer {expected}"
    );
    Ok(())
}

fn for_itself(kit: &Kit<'_>) -> Check {
    asked(kit, Rule::C15, |kit, own| {
        expect_wait(kit, "its own", own, Some(0), NTSTATUS::TIMEOUT)?;
        for timeout in [SOON, LONG_AGO, None] {
            expect_wait(kit, "its own", own, timeout, NTSTATUS::POSSIBLE_DEADLOCK)?;
        }
        Ok(())
    })
}

fn for_others(kit: &Kit<'_>) -> Check {
    let ended = kit.spawn(ValueKind::U64, READY)?;
    kit.advance()?;
    let ends = kit.spawn(ValueKind::U64, READY)?;
    let pending = kit.spawn(ValueKind::U64, PENDING)?;
    asked(kit, Rule::C15, |kit, own| {
        let [ended, ends, pending] = [own - 3, own - 2, own - 1];
        for timeout in [Some(0), LONG_AGO, None] {
            expect_wait(kit, "an ended", ended, timeout, NTSTATUS::SUCCESS)?;
        }
        for timeout in [Some(0), LONG_AGO, SOON] {
            expect_wait(kit, "a pending", pending, timeout, NTSTATUS::TIMEOUT)?;
        }
        expect_wait(kit, "another", ends, None, NTSTATUS::SUCCESS)
    })?;
    kit.expect_status(Rule::C15, ended, status::COMPLETED)?;
    kit.expect_status(Rule::C15, ends, status::COMPLETED)?;
    kit.expect_status(Rule::C15, pending, status::STARTED)
}

fn drains(kit: &Kit<'_>) -> Check {
    asked(kit, Rule::C18, |kit, _| {
        let Some(answer) = kit.drain_in_body() else { return Ok(()) };
        let expected = NTSTATUS::POSSIBLE_DEADLOCK;
        check!(
            kit,
            C18,
            answer == expected,
            "a drain by the body of an operation that has not ended answers {answer}, and should answer {expected}"
        );
        Ok(())
    })
}
