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
mod states;
mod steps;
pub(crate) mod threads;
mod trust;
mod unloading;
mod waiting;

use crate::case::Case;

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
