//! Cases as data.

use crate::{
    finding::Check,
    kit::Kit,
    need::Need,
    rounds::{Rounds, Way},
    rule::Rule,
};

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
    Threads(Rounds),
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

/// A case of one thread that ends.
pub(crate) const fn case(rule: Rule, name: &'static str, run: fn(&Kit<'_>) -> Check) -> Case {
    Case { rule, name, needs: &[], expects: Expects::End, runs: Runs::Alone(run) }
}

impl Case {
    /// The case, for libraries that offer these features.
    pub(crate) const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// Whether the case is a race, so that another run may find something else.
    #[must_use]
    pub const fn is_race(&self) -> bool {
        matches!(self.runs, Runs::Threads(rounds) if matches!(rounds.way(), Way::AtOnce))
    }

    /// The case, with an end in which the library fails fast.
    pub(crate) const fn fails_fast(self) -> Self {
        Self { expects: Expects::FailFast, ..self }
    }
}
