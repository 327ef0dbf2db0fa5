//! Cases of C18, an unloading provider.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{script::Shape, value::ValueKind};

use super::steps::{END, OBSERVE, PARK, PENDING, READY, WAIT, guarded, plain};
use crate::{
    case::{Case, case},
    check,
    finding::Check,
    kit::{Kit, status},
    need::Need,
    rule::Rule,
    table::shape,
};

pub(super) const CASES: &[Case] = &[
    case(Rule::C18, "spawning_after_close_is_refused", refused).needs(&[Need::Close]),
    case(Rule::C18, "close_leaves_what_lives_alone", leaves_alone).needs(&[Need::Close]),
    case(Rule::C18, "what_lives_is_cancelled", cancelled).needs(&[Need::Close, Need::CancelAll]),
    case(Rule::C18, "draining_waits_for_the_end", drained).needs(&[
        Need::Close,
        Need::CancelAll,
        Need::Drain,
        Need::Shape(shape::TRY_FINALLY),
    ]),
];

fn close(kit: &Kit<'_>) -> Check {
    kit.command("close", kit.table().close)
}

fn refused(kit: &Kit<'_>) -> Check {
    close(kit)?;
    for kind in ValueKind::ALL {
        let operation = kit.spawn(kind, READY)?;
        kit.advance()?;
        kit.expect_end(Rule::C18, operation, status::ERROR, NTSTATUS::DELETE_PENDING)?;
        let record = kit.record(operation);
        check!(kit, C18, record.polls == 0, "the body of an operation that was refused has run");
        check!(kit, C18, record.drops == 1, "the body of an operation that was refused has not been dropped");
    }
    Ok(())
}

fn leaves_alone(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U64, PENDING)?;
    kit.advance()?;
    close(kit)?;
    kit.advance()?;
    kit.expect_status(Rule::C18, operation, status::STARTED)?;
    kit.open(0)?;
    kit.advance()?;
    kit.expect_end(Rule::C18, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn cancelled(kit: &Kit<'_>) -> Check {
    let waits = kit.spawn(ValueKind::U64, PENDING)?;
    let parked = kit.spawn(ValueKind::U64, plain([PARK, PARK, END, END, END, END]))?;
    kit.advance()?;
    close(kit)?;
    kit.cancel_all()?;
    kit.advance()?;
    for operation in [waits, parked] {
        kit.expect_end(Rule::C18, operation, status::CANCELED, NTSTATUS::CANCELLED)?;
    }
    Ok(())
}

fn drained(kit: &Kit<'_>) -> Check {
    let waits = kit.spawn(ValueKind::U64, PENDING)?;
    // Its cleanup takes a few polls.
    let cleans =
        kit.spawn(ValueKind::U64, guarded(Shape::TryFinally, [WAIT, END, END, PARK, PARK, OBSERVE]))?;
    kit.advance()?;
    close(kit)?;
    kit.cancel_all()?;
    kit.running("drain", kit.table().drain)?;
    for operation in [waits, cleans] {
        let drops = kit.record(operation).drops;
        check!(
            kit,
            C18,
            drops == 1,
            "drain has returned, and the body of operation {operation} has not been dropped"
        );
        kit.expect_end(Rule::C18, operation, status::CANCELED, NTSTATUS::CANCELLED)?;
    }
    Ok(())
}
