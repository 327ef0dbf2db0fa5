//! The cases, as data. Each has a rule, a name, the features that the library must offer, and a
//! function.

mod cancelling;
mod completion;
mod counting;
mod ending;
mod fallible;
mod memory;
mod objects;
mod queries;
mod releasing;
mod results;
pub(crate) mod threads;
mod trust;
mod unloading;
mod waiting;

pub use self::threads::Seeds;
use crate::{finding::Check, kit::Kit, need::Need, rule::Rule};

/// The expected end of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expects {
    /// The case ends, and nothing is left.
    End,
    /// The library fails fast, by stopping the run or the process.
    FailFast,
}

/// The threads of a case. They determine whether its findings are repeatable.
#[derive(Clone, Copy, Debug)]
pub enum Runs {
    /// One thread. Its findings are repeatable.
    Alone(fn(&Kit<'_>) -> Check),
    /// Several threads. Schedules are repeatable, and races are not.
    Threads(threads::Rounds),
}

/// A case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The rule that the case tests. It may find breaches of others.
    pub rule: Rule,
    /// The case's name, for `--only`.
    pub name: &'static str,
    /// The features that the library must offer.
    pub needs: &'static [Need],
    /// The expected end.
    pub expects: Expects,
    /// The function that judges, with its threads.
    pub runs: Runs,
}

const fn case(rule: Rule, name: &'static str, run: fn(&Kit<'_>) -> Check) -> Case {
    Case { rule, name, needs: &[], expects: Expects::End, runs: Runs::Alone(run) }
}

impl Case {
    const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// Whether the case is a race, so that another run may find something else.
    #[must_use]
    pub const fn is_race(&self) -> bool {
        matches!(self.runs, Runs::Threads(rounds) if matches!(rounds.way(), threads::Way::AtOnce))
    }

    const fn fails_fast(self) -> Self {
        Self { expects: Expects::FailFast, ..self }
    }
}

/// All cases, in the order of their rules.
#[must_use]
pub fn all() -> Vec<Case> {
    let groups: [&[Case]; 14] = [
        queries::CASES,
        counting::CASES,
        results::CASES,
        ending::CASES,
        releasing::CASES,
        cancelling::CASES,
        memory::CASES,
        completion::CASES,
        trust::CASES,
        unloading::CASES,
        waiting::CASES,
        objects::CASES,
        fallible::CASES,
        threads::CASES,
    ];
    let mut all = groups.concat();
    all.sort_by_key(|case| case.rule);
    all
}

/// Steps of bodies, as `ntcom_fuzz::script` encodes them.
mod steps {
    use ntcom_fuzz::script::{STEPS, Script, Shape};

    pub(super) const END: u8 = 0;
    /// Waits for gate 0.
    pub(super) const WAIT: u8 = 2;
    /// Waits for gate 1.
    pub(super) const WAIT_1: u8 = 2 | 1 << 4;
    /// Puts a waker into the stash.
    pub(super) const STASH: u8 = 4;
    pub(super) const TAKE: u8 = 5;
    pub(super) const OBSERVE: u8 = 6;
    /// Returns PENDING once, without a waker.
    pub(super) const PARK: u8 = 7;
    pub(super) const KEEP: u8 = 12;
    pub(super) const NOTIFY: u8 = 14;
    /// Wakes itself and returns PENDING, once.
    pub(super) const YIELD: u8 = 1;

    pub(super) const fn plain(steps: [u8; STEPS]) -> Script {
        Script { shape: Shape::Plain, steps }
    }

    /// A body of a main with three steps and a cleanup with three.
    pub(super) const fn guarded(shape: Shape, steps: [u8; STEPS]) -> Script {
        Script { shape, steps }
    }

    /// Ends in its first poll.
    pub(super) const READY: Script = plain([END; STEPS]);
    /// Waits for gate 0, and then ends.
    pub(super) const PENDING: Script = plain([WAIT, END, END, END, END, END]);
    /// Puts a waker into the stash, waits for it, and then ends.
    pub(super) const STASHED: Script = plain([STASH, PARK, END, END, END, END]);
}

/// An operation in each state, for calls that must work in all states.
pub(crate) mod states {
    use ntcom::NTSTATUS;
    use ntcom_fuzz::value::Kind;

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
    /// cancelled) and Error. An operation that does not get there is left out, and is a breach of
    /// the rule by which it should.
    pub(crate) fn every(kit: &Kit<'_>, kind: Kind) -> Result<Vec<State>, Finding> {
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

    fn canceled(kit: &Kit<'_>, kind: Kind) -> Result<usize, Finding> {
        let canceled = kit.spawn_to_cancel(kind, PENDING)?;
        kit.request(canceled)?;
        Ok(canceled)
    }

    /// The operation in this state, if it got there.
    pub(crate) fn in_state(kit: &Kit<'_>, kind: Kind, status: u32) -> Result<Option<usize>, Finding> {
        let found = every(kit, kind)?.into_iter().find(|(_, state, _)| *state == status);
        Ok(found.map(|(operation, ..)| operation))
    }
}
