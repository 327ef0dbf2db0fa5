//! Collects events and names objects.

extern crate alloc;

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    fmt::{self, Display, Formatter},
    ops::Range,
};

use super::{
    event::{Event, What},
    name::Name,
    value::Value,
};
use crate::{engine::machine::Machine, kernel::thread::ThreadName, verifier::irql::Ddi};

/// The events of a simulation, in order. Empty unless [`Config::trace`](crate::Config::trace) is
/// set.
///
/// The text has a line for each event, with step, virtual time, processor, IRQL and description.
/// The same programs, configuration and schedule make the same text in every process.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Trace {
    events: Vec<Event>,
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
    trace: Trace,
    /// In a cell of its own, because a reader of the trace may ask for names.
    names: RefCell<BTreeMap<usize, u32>>,
    /// How many objects have been given numbers.
    named: Cell<u32>,
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

impl Machine {
    /// The name of an address. Without tracing, objects outside pool have no number.
    pub(crate) fn name(&self, address: usize) -> Name {
        if address == 0 {
            return Name::Null;
        }
        if let Some(offset) = self.arena.offset(address) {
            return match self.kernel.borrow().pool.find(offset) {
                Some(block) => Name::Block { number: block.number, offset: offset - block.offset },
                None => Name::Pool { offset },
            };
        }
        if let Some(context) = self.kernel.borrow().threads.find(address) {
            return Name::Thread(ThreadName::of(context));
        }
        if !self.tracing.get() {
            return Name::Address(address);
        }
        let recorder = self.recorder.borrow();
        let mut names = recorder.names.borrow_mut();
        let number = names.entry(address).or_insert_with(|| {
            let next = recorder.named.get();
            recorder.named.set(next + 1);
            next
        });
        Name::Object(*number)
    }

    /// Forgets the names of these addresses, because a new object has them. The objects before were
    /// in memory of the host that has been freed since.
    pub(crate) fn forget_names(&self, addresses: Range<usize>) {
        self.recorder.borrow().names.borrow_mut().retain(|address, _| !addresses.contains(address));
    }

    /// A pointer-sized value as the trace shows it, either a small number or a pointer.
    pub(crate) fn pointer(&self, value: usize) -> Value {
        if value < 0x1_0000 && value != 0 {
            Value::Bits(value as u64)
        } else {
            Value::Pointer(self.name(value))
        }
    }

    /// An integer as the trace shows it. Pool addresses appear as names.
    pub(crate) fn integer(&self, value: u64) -> Value {
        match self.arena.offset(value as usize) {
            Some(_) => Value::Pointer(self.name(value as usize)),
            None => Value::Bits(value),
        }
    }

    /// Adds an event.
    pub(crate) fn record(&self, what: What) {
        let event = Event {
            step: self.clock.steps(),
            time: self.clock.now(),
            processor: self.current.get(),
            irql: self.irql(),
            what,
        };
        self.recorder.borrow_mut().trace.events.push(event);
    }

    /// Adds the call of a DDI, when tracing.
    #[inline]
    pub(crate) fn called<const N: usize>(
        &self,
        ddi: Ddi,
        describe: impl FnOnce(&Self) -> ([Value; N], Option<Value>),
    ) {
        if self.tracing.get() {
            let (arguments, result) = describe(self);
            self.record(What::Call { ddi, arguments: arguments.into(), result });
        }
    }
}
