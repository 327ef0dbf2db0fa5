//! Cases of C14, completion handlers.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{
    ops::{Handler, Via},
    value::ValueKind,
};

use super::{
    states,
    steps::{PENDING, READY},
};
use crate::{
    case::{Case, case},
    check,
    finding::Check,
    freed::written_after,
    kit::{Kit, status},
    need::Need,
    rule::Rule,
};

const CONTROL: &[Need] = &[Need::Control];

pub(super) const CASES: &[Case] = &[
    case(Rule::C14, "a_null_handler", null_handler).needs(CONTROL),
    case(Rule::C14, "a_second_handler", second_handler).needs(CONTROL),
    case(Rule::C14, "a_handler_runs_once_when_the_operation_ends", runs_once).needs(CONTROL),
    case(Rule::C14, "a_late_handler_runs_at_once", late).needs(CONTROL),
    case(Rule::C14, "a_handler_is_told_the_status", told).needs(CONTROL),
    case(Rule::C14, "a_handler_may_release_the_last_reference", releases_the_last).needs(CONTROL),
    case(Rule::C14, "a_late_handler_may_release_its_reference", late_releases).needs(CONTROL),
    case(Rule::C14, "an_operation_is_not_used_after_a_handler_has_released_it", not_used_afterwards)
        .needs(CONTROL),
    case(Rule::C14, "a_handler_runs_though_all_clients_have_gone", without_clients).needs(CONTROL),
];

fn expect(kit: &Kit<'_>, answer: NTSTATUS, expected: NTSTATUS, what: &str) -> Check {
    check!(
        kit,
        C14,
        answer == expected,
        "set_completed {what} answers {answer}, and should answer {expected}"
    );
    Ok(())
}

fn handled(kit: &Kit<'_>, operation: usize, times: u32, when: &str) -> Check {
    let found = kit.record(operation).handled;
    check!(
        kit,
        C14,
        found == times,
        "{when} the completion handler has run {found} time(s), and should have run {times} time(s)"
    );
    Ok(())
}

fn null_handler(kit: &Kit<'_>) -> Check {
    for (operation, ..) in states::every(kit, ValueKind::U64)? {
        let answer = kit.set_completed(operation, Handler::Null)?;
        expect(kit, answer, NTSTATUS::INVALID_PARAMETER, "with a null handler")?;
        // A null handler was refused, so there is room for one.
        expect(
            kit,
            kit.set_completed(operation, Handler::Records)?,
            NTSTATUS::SUCCESS,
            "after a null handler",
        )?;
    }
    Ok(())
}

fn second_handler(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, ValueKind::U64)? {
        let times = u32::from(status != status::STARTED);
        expect(
            kit,
            kit.set_completed(operation, Handler::Records)?,
            NTSTATUS::SUCCESS,
            "for the first time",
        )?;
        let answer = kit.set_completed(operation, Handler::Records)?;
        expect(kit, answer, NTSTATUS::INVALID_DEVICE_STATE, "for the second time")?;
        handled(kit, operation, times, "after a second set_completed")?;
    }
    Ok(())
}

fn runs_once(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, PENDING)?;
    expect(
        kit,
        kit.set_completed(operation, Handler::Records)?,
        NTSTATUS::SUCCESS,
        "of a started operation",
    )?;
    kit.advance()?;
    handled(kit, operation, 0, "before the end")?;
    kit.open(0)?;
    kit.advance()?;
    handled(kit, operation, 1, "after the end")?;
    kit.cancel(operation)?;
    kit.advance()?;
    handled(kit, operation, 1, "long after the end")
}

fn late(kit: &Kit<'_>) -> Check {
    for (operation, status, _) in states::every(kit, ValueKind::U64)? {
        if status != status::STARTED {
            expect(
                kit,
                kit.set_completed(operation, Handler::Records)?,
                NTSTATUS::SUCCESS,
                "of an operation that has ended",
            )?;
            handled(kit, operation, 1, "set late, inside of set_completed,")?;
        }
    }
    Ok(())
}

fn told(kit: &Kit<'_>) -> Check {
    let (completes, cancels) = (kit.spawn(ValueKind::U64, READY)?, kit.spawn(ValueKind::U64, PENDING)?);
    let fails = kit.spawn_error(ValueKind::U64, states::FAILURE)?;
    for operation in [completes, cancels, fails] {
        kit.set_completed(operation, Handler::Records)?;
    }
    kit.cancel(cancels)?;
    kit.advance()?;
    for (operation, status) in [(completes, 1), (cancels, 2), (fails, 3)] {
        let told = kit.record(operation).told;
        check!(
            kit,
            C14,
            told == status,
            "a completion handler was told {told}, and should have been told {status}"
        );
    }
    Ok(())
}

fn releases_the_last(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, super::steps::STASHED)?;
    kit.set_completed(operation, Handler::Releases)?;
    kit.release(operation, Via::Operation)?;
    kit.advance()?;
    kit.wake(operation, false)?;
    kit.advance()?;
    handled(kit, operation, 1, "after the end")?;
    if let Some(live) = kit.live() {
        check!(kit, C14, live == 0, "the handler has released the last reference, and the memory is left");
    }
    Ok(())
}

fn late_releases(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, READY)?;
    kit.advance()?;
    kit.set_completed(operation, Handler::Releases)?;
    handled(kit, operation, 1, "set late, inside of set_completed,")?;
    kit.expect_end(Rule::C14, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn without_clients(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, PENDING)?;
    kit.set_completed(operation, Handler::Records)?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.open(0)?;
    kit.advance()?;
    handled(kit, operation, 1, "after the end, with no client left,")
}

/// A handler, set late or in time, gives up the last reference and makes another operation. The
/// library must not touch the first one afterwards.
fn not_used_afterwards(kit: &Kit<'_>) -> Check {
    let (check, written) = written_after(|| release_and_replace(kit));
    check!(
        kit,
        C14,
        written == 0,
        "memory is written after it has been freed, where a completion handler has released the last reference: \
         {written} block(s), and should be 0"
    );
    check
}

fn release_and_replace(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        for late in [true, false] {
            let first = kit.spawn(kind, READY)?;
            if late {
                kit.advance()?;
            }
            let answer = kit.set_replacing(first)?;
            expect(kit, answer, NTSTATUS::SUCCESS, "with a handler that releases the last reference")?;
            if !late {
                kit.advance()?;
            }
            handled(kit, first, 1, "that releases the last reference,")?;
            let second = first + 1;
            if kit.0.count() != second + 1 {
                return Ok(());
            }
            // The executor may have run the second operation by now.
            kit.advance()?;
            handled(kit, second, 0, "of an operation made by another's handler, before its end,")?;
            kit.expect_status(Rule::C14, second, status::STARTED)?;
            kit.wake(second, false)?;
            kit.advance()?;
            kit.expect_end(Rule::C14, second, status::COMPLETED, NTSTATUS::SUCCESS)?;
            handled(kit, second, 1, "of an operation made by another's handler, after its end,")?;
            kit.release(second, Via::Operation)?;
            if let Some(live) = kit.live() {
                check!(
                    kit,
                    C14,
                    live == 0,
                    "both operations have been released, and there is memory for {live}"
                );
            }
        }
    }
    Ok(())
}
