//! Sequences of the fuzz targets' generator, done to the library and to their sequential model.
//!
//! Every answer after every step must match the model, and so must every body and every handler
//! after every run of the executor. A difference is attributed to a rule.
//!
//! A sequence is an input of the target `vtable`, from the corpus or made from a seed. Only those
//! steps are done that every library can do, and that no order of bodies affects. Bodies have no
//! links and their own gates, and objects have no interface but IUnknown. The executor runs after
//! each step, except between a Raise and a Lower. So many steps happen before a first poll, and
//! many at once.

mod actions;
mod compare;
mod perform;
mod source;

use ntcom_fuzz_model::{
    input::{Input, VtableInput},
    model::Model,
    ops::{Op, OperationStep},
};

pub use self::source::Source;
use self::{
    actions::{Action, actions},
    compare::{compare_answer, compare_records},
    perform::{perform, replaced},
};
use crate::{
    case::Expects,
    finding::Check,
    kit::Kit,
    load::Loaded,
    need::Need,
    offers::offers,
    program::{give_back, nothing_remains, open_everything, run_program},
    rule::Rule,
    verdict::Verdict,
};

/// The number of ticks after which every body with a spent poll budget has gone on to its next
/// wait.
const TICKS: usize = 16;
/// The number of rounds after which every body has ended.
const ROUNDS: usize = 128;

/// Does a sequence, and judges it.
#[must_use]
pub fn run_sequence(library: &Loaded, bytes: &[u8]) -> Verdict {
    let Ok(input) = VtableInput::decode(bytes) else {
        return Verdict::NotOffered("not a sequence".to_owned());
    };
    let actions = actions(&input, offers(library));
    let ended = run_program(library, &|kit| drive(kit, &actions));
    // A finding of the library's own checks counts as one of its life cycle.
    ended.verdict(Rule::C9, Expects::End)
}

const fn bare(op: Op) -> OperationStep {
    OperationStep { processor: 0, target: 0, op }
}

fn drive(kit: &Kit<'_>, actions: &[Action]) -> Check {
    let mut model = Model::default();
    let mut held = false;
    model.step(&bare(Op::Raise));
    for action in actions {
        match action {
            Action::Hold => held = true,
            Action::Resume => held = false,
            Action::Step(step) => {
                // The replacement of a step that reaches nothing may need IAsyncControl.
                if !kit.has_control() && replaced(kit, step) == Op::Cancel {
                    continue;
                }
                let expected = model.step(step);
                let found = perform(kit, step, expected)?;
                if let (Some(found), Some(expected)) = (found, expected) {
                    compare_answer(kit, step, found, expected)?;
                }
            }
        }
        if !held {
            advance(kit, &mut model)?;
        }
    }
    end(kit, &mut model)
}

/// Lets the executor run, here and in the model.
fn advance(kit: &Kit<'_>, model: &mut Model) -> Check {
    model.step(&bare(Op::Lower));
    for _ in 0..TICKS {
        model.advance_time();
    }
    model.step(&bare(Op::Raise));
    kit.advance()?;
    compare_records(kit, model)
}

/// Ends a sequence. All clients release everything, the remaining operations are cancelled, and
/// nothing may remain.
fn end(kit: &Kit<'_>, model: &mut Model) -> Check {
    advance(kit, model)?;
    model.open_everything();
    kit.0.trail.add("every gate is opened, for ever".to_owned());
    open_everything(kit.0);
    advance(kit, model)?;
    for _ in 0..ROUNDS {
        model.step(&bare(Op::Raise));
        model.release_everything();
        give_back_but_own(kit)?;
        advance(kit, model)?;
        if model.unfinished() == 0 {
            break;
        }
        // Without `cancel_all`, an operation that still waits ends when the wakers that it has
        // given away since are given back.
        if Need::CancelAll.is_met(kit.offers()) {
            model.step(&bare(Op::CancelAll));
            kit.cancel_all()?;
        }
        advance(kit, model)?;
    }
    model.release_everything();
    give_back(kit)?;
    kit.advance()?;
    nothing_remains(kit)
}

/// Gives back everything except the wakers that bodies keep for themselves.
fn give_back_but_own(kit: &Kit<'_>) -> Check {
    let kept: Vec<_> = kit.0.slots.borrow_mut().iter_mut().map(|slot| slot.kept.take()).collect();
    let answer = give_back(kit);
    for (slot, kept) in kit.0.slots.borrow_mut().iter_mut().zip(kept) {
        slot.kept = kept;
    }
    answer
}
