//! C6, C7, C8: how operations end.

use ntcom::NTSTATUS;
use ntcom_fuzz::{
    ops::{Handler, STATUSES},
    script::Shape,
    value::Kind,
};

use super::{
    Case, case, states,
    steps::{END, NOTIFY, PARK, READY, STASH, WAIT, YIELD, guarded, plain},
};
use crate::{
    ensure,
    finding::Check,
    kit::{Kit, status},
    need::Need,
    rule::Rule,
    table::shape,
};

pub(super) const CASES: &[Case] = &[
    case(Rule::C6, "nothing_changes_an_end", nothing_changes_an_end),
    case(Rule::C6, "a_wake_after_the_end", wake_after_the_end),
    case(Rule::C7, "failures_are_stored", failures_are_stored),
    case(Rule::C7, "canceled_stores_cancelled", canceled_stores_cancelled),
    case(Rule::C8, "a_body_is_dropped_once_before_its_end_is_visible", dropped_before_visible),
    case(Rule::C8, "a_body_is_polled_once_a_wake", polled_once_a_wake),
    case(Rule::C8, "a_body_that_has_ended_is_not_polled", not_polled_after_ready),
    case(Rule::C8, "cleanups_have_ended_before_the_end_is_visible", cleanups_before_visible)
        .needs(&[Need::Shape(shape::TRY_FINALLY)]),
];

fn nothing_changes_an_end(kit: &Kit<'_>) -> Check {
    for (operation, status, stored) in states::every(kit, Kind::U64)? {
        if status == status::STARTED {
            continue;
        }
        for _ in 0..2 {
            kit.cancel(operation)?;
            kit.advance()?;
            kit.expect_end(Rule::C6, operation, status, stored)?;
        }
        kit.set_completed(operation, Handler::Records)?;
        kit.expect_end(Rule::C6, operation, status, stored)?;
    }
    Ok(())
}

fn wake_after_the_end(kit: &Kit<'_>) -> Check {
    let completed = kit.spawn(Kind::U64, plain([STASH, STASH, END, END, END, END]))?;
    let canceled = kit.spawn(Kind::U64, plain([STASH, STASH, WAIT, END, END, END]))?;
    kit.advance()?;
    kit.cancel(canceled)?;
    kit.advance()?;
    for (operation, status, stored) in
        [(completed, status::COMPLETED, NTSTATUS::SUCCESS), (canceled, status::CANCELED, NTSTATUS::CANCELLED)]
    {
        kit.expect_end(Rule::C6, operation, status, stored)?;
        kit.wake(operation, true)?;
        kit.wake(operation, false)?;
        kit.wake(operation, false)?;
        kit.advance()?;
        kit.expect_end(Rule::C6, operation, status, stored)?;
        let polls = kit.record(operation).polls;
        ensure!(C8, polls == 1 + u32::from(operation == canceled), "a body has been polled {polls} times");
    }
    Ok(())
}

fn failures_are_stored(kit: &Kit<'_>) -> Check {
    for given in STATUSES {
        for kind in [Kind::Unit, Kind::U64, Kind::Page] {
            let operation = kit.spawn_error(kind, NTSTATUS::from_u32(given))?;
            // Success and informational codes are no failures.
            let stored = if given >> 31 == 0 { NTSTATUS::UNSUCCESSFUL.to_u32() } else { given };
            kit.expect_end(Rule::C7, operation, status::ERROR, NTSTATUS::from_u32(stored))?;
        }
    }
    Ok(())
}

fn canceled_stores_cancelled(kit: &Kit<'_>) -> Check {
    let [_, _, (canceled, ..), _] = states::every(kit, Kind::U8)?;
    kit.expect_end(Rule::C7, canceled, status::CANCELED, NTSTATUS::CANCELLED)
}

fn dropped_before_visible(kit: &Kit<'_>) -> Check {
    for kind in [Kind::Unit, Kind::U64, Kind::Aligned] {
        let completed = kit.spawn(kind, READY)?;
        let canceled = kit.spawn(kind, super::steps::PENDING)?;
        for operation in [completed, canceled] {
            // It looks, when it is told, whether the body has been dropped.
            kit.set_completed(operation, Handler::Records)?;
        }
        kit.advance()?;
        kit.cancel(canceled)?;
        kit.advance()?;
        for operation in [completed, canceled] {
            let drops = kit.record(operation).drops;
            ensure!(
                C8,
                drops == 1,
                "operation {operation} has ended, and its body has been dropped {drops} times"
            );
        }
    }
    Ok(())
}

fn polled_once_a_wake(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(Kind::U64, plain([STASH, STASH, PARK, PARK, YIELD, NOTIFY]))?;
    let expect = |polls| {
        let found = kit.record(operation).polls;
        ensure!(
            C8,
            found == polls,
            "the body has been polled {found} times, and should have been {polls} times"
        );
        Ok(())
    };
    expect(0)?;
    kit.advance()?;
    expect(1)?;
    kit.advance()?;
    expect(1)?;
    // Two wakes before a poll are one.
    kit.wake(operation, true)?;
    kit.wake(operation, true)?;
    kit.advance()?;
    expect(2)?;
    // Then it yields, ends, and its own last wake is for nobody.
    kit.wake(operation, false)?;
    kit.advance()?;
    expect(4)?;
    kit.expect_status(Rule::C8, operation, status::COMPLETED)
}

fn not_polled_after_ready(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(Kind::U64, plain([STASH, NOTIFY, NOTIFY, END, END, END]))?;
    kit.advance()?;
    kit.wake(operation, true)?;
    kit.advance()?;
    kit.cancel(operation)?;
    kit.advance()?;
    let polls = kit.record(operation).polls;
    ensure!(C8, polls == 1, "the body has been polled {polls} times, though it ended in its first poll");
    kit.expect_end(Rule::C8, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn cleanups_before_visible(kit: &Kit<'_>) -> Check {
    // Its cleanup takes two polls.
    let operation = kit.spawn(Kind::U8, guarded(Shape::TryFinally, [WAIT, END, END, STASH, PARK, PARK]))?;
    kit.advance()?;
    kit.cancel(operation)?;
    kit.advance()?;
    kit.wake(operation, true)?;
    kit.advance()?;
    let part = kit.0.slot(operation, |slot| slot.parts[1].ended);
    let ended = kit.status(operation)? != status::STARTED;
    ensure!(C8, !ended || part, "operation {operation} has ended, and its cleanup has not");
    kit.expect_end(Rule::C8, operation, status::CANCELED, NTSTATUS::CANCELLED)
}
