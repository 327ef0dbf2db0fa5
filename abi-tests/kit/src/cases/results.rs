//! Cases of C4, C5, C15 and C16, the answers of an operation.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{
    answer::{Answer, OutValue},
    ops::{Out, Via},
    value::{Bytes, ValueKind},
};

use super::{
    states,
    steps::{END, PARK, PENDING, READY, plain},
};
use crate::{
    case::{Case, case},
    check,
    finding::Check,
    kit::Kit,
    kit::status,
    need::Need,
    rule::Rule,
};

const WAITS: &[Need] = &[Need::Control, Need::Passive];

pub(super) const CASES: &[Case] = &[
    case(Rule::C4, "status_in_each_state", status_in_each_state),
    case(Rule::C4, "status_null_out", status_null_out),
    case(Rule::C4, "status_needs_no_alignment", status_no_alignment),
    case(Rule::C5, "result_while_started", result_while_started),
    case(Rule::C5, "result_when_completed", result_when_completed),
    case(Rule::C5, "result_when_canceled_or_failed", result_without_value),
    case(Rule::C5, "result_null_out", result_null_out),
    case(Rule::C15, "wait_without_time", wait_without_time).needs(&[Need::Control]),
    case(Rule::C15, "wait_for_what_has_ended", wait_for_what_has_ended).needs(WAITS),
    case(Rule::C15, "wait_until_time_is_over", wait_until_time_is_over).needs(WAITS),
    case(Rule::C15, "wait_until_the_end", wait_until_the_end).needs(WAITS),
    case(Rule::C15, "a_wait_keeps_no_reference", wait_keeps_none).needs(WAITS),
    case(Rule::C15, "wait_above_passive_level", wait_above_passive_level).needs(&[Need::Control, Need::Irql]),
    case(Rule::C16, "error_in_each_state", error_in_each_state).needs(&[Need::Control]),
    case(Rule::C16, "error_null_out", error_null_out).needs(&[Need::Control]),
    case(Rule::C16, "result_size", result_size).needs(&[Need::Control]),
    case(Rule::C16, "result_size_null_out", result_size_null_out).needs(&[Need::Control]),
];

const INVALID: u32 = NTSTATUS::INVALID_PARAMETER.to_u32();
const OUTS: [Out; 2] = [Out::Given, Out::Misaligned];

fn status_in_each_state(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, ValueKind::U64)? {
        let answer = kit.get_status(operation, Out::Given)?;
        check!(
            kit,
            C4,
            answer.status == 0,
            "get_status answers {}, and should answer STATUS_SUCCESS",
            NTSTATUS::from_u32(answer.status)
        );
        check!(
            kit,
            C4,
            answer.out == OutValue::Number(status),
            "get_status writes {:?}, and should write {status}",
            answer.out
        );
    }
    Ok(())
}

fn status_null_out(kit: &Kit<'_>) -> Check {
    for (operation, ..) in states::every(kit, ValueKind::U64)? {
        let answer = kit.get_status(operation, Out::Null)?;
        check!(
            kit,
            C4,
            answer.status == INVALID,
            "get_status with a null out answers {}, and should answer STATUS_INVALID_PARAMETER",
            NTSTATUS::from_u32(answer.status)
        );
    }
    Ok(())
}

fn status_no_alignment(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, ValueKind::U64)? {
        let answer = kit.get_status(operation, Out::Misaligned)?;
        check!(
            kit,
            C4,
            answer == Answer { status: 0, out: OutValue::Number(status) },
            "get_status with a misaligned out answers {} and writes {:?}, and should write {status}",
            NTSTATUS::from_u32(answer.status),
            answer.out
        );
    }
    Ok(())
}

/// Checks the answer of get_result and its bytes for a kind, twice and at both kinds of addresses.
fn expect(kit: &Kit<'_>, kind: ValueKind, operation: usize, stored: NTSTATUS) -> Check {
    let bytes = if stored == NTSTATUS::SUCCESS { Bytes::Value } else { Bytes::Zeroed };
    for out in OUTS {
        for _ in 0..2 {
            let answer = kit.get_result(operation, out)?;
            let answered = NTSTATUS::from_u32(answer.status);
            check!(
                kit,
                C5,
                answered == stored,
                "get_result of {kind:?} answers {answered}, and should answer {stored}"
            );
            check!(
                kit,
                C5,
                answer.out == OutValue::Bytes(bytes),
                "get_result of {kind:?} with {answered}, out {out:?}, leaves {:?}, and should leave {bytes:?}",
                answer.out
            );
        }
    }
    Ok(())
}

fn result_while_started(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        if let Some(started) = states::in_state(kit, kind, status::STARTED)? {
            expect(kit, kind, started, NTSTATUS::PENDING)?;
        }
        // This operation's body has not run at all.
        let fresh = kit.spawn(kind, READY)?;
        expect(kit, kind, fresh, NTSTATUS::PENDING)?;
    }
    Ok(())
}

fn result_when_completed(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        let operation = kit.spawn(kind, READY)?;
        kit.advance()?;
        kit.expect_status(Rule::C5, operation, status::COMPLETED)?;
        expect(kit, kind, operation, NTSTATUS::SUCCESS)?;
    }
    Ok(())
}

fn result_without_value(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        for (operation, status, stored) in states::every(kit, kind)? {
            if matches!(status, status::CANCELED | status::ERROR) {
                expect(kit, kind, operation, stored)?;
            }
        }
    }
    Ok(())
}

fn result_null_out(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        for (operation, ..) in states::every(kit, kind)? {
            let answer = kit.get_result(operation, Out::Null)?;
            check!(
                kit,
                C5,
                answer.status == INVALID,
                "get_result of {kind:?} with a null out answers {}, and should answer STATUS_INVALID_PARAMETER",
                NTSTATUS::from_u32(answer.status)
            );
        }
    }
    Ok(())
}

fn wait_without_time(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, ValueKind::U64)? {
        let expected = if status == status::STARTED { NTSTATUS::TIMEOUT } else { NTSTATUS::SUCCESS };
        let answer = kit.wait(operation, Some(0))?;
        check!(
            kit,
            C15,
            answer == expected,
            "wait without time answers {answer}, and should answer {expected}"
        );
    }
    Ok(())
}

/// Timeouts, in units of 100 ns. They are none, a millisecond from now, and a time long ago.
const TIMEOUTS: [Option<i64>; 3] = [Some(0), Some(-10_000), Some(1)];

fn expect_wait(kit: &Kit<'_>, operation: usize, timeout: Option<i64>, expected: NTSTATUS) -> Check {
    let answer = kit.wait(operation, timeout)?;
    check!(
        kit,
        C15,
        answer == expected,
        "wait at PASSIVE_LEVEL with timeout {timeout:?} answers {answer}, and should answer {expected}"
    );
    Ok(())
}

fn wait_for_what_has_ended(kit: &Kit<'_>) -> Check {
    let all = states::every(kit, ValueKind::U64)?;
    kit.at_passive_level(|kit| {
        for (operation, ..) in all.into_iter().filter(|(_, status, _)| *status != status::STARTED) {
            for timeout in TIMEOUTS.into_iter().chain([None]) {
                expect_wait(kit, operation, timeout, NTSTATUS::SUCCESS)?;
            }
        }
        Ok(())
    })
}

fn wait_until_time_is_over(kit: &Kit<'_>) -> Check {
    let Some(started) = states::in_state(kit, ValueKind::U64, status::STARTED)? else { return Ok(()) };
    kit.at_passive_level(|kit| {
        for timeout in TIMEOUTS {
            expect_wait(kit, started, timeout, NTSTATUS::TIMEOUT)?;
        }
        Ok(())
    })?;
    kit.expect_status(Rule::C15, started, status::STARTED)
}

/// Bodies at PASSIVE_LEVEL run before a wait for ever ends, whichever thread runs them.
fn wait_until_the_end(kit: &Kit<'_>) -> Check {
    let completes = kit.spawn(ValueKind::U64, READY)?;
    let cancels = kit.spawn(ValueKind::U64, PENDING)?;
    kit.cancel(cancels)?;
    kit.at_passive_level(|kit| {
        expect_wait(kit, completes, None, NTSTATUS::SUCCESS)?;
        expect_wait(kit, cancels, None, NTSTATUS::SUCCESS)
    })?;
    kit.expect_end(Rule::C15, completes, status::COMPLETED, NTSTATUS::SUCCESS)?;
    kit.expect_end(Rule::C15, cancels, status::CANCELED, NTSTATUS::CANCELLED)
}

fn wait_keeps_none(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, plain([PARK, END, END, END, END, END]))?;
    kit.advance()?;
    kit.at_passive_level(|kit| expect_wait(kit, operation, Some(-1), NTSTATUS::TIMEOUT))?;
    kit.cancel(operation)?;
    kit.advance()?;
    kit.at_passive_level(|kit| expect_wait(kit, operation, None, NTSTATUS::SUCCESS))?;
    check!(kit, C15, kit.release(operation, Via::Operation)?, "a wait that has ended has left a reference");
    Ok(())
}

fn wait_above_passive_level(kit: &Kit<'_>) -> Check {
    let Some(started) = states::in_state(kit, ValueKind::U64, status::STARTED)? else { return Ok(()) };
    // SAFETY: `irql` may be called at any time.
    if kit.table().irql.is_none_or(|irql| unsafe { irql() } == 0) {
        kit.0.lacks.set(Some("programs above PASSIVE_LEVEL"));
        return Ok(());
    }
    for timeout in [Some(-1), Some(1), None] {
        let answer = kit.wait(started, timeout)?;
        check!(
            kit,
            C15,
            answer == NTSTATUS::NOT_SUPPORTED,
            "above PASSIVE_LEVEL wait with timeout {timeout:?} answers {answer}, and should answer STATUS_NOT_SUPPORTED"
        );
    }
    Ok(())
}

fn error_in_each_state(kit: &Kit<'_>) -> Check {
    for out in OUTS {
        for (operation, _, stored) in states::every(kit, ValueKind::U64)? {
            let answer = kit.get_error(operation, out)?;
            check!(
                kit,
                C16,
                answer.status == 0,
                "get_error answers {}, and should answer STATUS_SUCCESS",
                NTSTATUS::from_u32(answer.status)
            );
            check!(
                kit,
                C16,
                answer.out == OutValue::Number(stored.to_u32()),
                "get_error writes {:x?}, and should write {stored}",
                answer.out
            );
        }
    }
    Ok(())
}

fn error_null_out(kit: &Kit<'_>) -> Check {
    for (operation, ..) in states::every(kit, ValueKind::U64)? {
        let answer = kit.get_error(operation, Out::Null)?;
        check!(
            kit,
            C16,
            answer.status == INVALID,
            "get_error with a null out answers {}, and should answer STATUS_INVALID_PARAMETER",
            NTSTATUS::from_u32(answer.status)
        );
    }
    Ok(())
}

fn result_size(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        for (operation, ..) in states::every(kit, kind)? {
            for out in OUTS {
                let answer = kit.get_result_size(operation, out)?;
                check!(
                    kit,
                    C16,
                    answer == Answer { status: 0, out: OutValue::Number(kind.size() as u32) },
                    "get_result_size of {kind:?} answers {} and writes {:?}, and should write {}",
                    NTSTATUS::from_u32(answer.status),
                    answer.out,
                    kind.size()
                );
            }
        }
    }
    Ok(())
}

fn result_size_null_out(kit: &Kit<'_>) -> Check {
    for (operation, ..) in states::every(kit, ValueKind::U64)? {
        let answer = kit.get_result_size(operation, Out::Null)?;
        let answered = NTSTATUS::from_u32(answer.status);
        check!(
            kit,
            C16,
            answer.status == INVALID,
            "get_result_size with a null out answers {answered}, and should answer STATUS_INVALID_PARAMETER"
        );
    }
    Ok(())
}
