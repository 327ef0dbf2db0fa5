//! The events of a simulation, and the names of its objects.

extern crate alloc;

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    fmt::{self, Display, Formatter},
};

use super::{event::Event, label::Labels, sites::Sites};

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

    /// The events but those that a library has made ([`Caller::by_library`](super::Caller)).
    #[must_use]
    pub fn without_libraries(&self) -> Self {
        let is_library = |event: &&Event| event.caller.as_ref().is_some_and(|caller| caller.by_library);
        Self { events: self.events.iter().filter(|event| !is_library(event)).cloned().collect() }
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
    /// The objects that programs have named.
    pub(super) labels: Labels,
    /// The functions that were callers. They stay from run to run.
    pub(super) sites: Sites,
}

impl Recorder {
    pub(crate) fn reset(&mut self) {
        self.trace.events.clear();
        self.names.get_mut().clear();
        self.labels.clear();
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
