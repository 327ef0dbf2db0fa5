//! The events of a finding's run that explain it.
//!
//! They are the places at which processors were preempted, and the last uses of the objects that
//! the finding names.

extern crate alloc;

use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};

use crate::{
    simulation::Simulation,
    trace::{Event, Name, Trace, Value, What},
};

/// The most preemptions in a report.
const MOST_PREEMPTIONS: usize = 6;
/// The most uses of an object in a report.
const MOST_USES: usize = 4;
/// The smallest number in a finding's text that can be an address.
const FIRST_ADDRESS: usize = 0x1_0000;

/// The objects that a text names, by their names in the trace or by their addresses.
pub(super) fn objects_in(text: &str, kernel: &Simulation) -> Vec<Name> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && !"+_`".contains(letter));
    let mut objects: Vec<Name> = Vec::new();
    for name in words.filter_map(|word| word.parse().ok()) {
        let name = match name {
            Name::Address(address) if address < FIRST_ADDRESS => continue,
            Name::Address(address) => kernel.machine().name(address),
            name => name,
        };
        let is_object = matches!(name, Name::Block { .. } | Name::Object(_) | Name::Labelled { .. });
        if is_object && !objects.iter().any(|known| known.is_of(name)) {
            objects.push(name);
        }
    }
    objects
}

/// The places at which a processor was preempted in the middle of its work.
pub(super) struct Preemptions<'a>(pub(super) &'a Trace);

impl Display for Preemptions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let events = self.0.events();
        let preempted = events.iter().enumerate().filter_map(|(at, event)| {
            let (before, after) = (events.get(..at)?, events.get(at..)?);
            let (from, to) = (before.last()?.processor, event.processor);
            if from == to {
                return None;
            }
            let left =
                before.iter().rev().find(|event| event.processor == from && event.what.has_caller())?;
            let last = before.iter().rev().find(|event| {
                let is_of_the_kernel = matches!(event.what, What::Thread { .. } | What::ThreadReady { .. });
                event.processor == from && !is_of_the_kernel
            })?;
            let is_over = matches!(
                last.what,
                What::ProgramEnd | What::ThreadEnd { .. } | What::ThreadWait { .. } | What::Wait { .. }
            );
            let next = after.iter().find(|event| event.processor == to && event.what.has_caller());
            (!is_over).then_some((left, to, next))
        });
        for (number, (left, to, next)) in preempted.take(MOST_PREEMPTIONS).enumerate() {
            if number == 0 {
                writeln!(f, "its preemptions:")?;
            }
            writeln!(f, "  processor {} after {}", left.processor, Short(left))?;
            if let Some(next) = next {
                writeln!(f, "    goes on: processor {to}, with {}", Short(next))?;
            }
        }
        Ok(())
    }
}

/// The last uses of objects.
pub(super) struct Uses<'a>(pub(super) &'a Trace, pub(super) &'a [Name]);

impl Display for Uses<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for object in self.1 {
            let uses: Vec<&Event> =
                self.0.events().iter().filter(|event| uses(&event.what, *object)).collect();
            let last = uses.get(uses.len().saturating_sub(MOST_USES)..).unwrap_or_default();
            if !last.is_empty() {
                writeln!(f, "the last uses of {object}:")?;
            }
            for event in last {
                writeln!(f, "  processor {}, step {}: {}", event.processor, event.step, Short(event))?;
            }
        }
        Ok(())
    }
}

/// Whether an event makes, changes or ends an object. Reads and writes of its fields do not count.
fn uses(what: &What, object: Name) -> bool {
    let is = |name: &Name| object.is_of(*name);
    match what {
        What::Call { arguments, result, .. } => {
            arguments.iter().chain(result).any(|value| matches!(value, Value::Pointer(name) if is(name)))
        }
        What::TimerExpired { object } => is(object),
        What::DpcStart { dpc, .. } => is(dpc),
        What::WorkStart { item, .. } => is(item),
        What::Freed { number, .. } => is(&Name::Block { number: *number, offset: 0 }),
        _ => false,
    }
}

/// An event without step, time and IRQL.
struct Short<'a>(&'a Event);

impl Display for Short<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.what.fmt(f)?;
        self.0.caller.as_ref().map_or(Ok(()), |caller| write!(f, "  [{caller}]"))
    }
}
