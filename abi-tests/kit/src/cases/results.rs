//! C4, C5, C15, C16: what an operation tells.

use ntcom::NTSTATUS;
use ntcom_fuzz::{
    call::{Answer, OutValue},
    ops::Out,
    value::{Bytes, Kind},
};

use super::{Case, case, states, steps::READY};
use crate::{ensure, finding::Check, kit::Kit, kit::status, need::Need, rule::Rule};

pub(super) const CASES: &[Case] = &[
    case(Rule::C4, "status_in_each_state", status_in_each_state),
    case(Rule::C4, "status_null_out", status_null_out),
    case(Rule::C4, "status_needs_no_alignment", status_no_alignment),
    case(Rule::C5, "result_while_started", result_while_started),
    case(Rule::C5, "result_when_completed", result_when_completed),
    case(Rule::C5, "result_when_canceled_or_failed", result_without_value),
    case(Rule::C5, "result_null_out", result_null_out),
    case(Rule::C15, "wait_without_time", wait_without_time),
    case(Rule::C15, "wait_with_time", wait_with_time),
    case(Rule::C15, "wait_above_passive_level", wait_above_passive_level).needs(&[Need::Irql]),
    case(Rule::C16, "error_in_each_state", error_in_each_state),
    case(Rule::C16, "error_null_out", error_null_out),
    case(Rule::C16, "result_size", result_size),
    case(Rule::C16, "result_size_null_out", result_size_null_out),
];

const INVALID: u32 = NTSTATUS::INVALID_PARAMETER.to_u32();
const OUTS: [Out; 2] = [Out::Given, Out::Misaligned];

fn status_in_each_state(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, Kind::U64)? {
        let answer = kit.get_status(operation, Out::Given)?;
        ensure!(C4, answer.status == 0, "get_status answers {}", NTSTATUS::from_u32(answer.status));
        ensure!(
            C4,
            answer.out == OutValue::Number(status),
            "get_status writes {:?}, and should write {status}",
            answer.out
        );
    }
    Ok(())
}

fn status_null_out(kit: &Kit<'_>) -> Check {
    for (operation, ..) in states::every(kit, Kind::U64)? {
        let answer = kit.get_status(operation, Out::Null)?;
        ensure!(
            C4,
            answer.status == INVALID,
            "get_status with a null out answers {}",
            NTSTATUS::from_u32(answer.status)
        );
    }
    Ok(())
}

fn status_no_alignment(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, Kind::U64)? {
        let answer = kit.get_status(operation, Out::Misaligned)?;
        ensure!(
            C4,
            answer == Answer { status: 0, out: OutValue::Number(status) },
            "get_status with a misaligned out answers {} and writes {:?}",
            NTSTATUS::from_u32(answer.status),
            answer.out
        );
    }
    Ok(())
}

/// What get_result should answer and leave, for a kind, twice and at both kinds of addresses.
fn expect(kit: &Kit<'_>, kind: Kind, operation: usize, stored: NTSTATUS) -> Check {
    let bytes = if stored == NTSTATUS::SUCCESS { Bytes::Value } else { Bytes::Zeroed };
    for out in OUTS {
        for _ in 0..2 {
            let answer = kit.get_result(operation, out)?;
            let answered = NTSTATUS::from_u32(answer.status);
            ensure!(
                C5,
                answered == stored,
                "get_result of {kind:?} answers {answered}, and should answer {stored}"
            );
            ensure!(
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
    for kind in Kind::ALL {
        let [(operation, ..), ..] = states::every(kit, kind)?;
        expect(kit, kind, operation, NTSTATUS::PENDING)?;
        // And one whose body has not run at all.
        let fresh = kit.spawn(kind, READY)?;
        expect(kit, kind, fresh, NTSTATUS::PENDING)?;
    }
    Ok(())
}

fn result_when_completed(kit: &Kit<'_>) -> Check {
    for kind in Kind::ALL {
        let operation = kit.spawn(kind, READY)?;
        kit.advance()?;
        kit.expect_status(Rule::C5, operation, status::COMPLETED)?;
        expect(kit, kind, operation, NTSTATUS::SUCCESS)?;
    }
    Ok(())
}

fn result_without_value(kit: &Kit<'_>) -> Check {
    for kind in Kind::ALL {
        let [_, _, (canceled, ..), (failed, ..)] = states::every(kit, kind)?;
        expect(kit, kind, canceled, NTSTATUS::CANCELLED)?;
        expect(kit, kind, failed, states::FAILURE)?;
    }
    Ok(())
}

fn result_null_out(kit: &Kit<'_>) -> Check {
    for kind in Kind::ALL {
        for (operation, ..) in states::every(kit, kind)? {
            let answer = kit.get_result(operation, Out::Null)?;
            ensure!(
                C5,
                answer.status == INVALID,
                "get_result of {kind:?} with a null out answers {}",
                NTSTATUS::from_u32(answer.status)
            );
        }
    }
    Ok(())
}

fn wait_without_time(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, Kind::U64)? {
        let expected = if status == status::STARTED { NTSTATUS::TIMEOUT } else { NTSTATUS::SUCCESS };
        let answer = kit.wait(operation, Some(0))?;
        ensure!(C15, answer == expected, "wait without time answers {answer}, and should answer {expected}");
    }
    Ok(())
}

/// A library that cannot wait says so; one that can answers as without time.
fn wait_with_time(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, Kind::U64)? {
        let ended = status != status::STARTED;
        for timeout in [Some(-1), None] {
            if !ended && timeout.is_none() {
                continue;
            }
            let answer = kit.wait(operation, timeout)?;
            let expected = if ended { NTSTATUS::SUCCESS } else { NTSTATUS::TIMEOUT };
            ensure!(
                C15,
                answer == expected || answer == NTSTATUS::NOT_SUPPORTED,
                "wait with timeout {timeout:?} answers {answer}, and should answer {expected} or STATUS_NOT_SUPPORTED"
            );
        }
    }
    Ok(())
}

fn wait_above_passive_level(kit: &Kit<'_>) -> Check {
    let [(started, ..), ..] = states::every(kit, Kind::U64)?;
    // SAFETY: the header: a question that may be asked at any time.
    if kit.table().irql.is_none_or(|irql| unsafe { irql() } == 0) {
        return Ok(());
    }
    for timeout in [Some(-1), Some(1), None] {
        let answer = kit.wait(started, timeout)?;
        ensure!(
            C15,
            answer == NTSTATUS::NOT_SUPPORTED,
            "above PASSIVE_LEVEL wait with timeout {timeout:?} answers {answer}"
        );
    }
    Ok(())
}

fn error_in_each_state(kit: &Kit<'_>) -> Check {
    for out in OUTS {
        for (operation, _, stored) in states::every(kit, Kind::U64)? {
            let answer = kit.get_error(operation, out)?;
            ensure!(C16, answer.status == 0, "get_error answers {}", NTSTATUS::from_u32(answer.status));
            ensure!(
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
    for (operation, ..) in states::every(kit, Kind::U64)? {
        let answer = kit.get_error(operation, Out::Null)?;
        ensure!(
            C16,
            answer.status == INVALID,
            "get_error with a null out answers {}",
            NTSTATUS::from_u32(answer.status)
        );
    }
    Ok(())
}

fn result_size(kit: &Kit<'_>) -> Check {
    for kind in Kind::ALL {
        for (operation, ..) in states::every(kit, kind)? {
            for out in OUTS {
                let answer = kit.get_result_size(operation, out)?;
                ensure!(
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
    for (operation, ..) in states::every(kit, Kind::U64)? {
        let answer = kit.get_result_size(operation, Out::Null)?;
        let answered = NTSTATUS::from_u32(answer.status);
        ensure!(C16, answer.status == INVALID, "get_result_size with a null out answers {answered}");
    }
    Ok(())
}
