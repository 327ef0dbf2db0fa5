//! The objects that a transition has touched, and whether two transitions commute.

extern crate alloc;

use alloc::vec::Vec;

use crate::trace::{
    Name,
    event::{AtomicOp, Event, What},
};

/// The objects that a transition has touched. A transition is the sequence of a processor's actions
/// from its choice until the schedule is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Footprint {
    /// These atomics and cells, each with whether the transition has written to it.
    Objects(Vec<(Name, bool)>),
    /// Something of the kernel, which depends on everything.
    Everything,
}

impl Default for Footprint {
    fn default() -> Self {
        Self::Objects(Vec::new())
    }
}

impl Footprint {
    /// Adds the objects that these events have touched.
    pub(super) fn add(&mut self, events: &[Event]) {
        for event in events {
            self.add_one(&event.what);
        }
    }

    fn add_one(&mut self, what: &What) {
        let (object, write) = match what {
            What::Atomic { operation: AtomicOp::Fence, .. }
            | What::Switch { .. }
            | What::ProgramStart
            | What::ProgramEnd
            | What::Note(_)
            | What::Mark(_) => return,
            What::Atomic { operation, object, .. } => {
                (*object, !matches!(operation, AtomicOp::Load | AtomicOp::FailedExchange))
            }
            What::Cell { object, mutable } | What::CellEnd { object, mutable } => (*object, *mutable),
            // Calls, DPCs, timers, locks, pool, the clock, and any event that is added later.
            _ => return self.everything(),
        };
        if let Self::Objects(objects) = self
            && !objects.contains(&(object, write))
        {
            objects.push((object, write));
        }
    }

    /// Makes it depend on everything.
    pub(super) fn everything(&mut self) {
        *self = Self::Everything;
    }

    /// Whether the two commute, because neither writes an object that the other touches. One of
    /// them belongs to another run, which is the same up to the point at which `known` objects had
    /// names. Objects that came later have numbers of their own in each run, so any two of them may
    /// be the same.
    pub(super) fn independent(&self, other: &Self, known: u32) -> bool {
        match (self, other) {
            (Self::Objects(one), Self::Objects(two)) => one.iter().all(|(object, write)| {
                two.iter().all(|(other, writes)| !(*write || *writes) || !may_be_same(*object, *other, known))
            }),
            // A DPC interrupt may come before the other transition's first step.
            _ => false,
        }
    }
}

fn may_be_same(one: Name, other: Name, known: u32) -> bool {
    match (one, other) {
        (Name::Object(one), Name::Object(other)) => one == other || (one >= known && other >= known),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::Footprint;
    use crate::trace::{
        AtomicOp, Event, Name, Value,
        event::What::{self, Atomic, Cell, Note, ProgramEnd},
    };

    fn footprint(list: Vec<What>) -> Footprint {
        let mut footprint = Footprint::default();
        let events: Vec<_> = list
            .into_iter()
            .map(|what| Event { step: 0, time: 0, processor: 0, irql: 0, what, caller: None })
            .collect();
        footprint.add(&events);
        footprint
    }

    fn atomic(operation: AtomicOp, object: u32) -> What {
        let value = Value::Bits(0);
        Atomic { operation, object: Name::Object(object), old: value, new: value }
    }

    #[test]
    fn readers_and_different_objects_are_independent() {
        let of = |operation, object| footprint(vec![atomic(operation, object), Note(String::new())]);
        let (read, write, other) = (of(AtomicOp::Load, 0), of(AtomicOp::Modify, 0), of(AtomicOp::Store, 1));
        assert!(read.independent(&read, 9) && write.independent(&other, 9));
        assert!(!read.independent(&write, 9) && !write.independent(&write, 9));
        let cell = |mutable| footprint(vec![Cell { object: Name::Object(0), mutable }]);
        assert!(cell(false).independent(&cell(false), 9) && !cell(false).independent(&cell(true), 9));
        assert!(of(AtomicOp::FailedExchange, 0).independent(&read, 9), "it writes nothing");
        assert!(!of(AtomicOp::Exchange, 0).independent(&read, 9));
    }

    #[test]
    fn objects_that_came_after_the_runs_parted_may_be_the_same() {
        let of = |object| footprint(vec![atomic(AtomicOp::Store, object)]);
        assert!(of(4).independent(&of(5), 6), "both have had their names");
        assert!(of(4).independent(&of(5), 5), "one has had its name, the other had not");
        assert!(!of(4).independent(&of(5), 4));
    }

    #[test]
    fn the_kernel_depends_on_everything() {
        let kernel = footprint(vec![What::TimeSkipped { by: 1 }, atomic(AtomicOp::Load, 0)]);
        assert_eq!(kernel, Footprint::Everything);
        assert!(!kernel.independent(&footprint(vec![atomic(AtomicOp::Load, 0)]), 1));
        assert!(!kernel.independent(&kernel, 1));
        assert!(!kernel.independent(&footprint(vec![ProgramEnd]), 1));
    }
}
