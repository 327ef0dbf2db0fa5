//! Cases of C9, releasing without cancelling.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{ops::Via, script::Shape, value::ValueKind};

use super::steps::{END, KEEP, OBSERVE, PARK, PENDING, STASHED, WAIT, guarded, plain};
use crate::{
    case::{Case, case},
    check,
    finding::Check,
    kit::{Kit, Spawn, status},
    need::Need,
    rule::Rule,
    table::shape,
};

pub(super) const CASES: &[Case] = &[
    case(Rule::C9, "released_operations_go_on", go_on),
    case(Rule::C9, "a_reference_that_is_left_finds_it_completed", left_reference),
    case(Rule::C9, "abandoned_operations_are_cancelled", abandoned),
    case(Rule::C9, "abandoned_operations_clean_up", abandoned_cleans_up)
        .needs(&[Need::Shape(shape::TRY_FINALLY)]),
    case(Rule::C9, "abandoned_twice_is_dropped_unpolled", abandoned_twice),
    case(Rule::C9, "dropping_a_waker_runs_nothing", waker_drop_runs_nothing),
    case(Rule::C9, "a_body_keeps_itself_alive", keeps_itself),
    case(Rule::C9, "dropping_a_handle_detaches_it", handle_detaches).needs(&[Need::Handles]),
    case(Rule::C9, "a_handle_outlives_the_end", handle_outlives).needs(&[Need::Handles]),
];

fn go_on(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, STASHED)?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.advance()?;
    let drops = kit.record(operation).drops;
    check!(kit, C9, drops == 0, "the last client's Release has ended an operation that can still be woken");
    kit.wake(operation, false)?;
    kit.advance()?;
    let slot = kit.0.slot(operation, |slot| slot.clone());
    check!(kit, C9, slot.finished, "an operation without clients did not go on when it was woken");
    check!(
        kit,
        C9,
        slot.record.drops == 1,
        "an operation without clients ended, and its body was not dropped"
    );
    Ok(())
}

fn left_reference(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, STASHED)?;
    kit.add_ref(operation, Via::Operation)?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.advance()?;
    kit.wake(operation, false)?;
    kit.advance()?;
    kit.expect_end(Rule::C9, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn abandoned(kit: &Kit<'_>) -> Check {
    // Only its client could still wake it, and the client leaves.
    let operation = kit.spawn(ValueKind::U64, plain([PARK, OBSERVE, END, END, END, END]))?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.advance()?;
    let record = kit.record(operation);
    check!(kit, C9, record.drops == 1, "nothing is left to wake it, and its body has not been dropped");
    check!(
        kit,
        C9,
        record.polls == 2,
        "nothing is left to wake it: polled {} time(s), and should have been polled 2 times, the second time with a request",
        record.polls
    );
    Ok(())
}

fn abandoned_cleans_up(kit: &Kit<'_>) -> Check {
    let operation =
        kit.spawn(ValueKind::U64, guarded(Shape::TryFinally, [PARK, PARK, END, OBSERVE, END, END]))?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.advance()?;
    let ended = kit.0.slot(operation, |slot| slot.parts[1].ended);
    check!(kit, C9, ended, "nothing was left to wake it, and its cleanup has not run");
    Ok(())
}

fn abandoned_twice(kit: &Kit<'_>) -> Check {
    // The body takes the request and goes on, and again no holder is left.
    let operation = kit.spawn(ValueKind::U64, plain([PARK, super::steps::TAKE, PARK, OBSERVE, END, END]))?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.advance()?;
    let record = kit.record(operation);
    check!(kit, C9, record.drops == 1, "it was abandoned a second time, and its body has not been dropped");
    check!(
        kit,
        C9,
        record.polls == 2,
        "abandoned a second time its body is dropped unpolled: polled {} time(s), and should have been polled 2 times",
        record.polls
    );
    Ok(())
}

fn waker_drop_runs_nothing(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, STASHED)?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.clone_waker(operation)?;
    kit.drop_waker(operation)?;
    kit.advance()?;
    check!(kit, C9, kit.record(operation).drops == 0, "it can still be woken, and its body has been dropped");
    // The body itself checks where it is run and dropped.
    kit.drop_waker(operation)?;
    kit.advance()?;
    check!(
        kit,
        C9,
        kit.record(operation).drops == 1,
        "no client or waker is left, and its body has not been dropped"
    );
    Ok(())
}

fn keeps_itself(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, plain([KEEP, WAIT, END, END, END, END]))?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.advance()?;
    check!(
        kit,
        C9,
        kit.record(operation).drops == 0,
        "a body that has its own waker has been dropped before it was woken"
    );
    kit.open(0)?;
    kit.advance()?;
    check!(
        kit,
        C9,
        kit.record(operation).drops == 1,
        "a body that has its own waker was woken, ended, and was not dropped"
    );
    Ok(())
}

fn handle_detaches(kit: &Kit<'_>) -> Check {
    let operation = kit.make(Spawn { cancellable: true, ..Spawn::new(ValueKind::U64, PENDING) })?;
    kit.handle_clone(operation)?;
    kit.handle_drop(operation)?;
    kit.handle_drop(operation)?;
    kit.advance()?;
    kit.expect_status(Rule::C9, operation, status::STARTED)?;
    kit.open(0)?;
    kit.advance()?;
    kit.expect_end(Rule::C9, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn handle_outlives(kit: &Kit<'_>) -> Check {
    let operation =
        kit.make(Spawn { cancellable: true, ..Spawn::new(ValueKind::U64, super::steps::READY) })?;
    kit.advance()?;
    kit.release(operation, Via::Operation)?;
    kit.handle_cancel(operation)?;
    kit.advance()?;
    kit.handle_drop(operation)?;
    if let Some(live) = kit.live() {
        check!(
            kit,
            C9,
            live == 0,
            "the last handle of an operation that has ended is dropped, and its memory is left"
        );
    }
    Ok(())
}
