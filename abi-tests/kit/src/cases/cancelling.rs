//! Cases of C10, cancel.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{script::Shape, value::ValueKind};

use super::steps::{END, OBSERVE, PARK, PENDING, STASH, TAKE, WAIT, WAIT_1, guarded, plain};
use crate::{
    case::{Case, case},
    check,
    finding::Check,
    kit::{Kit, Spawn, status},
    need::Need,
    rule::Rule,
    table::shape,
};

const CANCEL: &[Need] = &[Need::Cancel];
const TRY_FINALLY: &[Need] = &[Need::Cancel, Need::Shape(shape::TRY_FINALLY)];
const ON_CANCEL: &[Need] = &[Need::Cancel, Need::Shape(shape::ON_CANCEL)];

pub(super) const CASES: &[Case] = &[
    case(Rule::C10, "cancel_ends_an_idle_operation", idle).needs(CANCEL),
    case(Rule::C10, "cancel_is_a_request", is_a_request).needs(CANCEL),
    case(Rule::C10, "cancel_before_the_first_poll_polls_once", before_the_first_poll).needs(CANCEL),
    case(Rule::C10, "cancel_while_one_is_pending_does_nothing", while_pending).needs(CANCEL),
    case(Rule::C10, "cancel_after_the_end_does_nothing", after_the_end).needs(&[Need::Control]),
    case(Rule::C10, "a_body_sees_the_request", is_seen).needs(CANCEL),
    case(Rule::C10, "a_taken_request_is_gone", is_taken).needs(CANCEL),
    case(Rule::C10, "a_body_that_returns_a_value_completes", completes).needs(CANCEL),
    case(Rule::C10, "a_try_finally_unwinds", unwinds).needs(TRY_FINALLY),
    case(Rule::C10, "a_try_finally_cleans_up_without_a_request", cleans_up_anyway).needs(TRY_FINALLY),
    case(Rule::C10, "an_on_cancel_cleans_up_on_cancel_only", on_cancel).needs(ON_CANCEL),
    case(Rule::C10, "cancel_before_the_first_poll_cleans_up", before_the_first_poll_cleans_up)
        .needs(TRY_FINALLY),
    case(Rule::C10, "a_cleanup_sees_no_request", cleanup_sees_none).needs(TRY_FINALLY),
    case(Rule::C10, "a_cleanup_may_wait", cleanup_waits).needs(TRY_FINALLY),
    case(Rule::C10, "the_innermost_unwinds_first", nested).needs(&[Need::Cancel, Need::Shape(shape::NESTED)]),
    case(Rule::C10, "both_of_a_join_unwind", join).needs(&[Need::Cancel, Need::Shape(shape::JOIN)]),
    case(Rule::C10, "a_handle_cancels", by_handle).needs(&[Need::Handles]),
    case(Rule::C10, "all_are_cancelled", all).needs(&[Need::CancelAll]),
];

fn polls(kit: &Kit<'_>, operation: usize, polls: u32) -> Check {
    let found = kit.record(operation).polls;
    check!(
        kit,
        C10,
        found == polls,
        "the body was polled {found} time(s), and should have been polled {polls} time(s)"
    );
    Ok(())
}

fn canceled(kit: &Kit<'_>, operation: usize) -> Check {
    kit.expect_end(Rule::C10, operation, status::CANCELED, NTSTATUS::CANCELLED)
}

fn completed(kit: &Kit<'_>, operation: usize) -> Check {
    kit.expect_end(Rule::C10, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

/// Checks the ends of a body's guards, in their order.
fn guards(kit: &Kit<'_>, operation: usize, expected: [Option<bool>; 2]) -> Check {
    let found = kit.0.slot(operation, |slot| slot.guards);
    check!(
        kit,
        C10,
        found == expected,
        "the guards of the body ended as {found:?}, and should have as {expected:?}"
    );
    Ok(())
}

fn idle(kit: &Kit<'_>) -> Check {
    for kind in ValueKind::ALL {
        let operation = kit.spawn_to_cancel(kind, PENDING)?;
        kit.advance()?;
        kit.expect_status(Rule::C10, operation, status::STARTED)?;
        kit.request(operation)?;
        kit.advance()?;
        canceled(kit, operation)?;
        polls(kit, operation, 2)?;
    }
    Ok(())
}

fn is_a_request(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn_to_cancel(ValueKind::U8, PENDING)?;
    kit.advance()?;
    kit.request(operation)?;
    // No body has run since.
    kit.expect_status(Rule::C10, operation, status::STARTED)?;
    kit.advance()?;
    canceled(kit, operation)
}

fn before_the_first_poll(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn_to_cancel(ValueKind::U8, plain([OBSERVE, WAIT, END, END, END, END]))?;
    kit.request(operation)?;
    kit.advance()?;
    polls(kit, operation, 1)?;
    canceled(kit, operation)
}

fn while_pending(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn_to_cancel(ValueKind::U8, PENDING)?;
    kit.advance()?;
    for _ in 0..3 {
        kit.request(operation)?;
    }
    kit.advance()?;
    polls(kit, operation, 2)?;
    canceled(kit, operation)
}

fn after_the_end(kit: &Kit<'_>) -> Check {
    for (operation, status, stored) in super::states::every(kit, ValueKind::U64)? {
        if status != status::STARTED {
            kit.cancel(operation)?;
            kit.advance()?;
            kit.expect_end(Rule::C10, operation, status, stored)?;
        }
    }
    Ok(())
}

/// The log of a body. A body that sees a request has another log than one that does not.
fn log_of(
    kit: &Kit<'_>,
    script: ntcom_fuzz_model::script::Script,
    cancelled: bool,
) -> Result<u64, crate::finding::Finding> {
    let operation = kit.spawn_to_cancel(ValueKind::U8, script)?;
    if cancelled {
        kit.request(operation)?;
    }
    kit.advance()?;
    Ok(kit.record(operation).log)
}

/// The log after these entries.
fn after(entries: &[u64]) -> u64 {
    entries.iter().fold(0, |log, entry| ntcom_fuzz_model::event::mix(log, *entry))
}

fn is_seen(kit: &Kit<'_>) -> Check {
    let script = plain([OBSERVE, END, END, END, END, END]);
    check!(
        kit,
        C10,
        log_of(kit, script, false)? == after(&[0x20]),
        "a body sees a request that no client has made"
    );
    check!(
        kit,
        C10,
        log_of(kit, script, true)? == after(&[0x21]),
        "a body does not see the request for its cancellation"
    );
    Ok(())
}

fn is_taken(kit: &Kit<'_>) -> Check {
    let script = plain([TAKE, TAKE, OBSERVE, WAIT, END, END]);
    check!(
        kit,
        C10,
        log_of(kit, script, false)? == after(&[0x10, 0x10, 0x20]),
        "a body takes a cancel request, and no client has made one"
    );
    let log = log_of(kit, script, true)?;
    check!(
        kit,
        C10,
        log == after(&[0x11, 0x10, 0x20]),
        "a body should take a request once and then see none; what it saw was different"
    );
    // The body took the request and went on.
    let operation = kit.0.count() - 1;
    kit.expect_status(Rule::C10, operation, status::STARTED)?;
    // The operation before it waits at the same gate.
    for _ in 0..2 {
        kit.open(0)?;
        kit.advance()?;
    }
    completed(kit, operation)?;
    // A later request is a new one.
    let operation = kit.spawn_to_cancel(ValueKind::U8, script)?;
    kit.request(operation)?;
    kit.advance()?;
    kit.request(operation)?;
    kit.advance()?;
    canceled(kit, operation)
}

fn completes(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn_to_cancel(ValueKind::U64, plain([WAIT, END, END, END, END, END]))?;
    kit.advance()?;
    kit.request(operation)?;
    kit.open(0)?;
    kit.advance()?;
    completed(kit, operation)
}

fn unwinds(kit: &Kit<'_>) -> Check {
    let operation =
        kit.spawn_to_cancel(ValueKind::U64, guarded(Shape::TryFinally, [WAIT, END, END, OBSERVE, END, END]))?;
    kit.advance()?;
    kit.request(operation)?;
    kit.advance()?;
    guards(kit, operation, [Some(false), None])?;
    canceled(kit, operation)?;
    polls(kit, operation, 2)
}

fn cleans_up_anyway(kit: &Kit<'_>) -> Check {
    let operation =
        kit.spawn_to_cancel(ValueKind::U64, guarded(Shape::TryFinally, [WAIT, END, END, OBSERVE, END, END]))?;
    kit.advance()?;
    kit.open(0)?;
    kit.advance()?;
    guards(kit, operation, [Some(true), None])?;
    let ended = kit.0.slot(operation, |slot| slot.parts[1].ended);
    check!(kit, C10, ended, "the main of a try_finally has ended, and its cleanup has not run");
    completed(kit, operation)
}

fn on_cancel(kit: &Kit<'_>) -> Check {
    let script = guarded(Shape::OnCancel, [WAIT, END, END, OBSERVE, END, END]);
    let (kept, cancelled) =
        (kit.spawn(ValueKind::U64, script)?, kit.spawn_to_cancel(ValueKind::U64, script)?);
    kit.advance()?;
    kit.request(cancelled)?;
    kit.advance()?;
    guards(kit, cancelled, [Some(false), None])?;
    canceled(kit, cancelled)?;
    kit.open(0)?;
    kit.advance()?;
    guards(kit, kept, [Some(true), None])?;
    let begun = kit.0.slot(kept, |slot| slot.parts[1].begun);
    check!(kit, C10, !begun, "an on_cancel has run its cleanup though no client has cancelled it");
    completed(kit, kept)
}

fn before_the_first_poll_cleans_up(kit: &Kit<'_>) -> Check {
    let operation =
        kit.spawn_to_cancel(ValueKind::U8, guarded(Shape::TryFinally, [WAIT, END, END, END, END, END]))?;
    kit.request(operation)?;
    kit.advance()?;
    guards(kit, operation, [Some(false), None])?;
    canceled(kit, operation)?;
    polls(kit, operation, 1)
}

fn cleanup_sees_none(kit: &Kit<'_>) -> Check {
    let operation =
        kit.spawn_to_cancel(ValueKind::U8, guarded(Shape::TryFinally, [WAIT, END, END, OBSERVE, TAKE, END]))?;
    kit.advance()?;
    kit.request(operation)?;
    kit.advance()?;
    let log = kit.record(operation).log;
    check!(kit, C10, log == after(&[0x20, 0x10, 0x30]), "a cleanup has seen a request");
    canceled(kit, operation)
}

fn cleanup_waits(kit: &Kit<'_>) -> Check {
    let operation = kit
        .spawn_to_cancel(ValueKind::U8, guarded(Shape::TryFinally, [WAIT, END, END, WAIT_1, OBSERVE, END]))?;
    kit.advance()?;
    kit.request(operation)?;
    kit.advance()?;
    kit.expect_status(Rule::C10, operation, status::STARTED)?;
    // A second request lets the cleanup go on.
    kit.request(operation)?;
    kit.advance()?;
    kit.expect_status(Rule::C10, operation, status::STARTED)?;
    kit.open(1)?;
    kit.advance()?;
    guards(kit, operation, [Some(false), None])?;
    canceled(kit, operation)
}

fn nested(kit: &Kit<'_>) -> Check {
    // Inner main 0-1, inner cleanup 2, the rest of the outer main 3, outer cleanup 4-5.
    let script = guarded(Shape::Nested, [WAIT, END, OBSERVE, WAIT_1, OBSERVE, END]);
    let operation = kit.spawn_to_cancel(ValueKind::U64, script)?;
    kit.advance()?;
    kit.request(operation)?;
    kit.advance()?;
    guards(kit, operation, [Some(false), Some(false)])?;
    let log = kit.record(operation).log;
    check!(
        kit,
        C10,
        log == after(&[0x20, 0x50, 0x20, 0x60]),
        "the inner cleanup runs, then the outer one: it was different"
    );
    canceled(kit, operation)
}

fn join(kit: &Kit<'_>) -> Check {
    let script = guarded(Shape::Join, [WAIT, END, OBSERVE, WAIT_1, END, OBSERVE]);
    let operation = kit.spawn_to_cancel(ValueKind::U64, script)?;
    kit.advance()?;
    kit.request(operation)?;
    kit.advance()?;
    guards(kit, operation, [Some(false), Some(false)])?;
    canceled(kit, operation)?;
    // One of the two parts has ended already.
    let script = guarded(Shape::Join, [END, END, OBSERVE, WAIT, END, STASH]);
    let operation = kit.spawn_to_cancel(ValueKind::U64, script)?;
    kit.advance()?;
    kit.request(operation)?;
    kit.advance()?;
    guards(kit, operation, [Some(true), Some(false)])?;
    canceled(kit, operation)
}

fn by_handle(kit: &Kit<'_>) -> Check {
    let operation = kit.make(Spawn { cancellable: true, ..Spawn::new(ValueKind::U64, PENDING) })?;
    kit.handle_clone(operation)?;
    kit.advance()?;
    kit.handle_cancel(operation)?;
    kit.handle_drop(operation)?;
    kit.advance()?;
    canceled(kit, operation)?;
    kit.handle_cancel(operation)?;
    // A clone of the handle cancels too, after the first handle has gone.
    let operation = kit.make(Spawn { cancellable: true, ..Spawn::new(ValueKind::U64, PENDING) })?;
    kit.handle_clone(operation)?;
    kit.advance()?;
    kit.handle_drop(operation)?;
    kit.handle_cancel(operation)?;
    kit.advance()?;
    canceled(kit, operation)
}

fn all(kit: &Kit<'_>) -> Check {
    let idle = kit.spawn(ValueKind::U64, PENDING)?;
    kit.advance()?;
    let fresh = kit.spawn(ValueKind::U64, plain([PARK, PARK, END, END, END, END]))?;
    kit.cancel_all()?;
    kit.advance()?;
    canceled(kit, idle)?;
    canceled(kit, fresh)
}
