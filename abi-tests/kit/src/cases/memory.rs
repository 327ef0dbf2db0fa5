//! Cases of C11, C12, C13 and C21. They cover operations that cannot be started, bodies that raise,
//! IRQL and allocations.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{
    answer::{Answer, OutValue},
    ops::{Handler, Iid, Out, Via},
    value::ValueKind,
};

use super::{
    states,
    steps::{PENDING, READY, STASHED},
};
use crate::{
    case::{Case, case},
    check,
    finding::Check,
    kit::{Kit, Spawn, status},
    need::Need,
    rule::Rule,
};

pub(super) const CASES: &[Case] = &[
    case(Rule::C11, "spawning_never_gives_null", never_null),
    case(Rule::C11, "without_memory_there_is_an_operation", without_memory).needs(&[Need::NoMemory]),
    case(Rule::C11, "the_constant_operation_keeps_no_count", constant_counts).needs(&[Need::NoMemory]),
    case(Rule::C11, "the_constant_operation_runs_every_handler", constant_handlers)
        .needs(&[Need::Control, Need::NoMemory]),
    case(Rule::C11, "a_failed_one_without_memory_says_so", failed_without_memory).needs(&[Need::NoMemory]),
    case(Rule::C11, "memory_comes_back", memory_comes_back).needs(&[Need::NoMemory]),
    case(Rule::C12, "a_body_that_raises_fails_fast", raises).needs(&[Need::Raises]).fails_fast(),
    case(Rule::C13, "no_slot_allocates", no_slot_allocates).needs(&[Need::Allocations]),
    case(Rule::C13, "no_waker_allocates", no_waker_allocates).needs(&[Need::Allocations]),
    case(Rule::C13, "bodies_run_and_are_dropped_at_one_level", one_level).needs(&[Need::Irql]),
    case(Rule::C21, "without_an_executor", without_executor).needs(&[Need::NoExecutor]),
];

fn never_null(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        // `spawn` and `spawn_error` check for null.
        kit.spawn(kind, READY)?;
        kit.spawn_error(kind, NTSTATUS::SUCCESS)?;
    }
    Ok(())
}

const NO_MEMORY: NTSTATUS = NTSTATUS::INSUFFICIENT_RESOURCES;

fn constant(kit: &Kit<'_>, kind: ValueKind) -> Result<usize, crate::finding::Finding> {
    kit.fail_next_allocation()?;
    let operation = kit.spawn(kind, STASHED)?;
    let record = kit.record(operation);
    check!(kit, C11, record.polls == 0, "an operation that there was no memory for has run its body");
    check!(
        kit,
        C11,
        record.drops == 1,
        "a body that there was no memory for has not been dropped by its spawn"
    );
    Ok(operation)
}

fn without_memory(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        let operation = constant(kit, kind)?;
        for _ in 0..2 {
            kit.expect_end(Rule::C11, operation, status::ERROR, NO_MEMORY)?;
            if kit.has_control() {
                kit.cancel(operation)?;
            }
            kit.advance()?;
        }
        if !kit.has_control() {
            continue;
        }
        let wait = kit.wait(operation, Some(0))?;
        check!(
            kit,
            C11,
            wait == NTSTATUS::SUCCESS,
            "wait for an operation without memory answers {wait}, and should answer STATUS_SUCCESS"
        );
        let error = kit.get_error(operation, Out::Given)?;
        check!(
            kit,
            C11,
            error.out == OutValue::Number(NO_MEMORY.to_u32()),
            "its get_error writes {:?}, and should write STATUS_INSUFFICIENT_RESOURCES",
            error.out
        );
        let size = kit.get_result_size(operation, Out::Given)?;
        let expected = OutValue::Number(kind.size() as u32);
        check!(
            kit,
            C11,
            size.out == expected,
            "its get_result_size writes {:?}, for {kind:?}, and should write {expected:?}",
            size.out
        );
    }
    Ok(())
}

fn constant_counts(kit: &Kit<'_>) -> Check {
    let operation = constant(kit, ValueKind::U64)?;
    for via in kit.vias().iter().copied() {
        check!(kit, C11, !kit.add_ref(operation, via)?, "AddRef of an operation without memory answers 0");
        check!(kit, C11, !kit.release(operation, via)?, "Release of an operation without memory answers 0");
        for (iid, expected, out) in [
            (Iid::Unknown, NTSTATUS::SUCCESS, OutValue::Interface(Via::Operation)),
            (Iid::Operation, NTSTATUS::SUCCESS, OutValue::Interface(Via::Operation)),
            (Iid::Control, NTSTATUS::SUCCESS, OutValue::Interface(Via::Control)),
            (Iid::Unsupported, NTSTATUS::NOINTERFACE, OutValue::Null),
        ] {
            if iid == Iid::Control && !kit.has_control() {
                continue;
            }
            let answer = kit.query(operation, via, iid, Out::Given)?;
            let answered = NTSTATUS::from_u32(answer.status);
            check!(
                kit,
                C11,
                answered == expected,
                "its QueryInterface for {iid:?} answers {answered}, and should answer {expected}"
            );
            check!(
                kit,
                C11,
                answer.out == out,
                "its QueryInterface, through {via:?}, for {iid:?} leaves {:?}, and should leave {out:?}",
                answer.out
            );
        }
    }
    // The last Release has no effect.
    check!(
        kit,
        C11,
        !kit.release(operation, Via::Operation)?,
        "the Release of an operation without memory answers 0"
    );
    Ok(())
}

fn constant_handlers(kit: &Kit<'_>) -> Check {
    let operation = constant(kit, ValueKind::U64)?;
    for times in 1..=3 {
        let answer = kit.set_completed(operation, Handler::Records)?;
        check!(
            kit,
            C11,
            answer == NTSTATUS::SUCCESS,
            "set_completed of an operation without memory answers {answer}"
        );
        let record = kit.record(operation);
        check!(kit, C11, record.handled == times, "its set_completed has not run the handler at once");
        check!(kit, C11, record.told == 3, "its handler was told status {}, not Error", record.told);
    }
    let answer = kit.set_completed(operation, Handler::Null)?;
    check!(
        kit,
        C14,
        answer == NTSTATUS::INVALID_PARAMETER,
        "set_completed with a null handler answers {answer}"
    );
    Ok(())
}

fn failed_without_memory(kit: &Kit<'_>) -> Check {
    kit.fail_next_allocation()?;
    let operation = kit.spawn_error(ValueKind::U64, states::FAILURE)?;
    kit.expect_status(Rule::C11, operation, status::ERROR)?;
    let Answer { status, out } = kit.get_result(operation, Out::Given)?;
    let answered = NTSTATUS::from_u32(status);
    // An operation that needs no memory has its own reason.
    check!(
        kit,
        C11,
        answered == NO_MEMORY || answered == states::FAILURE,
        "its get_result answers {answered}"
    );
    check!(
        kit,
        C5,
        out == OutValue::Bytes(ntcom_fuzz_model::value::Bytes::Zeroed),
        "its get_result leaves {out:?}"
    );
    Ok(())
}

fn memory_comes_back(kit: &Kit<'_>) -> Check {
    constant(kit, ValueKind::U64)?;
    let operation = kit.spawn(ValueKind::U64, READY)?;
    kit.advance()?;
    kit.expect_end(Rule::C11, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn raises(kit: &Kit<'_>) -> Check {
    let operation = kit.make(Spawn { raises: true, ..Spawn::new(ValueKind::U64, READY) })?;
    kit.advance()?;
    kit.status(operation)?;
    Ok(())
}

fn no_slot_allocates(kit: &Kit<'_>) -> Check {
    // Each call checks its own allocations.
    for (operation, ..) in states::every(kit, ValueKind::Page)? {
        for via in kit.vias().iter().copied() {
            kit.query(operation, via, Iid::Unknown, Out::Given)?;
            kit.add_ref(operation, via)?;
            kit.release(operation, via)?;
        }
        kit.get_status(operation, Out::Given)?;
        kit.get_result(operation, Out::Given)?;
        if !kit.has_control() {
            continue;
        }
        kit.get_error(operation, Out::Given)?;
        kit.get_result_size(operation, Out::Given)?;
        kit.wait(operation, Some(0))?;
        kit.set_completed(operation, Handler::Records)?;
        kit.cancel(operation)?;
    }
    Ok(())
}

fn no_waker_allocates(kit: &Kit<'_>) -> Check {
    // Each call checks its own allocations.
    let operation = kit.spawn(ValueKind::U64, STASHED)?;
    kit.advance()?;
    kit.clone_waker(operation)?;
    kit.wake(operation, true)?;
    kit.drop_waker(operation)?;
    kit.wake(operation, false)?;
    kit.advance()?;
    kit.expect_end(Rule::C13, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn one_level(kit: &Kit<'_>) -> Check {
    // Each poll and each drop checks its own level.
    states::every(kit, ValueKind::U64)?;
    let pending = kit.spawn(ValueKind::U8, PENDING)?;
    kit.advance()?;
    kit.release(pending, Via::Operation)?;
    kit.advance()
}

fn without_executor(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        let operation = kit.make(Spawn { without_executor: true, ..Spawn::new(kind, READY) })?;
        kit.expect_end(Rule::C21, operation, status::ERROR, NTSTATUS::NOT_SUPPORTED)?;
        check!(kit, C21, kit.record(operation).polls == 0, "without an executor a body has run");
    }
    Ok(())
}
