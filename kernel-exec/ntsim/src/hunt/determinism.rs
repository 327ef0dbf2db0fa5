//! Compares two runs that must be equal.

extern crate alloc;

use alloc::string::{String, ToString};

use super::runner::{Case, Runner};
use crate::{
    engine::schedule::Schedule,
    trace::{Event, Trace},
    verifier::stop::Stop,
};

/// The oracle of a difference.
pub(super) const ORACLE: &str = "determinism";

/// Makes a run twice. A stop of the first one, or a difference, is the finding.
pub(super) fn check(runner: &mut Runner<'_>, case: Case, schedule: &Schedule) -> Result<(), Stop> {
    runner.run(case, true, schedule.clone())?;
    let first = runner.kernel.trace().clone();
    let outcome = runner.run(case, true, schedule.clone());
    match difference(&first, runner.kernel.trace()) {
        Some(message) => Err(Stop::failure(ORACLE, message)),
        None => outcome,
    }
}

/// The first difference of two traces.
fn difference(first: &Trace, second: &Trace) -> Option<String> {
    if first == second {
        return None;
    }
    let (first, second) = (first.events(), second.events());
    let number = (0..first.len().max(second.len()))
        .find(|number| text(first.get(*number)) != text(second.get(*number)))?;
    let shown = |event: Option<&Event>| event.map_or_else(|| "the end".into(), |event| event.to_string());
    let (one, other) = (shown(first.get(number)), shown(second.get(number)));
    Some(alloc::format!(
        "the program did something else when the same run was made again. Event {number} was\n  {}\nand in the second run\n  {}\nSo the program depends on something outside of the simulation, such as a host clock, an address, a hash \
         map's order, or a static that keeps what the run before has left in it (declare driver statics by \
         `driver_static!`, or read them through `ntsim::own`)",
        one.trim(),
        other.trim()
    ))
}

/// An event without the numbers of objects outside of pool.
fn text(event: Option<&Event>) -> Option<String> {
    const OBJECT: &str = "object";
    let text = event?.to_string();
    let mut parts = text.split(OBJECT);
    let mut masked = String::from(parts.next().unwrap_or_default());
    for part in parts {
        masked.push_str(OBJECT);
        masked.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    Some(masked)
}
