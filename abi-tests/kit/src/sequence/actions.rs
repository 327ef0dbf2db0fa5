//! The actions of a sequence that are done to a library.

use ntcom_fuzz_model::{
    call::Init,
    input::{Input, VtableInput},
    limits::{HANDLES, OBJECTS, OPERATIONS, STASH},
    ops::{Handler, Iid, ObjectOp, Op, OperationStep, Timeout, Via},
    script::{GATES, STEPS, Script, Shape},
};

use crate::{
    body::shape_bit,
    need::{Need, Offers},
};

/// An action of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// A step of the library and of the model.
    Step(OperationStep),
    /// Stops the executor from running by itself.
    Hold,
    /// Lets the executor run by itself again.
    Resume,
}

/// The steps of a sequence that this library can do.
pub(super) fn actions(input: &VtableInput, offers: Offers) -> Vec<Action> {
    let (mut operations, mut stashes, mut handles) = (0, 0, 0);
    // These track whether memory will fail, and which objects exist by then.
    let (mut fails_next, mut objects) = (false, [false; OBJECTS]);
    let mut actions = Vec::new();
    for step in input.steps() {
        let mut step = *step;
        match &mut step.op {
            Op::Raise => {
                actions.push(Action::Hold);
                continue;
            }
            Op::Lower | Op::AdvanceTime => {
                actions.push(Action::Resume);
                continue;
            }
            Op::Spawn { script, cancellable, linked, .. } => {
                if operations == OPERATIONS {
                    continue;
                }
                *linked = false;
                *cancellable &= Need::Handles.is_met(offers) && handles < HANDLES;
                handles += usize::from(*cancellable);
                *script = independent(*script, operations, &mut stashes, offers);
                operations += 1;
                fails_next = false;
            }
            Op::SpawnError { .. } => {
                if operations == OPERATIONS {
                    continue;
                }
                operations += 1;
                fails_next = false;
            }
            Op::Call { object, call, .. } => {
                let made = &mut objects[usize::from(*object)];
                // The planned failure of memory is not for an object, which its first call makes.
                let impossible =
                    operations == OPERATIONS || !Need::Objects.is_met(offers) || (fails_next && !*made);
                if impossible {
                    continue;
                }
                call.init = Init::Plain;
                call.script = independent(call.script, operations, &mut stashes, offers);
                // The script decides whether a body fails. By the kit's header, one that fails with
                // STATUS_SUCCESS has a value.
                let unable = call.failure().is_some_and(|status| status == 0 || !Need::Fails.is_met(offers));
                if unable {
                    continue;
                }
                operations += 1;
                // A new allocation depends on whether a client or a body still has the object.
                *made = true;
            }
            // The kit's objects have only IUnknown.
            Op::Object(_, ObjectOp::Query(which)) => *which = if *which % 4 == 3 { 3 } else { 0 },
            Op::Object(_, ObjectOp::Echo(_)) => continue,
            Op::Wait(timeout) if offers.controls => *timeout = Timeout::Zero,
            // A handler with a reference keeps an unwoken operation alive, and only cancelling all
            // would end it.
            Op::SetCompleted(handler)
                if offers.controls && *handler == Handler::Releases && !Need::CancelAll.is_met(offers) =>
            {
                *handler = Handler::Records;
            }
            Op::CloneStash(_) => {
                if stashes == STASH {
                    continue;
                }
                stashes += 1;
            }
            Op::HandleClone(_) => {
                if handles == HANDLES {
                    continue;
                }
                handles += 1;
            }
            Op::FailAllocation(nth) => {
                if !Need::NoMemory.is_met(offers) {
                    continue;
                }
                *nth = 0;
                fails_next = true;
            }
            // Without IAsyncControl an operation has only the slots of IAsyncOperation.
            Op::Query(via, iid, _) if !offers.controls => {
                *via = Via::Operation;
                if *iid == Iid::Control {
                    *iid = Iid::Unsupported;
                }
            }
            Op::AddRef(via) | Op::Release(via) if !offers.controls => *via = Via::Operation,
            Op::Cancel | Op::GetError(_) | Op::GetResultSize(_) | Op::SetCompleted(_) | Op::Wait(_)
                if !offers.controls =>
            {
                continue;
            }
            Op::CancelAll if !Need::CancelAll.is_met(offers) => continue,
            Op::Schedule(_) => continue,
            _ => {}
        }
        actions.push(Action::Step(step));
    }
    actions
}

/// A script that the library can run and that does not depend on other bodies.
fn independent(script: Script, operation: usize, stashes: &mut usize, offers: Offers) -> Script {
    const NOTHING: u8 = 6;
    let gate = (operation % GATES) as u8;
    let mut steps: [u8; STEPS] = script.steps;
    for step in &mut steps {
        *step = match *step & 15 {
            // Each of the first operations has a gate of its own.
            2 | 3 if operation < GATES => 2 | gate << 4,
            8 if operation < GATES => 8 | gate << 4,
            2 | 3 => 1,
            4 if *stashes < STASH => {
                *stashes += 1;
                4
            }
            // The body would keep itself alive, and only cancelling all would end it.
            12 | 13 if !Need::CancelAll.is_met(offers) => NOTHING,
            4 | 8 | 9 | 10 | 11 | 15 => NOTHING,
            _ => *step,
        };
    }
    let offered = offers.table.shapes & shape_bit(script.shape) != 0;
    Script { shape: if offered { script.shape } else { Shape::Plain }, steps }
}
