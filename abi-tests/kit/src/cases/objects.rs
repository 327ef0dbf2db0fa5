//! Cases of C19, the object behind a method.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{
    ops::{Handler, Via},
    script::Script,
    value::ValueKind,
};

use super::steps::{PENDING, READY, STASHED};
use crate::{
    case::{Case, case},
    check,
    finding::{Check, Finding},
    kit::{Kit, Spawn, status},
    need::Need,
    rule::Rule,
};

const OBJECTS: &[Need] = &[Need::Objects];

pub(super) const CASES: &[Case] = &[
    case(Rule::C19, "an_object_lives_as_long_as_its_clients", lives_with_clients).needs(OBJECTS),
    case(Rule::C19, "a_body_keeps_its_object", body_keeps_it).needs(OBJECTS),
    case(Rule::C19, "an_object_is_released_before_the_end_is_visible", released_before_visible)
        .needs(&[Need::Control, Need::Objects]),
    case(Rule::C19, "an_operation_that_has_ended_keeps_no_object", ended_keeps_none).needs(OBJECTS),
    case(Rule::C19, "a_cancelled_body_releases_its_object", cancelled_releases)
        .needs(&[Need::Control, Need::Objects]),
    case(Rule::C19, "without_memory_no_object_is_kept", no_memory_keeps_none)
        .needs(&[Need::Objects, Need::NoMemory]),
];

fn call(kit: &Kit<'_>, object: usize, script: Script) -> Result<usize, Finding> {
    kit.make(Spawn { object: Some(object), ..Spawn::new(ValueKind::U64, script) })
}

fn lives_with_clients(kit: &Kit<'_>) -> Check {
    let object = kit.object()?;
    let operation = call(kit, object, READY)?;
    kit.advance()?;
    kit.expect_end(Rule::C19, operation, status::COMPLETED, NTSTATUS::SUCCESS)?;
    check!(kit, C19, kit.object_drops(object) == 0, "an object that a client holds has been dropped");
    kit.object_release(object)?;
    check!(kit, C19, kit.object_drops(object) == 1, "an object that no client holds has not been dropped");
    Ok(())
}

fn body_keeps_it(kit: &Kit<'_>) -> Check {
    let object = kit.object()?;
    let operation = call(kit, object, PENDING)?;
    kit.object_release(object)?;
    kit.advance()?;
    check!(kit, C19, kit.object_drops(object) == 0, "the object of a body that lives has been dropped");
    kit.open(0)?;
    kit.advance()?;
    kit.expect_end(Rule::C19, operation, status::COMPLETED, NTSTATUS::SUCCESS)
}

fn released_before_visible(kit: &Kit<'_>) -> Check {
    let object = kit.object()?;
    let operation = call(kit, object, PENDING)?;
    // The handler checks, when it runs, that the object has been dropped.
    kit.set_completed(operation, Handler::Records)?;
    kit.object_release(object)?;
    kit.open(0)?;
    kit.advance()?;
    check!(
        kit,
        C19,
        kit.object_drops(object) == 1,
        "the operation has ended, and its object has not been dropped"
    );
    Ok(())
}

fn ended_keeps_none(kit: &Kit<'_>) -> Check {
    let object = kit.object()?;
    let operations = [call(kit, object, READY)?, call(kit, object, READY)?];
    kit.object_release(object)?;
    kit.advance()?;
    check!(
        kit,
        C19,
        kit.object_drops(object) == 1,
        "both operations have ended, and their object has not been dropped"
    );
    for operation in operations {
        kit.expect_end(Rule::C19, operation, status::COMPLETED, NTSTATUS::SUCCESS)?;
    }
    Ok(())
}

fn cancelled_releases(kit: &Kit<'_>) -> Check {
    let object = kit.object()?;
    let (cancelled, abandoned) = (call(kit, object, PENDING)?, call(kit, object, STASHED)?);
    kit.object_release(object)?;
    kit.advance()?;
    kit.cancel(cancelled)?;
    kit.advance()?;
    check!(kit, C19, kit.object_drops(object) == 0, "the object of a body that lives has been dropped");
    kit.release(abandoned, Via::Operation)?;
    kit.drop_waker(abandoned)?;
    kit.advance()?;
    check!(
        kit,
        C19,
        kit.object_drops(object) == 1,
        "both bodies have been dropped, and their object has not"
    );
    Ok(())
}

fn no_memory_keeps_none(kit: &Kit<'_>) -> Check {
    let object = kit.object()?;
    kit.fail_next_allocation()?;
    let operation = call(kit, object, READY)?;
    kit.expect_end(Rule::C11, operation, status::ERROR, NTSTATUS::INSUFFICIENT_RESOURCES)?;
    kit.object_release(object)?;
    check!(
        kit,
        C19,
        kit.object_drops(object) == 1,
        "an operation that there was no memory for keeps the object"
    );
    Ok(())
}
