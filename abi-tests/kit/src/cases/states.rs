//! An operation in each state, for calls that must work in all states.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::value::ValueKind;

use super::steps::{PENDING, READY};
use crate::{
    finding::Finding,
    kit::{Kit, UNKNOWN, status},
    rule::Rule,
};

/// A failure status that the library does not use itself.
pub(crate) const FAILURE: NTSTATUS = NTSTATUS::from_u32(0xC000_009D);

/// An operation, its status, and the result that it has stored.
pub(crate) type State = (usize, u32, NTSTATUS);

/// Makes an operation in each of the states Started, Completed, Canceled (if operations can be
/// cancelled) and Error.
///
/// An operation that does not get there is left out, and is a breach of the rule by which it
/// should.
pub(crate) fn every(kit: &Kit<'_>, kind: ValueKind) -> Result<Vec<State>, Finding> {
    let completed = kit.spawn(kind, READY)?;
    let canceled = if kit.can_cancel() { Some(canceled(kit, kind)?) } else { None };
    kit.advance()?;
    let started = kit.spawn(kind, PENDING)?;
    kit.advance()?;
    let failed = kit.spawn_error(kind, FAILURE)?;
    let mut states = Vec::new();
    for (operation, rule, state) in [
        (Some(started), Rule::C8, (status::STARTED, NTSTATUS::PENDING)),
        (Some(completed), Rule::C8, (status::COMPLETED, NTSTATUS::SUCCESS)),
        (canceled, Rule::C10, (status::CANCELED, NTSTATUS::CANCELLED)),
        (Some(failed), Rule::C11, (status::ERROR, FAILURE)),
    ] {
        let Some(operation) = operation else { continue };
        kit.expect_status(rule, operation, state.0)?;
        let found = kit.status(operation)?;
        if found == UNKNOWN || found == state.0 {
            states.push((operation, state.0, state.1));
        }
    }
    Ok(states)
}

fn canceled(kit: &Kit<'_>, kind: ValueKind) -> Result<usize, Finding> {
    let canceled = kit.spawn_to_cancel(kind, PENDING)?;
    kit.request(canceled)?;
    Ok(canceled)
}

/// The operation in this state, if it got there.
pub(crate) fn in_state(kit: &Kit<'_>, kind: ValueKind, status: u32) -> Result<Option<usize>, Finding> {
    let found = every(kit, kind)?.into_iter().find(|(_, state, _)| *state == status);
    Ok(found.map(|(operation, ..)| operation))
}
