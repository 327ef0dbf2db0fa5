//! The events of a simulation, and the names of its objects.

extern crate alloc;

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    fmt::{self, Display, Formatter},
};

use super::event::Event;

/// The events of a simulation, in order. Empty unless [`Config::trace`](crate::Config::trace) is
/// set.
///
/// The text has a line for each event, with step, virtual time, processor, IRQL and description.
/// The same programs, configuration and schedule make the same text in every process.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Trace {
    pub(super) events: Vec<Event>,
}

/// Writes the number of events; the text form lists them.
impl core::fmt::Debug for Trace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Trace({} events)", self.events.len())
    }
}

impl Trace {
    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// A trace of these events.
    pub fn new(events: Vec<Event>) -> Self {
        Self { events }
    }
}

impl Display for Trace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.events.is_empty() {
            writeln!(f, "  step       time  cpu")?;
        }
        self.events.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

/// The trace of the current simulation, and the names of its objects.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(super) trace: Trace,
    /// In a cell of its own, because a reader of the trace may ask for names.
    pub(super) names: RefCell<BTreeMap<usize, u32>>,
    /// How many objects have been given numbers.
    pub(super) named: Cell<u32>,
}

impl Recorder {
    pub(crate) fn reset(&mut self) {
        self.trace.events.clear();
        self.names.get_mut().clear();
        self.named.set(0);
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// How many objects have numbers.
    pub(crate) fn named(&self) -> u32 {
        self.named.get()
    }
}
