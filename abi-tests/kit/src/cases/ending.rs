//! Cases of C6, C7 and C8, the ends of operations.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{ops::Handler, script::Shape, status::STATUSES, value::ValueKind};

use super::{
    states,
    steps::{END, NOTIFY, PARK, READY, STASH, WAIT, YIELD, guarded, plain},
};
use crate::{
    case::{Case, case},
    check,
    finding::{Check, Finding},
    kit::{Kit, UNKNOWN, status},
    need::Need,
    rule::Rule,
    table::shape,
};

pub(super) const CASES: &[Case] = &[
    case(Rule::C6, "nothing_changes_an_end", nothing_changes_an_end),
    case(Rule::C6, "a_wake_after_the_end", wake_after_the_end),
    case(Rule::C7, "failures_are_stored", failures_are_stored),
    case(Rule::C7, "canceled_stores_cancelled", canceled_stores_cancelled).needs(&[Need::Cancel]),
    case(Rule::C8, "a_body_is_dropped_once_before_its_end_is_visible", dropped_before_visible),
    case(Rule::C8, "a_body_is_polled_once_a_wake", polled_once_a_wake),
    case(Rule::C8, "a_body_that_has_ended_is_not_polled", not_polled_after_ready),
    case(Rule::C8, "cleanups_have_ended_before_the_end_is_visible", cleanups_before_visible)
        .needs(&[Need::Cancel, Need::Shape(shape::TRY_FINALLY)]),
];

fn nothing_changes_an_end(kit: &Kit<'_>) -> Check {
    for (operation, status, stored) in states::every(kit, ValueKind::U64)? {
        if status == status::STARTED {
            continue;
        }
        for _ in 0..2 {
            if kit.has_control() {
                kit.cancel(operation)?;
            }
            kit.advance()?;
            kit.expect_end(Rule::C6, operation, status, stored)?;
        }
        if kit.has_control() {
            kit.set_completed(operation, Handler::Records)?;
        }
        kit.expect_end(Rule::C6, operation, status, stored)?;
    }
    Ok(())
}

fn wake_after_the_end(kit: &Kit<'_>) -> Check {
    let completed = kit.spawn(ValueKind::U64, plain([STASH, STASH, END, END, END, END]))?;
    let mut ended = vec![(completed, status::COMPLETED, NTSTATUS::SUCCESS)];
    kit.advance()?;
    if kit.can_cancel() {
        let canceled = kit.spawn_to_cancel(ValueKind::U64, plain([STASH, STASH, WAIT, END, END, END]))?;
        kit.advance()?;
        kit.request(canceled)?;
        kit.advance()?;
        ended.push((canceled, status::CANCELED, NTSTATUS::CANCELLED));
    }
    for (operation, status, stored) in ended {
        // Another rule requires the operation to end.
        if !is(kit, operation, status, Rule::C10)? {
            continue;
        }
        kit.expect_end(Rule::C6, operation, status, stored)?;
        kit.wake(operation, true)?;
        kit.wake(operation, false)?;
        kit.wake(operation, false)?;
        kit.advance()?;
        kit.expect_end(Rule::C6, operation, status, stored)?;
        let (polls, right) = (kit.record(operation).polls, 1 + u32::from(operation != completed));
        check!(
            kit,
            C8,
            polls == right,
            "after its end the body was woken: polled {}, and should have been polled {}",
            times(polls),
            times(right)
        );
    }
    Ok(())
}

/// Whether an operation is in this state. If not, records a breach of this rule.
fn is(kit: &Kit<'_>, operation: usize, status: u32, rule: Rule) -> Result<bool, Finding> {
    kit.expect_status(rule, operation, status)?;
    let found = kit.status(operation)?;
    Ok(found == status || found == UNKNOWN)
}

fn failures_are_stored(kit: &Kit<'_>) -> Check {
    for given in STATUSES {
        for kind in [ValueKind::Unit, ValueKind::U64, ValueKind::Page] {
            let operation = kit.spawn_error(kind, NTSTATUS::from_u32(given))?;
            // Success and informational codes are not failures.
            let stored = if given >> 31 == 0 { NTSTATUS::UNSUCCESSFUL.to_u32() } else { given };
            kit.expect_end(Rule::C7, operation, status::ERROR, NTSTATUS::from_u32(stored))?;
        }
    }
    Ok(())
}

fn canceled_stores_cancelled(kit: &Kit<'_>) -> Check {
    match states::in_state(kit, ValueKind::U8, status::CANCELED)? {
        Some(canceled) => kit.expect_end(Rule::C7, canceled, status::CANCELED, NTSTATUS::CANCELLED),
        None => Ok(()),
    }
}

fn dropped_before_visible(kit: &Kit<'_>) -> Check {
    for kind in [ValueKind::Unit, ValueKind::U64, ValueKind::Aligned] {
        let completed = kit.spawn(kind, READY)?;
        let mut all = vec![(completed, status::COMPLETED, Rule::C8)];
        if kit.can_cancel() {
            let canceled = kit.spawn_to_cancel(kind, super::steps::PENDING)?;
            all.push((canceled, status::CANCELED, Rule::C10));
        }
        for (operation, ..) in all.iter().filter(|_| kit.has_control()) {
            // The handler checks, when it runs, that the body has been dropped.
            kit.set_completed(*operation, Handler::Records)?;
        }
        kit.advance()?;
        for (operation, ..) in &all[1..] {
            kit.request(*operation)?;
        }
        kit.advance()?;
        for (operation, status, rule) in all {
            // Another rule requires the operation to end.
            if !is(kit, operation, status, rule)? {
                continue;
            }
            let drops = kit.record(operation).drops;
            check!(
                kit,
                C8,
                drops == 1,
                "operation {operation} has ended, and its body has been dropped {}, and should have been dropped once",
                times(drops)
            );
        }
    }
    Ok(())
}

/// A count in words.
fn times(times: u32) -> String {
    match times {
        1 => "once".to_owned(),
        _ => format!("{times} times"),
    }
}

fn polled_once_a_wake(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, plain([STASH, STASH, PARK, PARK, YIELD, NOTIFY]))?;
    let expect = |polls| {
        let found = kit.record(operation).polls;
        check!(
            kit,
            C8,
            found == polls,
            "the body has been polled {}, and should have been polled {}",
            times(found),
            times(polls)
        );
        Ok(())
    };
    expect(0)?;
    kit.advance()?;
    expect(1)?;
    kit.advance()?;
    expect(1)?;
    // Two wakes before a poll cause one poll.
    kit.wake(operation, true)?;
    kit.wake(operation, true)?;
    kit.advance()?;
    expect(2)?;
    // The body then yields and ends. Its last wake has no effect.
    kit.wake(operation, false)?;
    kit.advance()?;
    expect(4)?;
    kit.expect_status(Rule::C8, operation, status::COMPLETED)
}

fn not_polled_after_ready(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, plain([STASH, NOTIFY, NOTIFY, END, END, END]))?;
    kit.advance()?;
    kit.wake(operation, true)?;
    kit.advance()?;
    if kit.has_control() {
        kit.cancel(operation)?;
        kit.advance()?;
    }
    let polls = kit.record(operation).polls;
    check!(
        kit,
        C8,
        polls == 1,
        "the body ended in its first poll: polled {}, and should have been polled once",
        times(polls)
    );
    kit.expect_end(Rule::C8, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn cleanups_before_visible(kit: &Kit<'_>) -> Check {
    // The cleanup takes two polls.
    let script = guarded(Shape::TryFinally, [WAIT, END, END, STASH, PARK, PARK]);
    let operation = kit.spawn_to_cancel(ValueKind::U8, script)?;
    kit.advance()?;
    kit.request(operation)?;
    kit.advance()?;
    kit.wake(operation, true)?;
    kit.advance()?;
    let part = kit.0.slot(operation, |slot| slot.parts[1].ended);
    let ended = !matches!(kit.status(operation)?, status::STARTED | UNKNOWN);
    check!(kit, C8, !ended || part, "operation {operation} has ended, and its cleanup has not");
    // Another rule covers the end itself.
    kit.expect_end(Rule::C10, operation, status::CANCELED, NTSTATUS::CANCELLED)
}
