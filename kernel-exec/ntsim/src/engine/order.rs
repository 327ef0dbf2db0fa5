//! The order of a run: its events and its decisions, as text for another build that is to make the
//! same run.
//!
//! Two builds of one program differ in their points, so a schedule means different things to them.
//! They have in common the order in which processors do their events.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::fmt::Write;

use super::recording::Decision;
use crate::trace::{Event, event::What};

/// A part of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// An event of a processor.
    Event {
        /// The processor.
        processor: usize,
        /// The kind of event, without its objects.
        label: String,
    },
    /// A decision that this processor runs, made behind a call or elsewhere.
    Run {
        /// The processor.
        processor: usize,
        /// Whether it was made behind a call.
        behind: bool,
    },
    /// A choice among several possibilities.
    Choice {
        /// The number of possibilities.
        options: u8,
        /// The possibility that was taken.
        taken: u8,
    },
}

/// The order of a run's events and decisions. The text has a line for each: `e <processor> <what>`,
/// `r <processor>`, `a <processor>` (behind a call), `c <options> <taken>`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Order {
    pub(crate) items: Vec<Item>,
}

impl Order {
    /// The order of these events and decisions. Each decision comes with the number of events
    /// before it.
    pub(crate) fn new(events: &[Event], decisions: &[(usize, Decision)]) -> Self {
        let mut items = Vec::new();
        let mut decisions = decisions.iter().peekable();
        for number in 0..=events.len() {
            while let Some((_, decision)) = decisions.next_if(|(at, _)| *at <= number) {
                items.extend(item(decision));
            }
            items.extend(events.get(number).and_then(event));
        }
        Self { items }
    }

    /// The text that [`Order::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for item in &self.items {
            // Writing to a string does not fail.
            let _ = match item {
                Item::Event { processor, label } => writeln!(text, "e {processor} {label}"),
                Item::Run { processor, behind: false } => writeln!(text, "r {processor}"),
                Item::Run { processor, behind: true } => writeln!(text, "a {processor}"),
                Item::Choice { options, taken } => writeln!(text, "c {options} {taken}"),
            };
        }
        text
    }

    /// Reads the text that [`Order::to_text`] writes.
    ///
    /// # Errors
    /// The number, from 1, of the first line that does not follow the format.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let parsed = text.lines().enumerate().map(|(number, line)| parsed(line).ok_or(number + 1));
        Ok(Self { items: parsed.collect::<Result<_, _>>()? })
    }

    /// Whether both orders have the same events in the same order, regardless of their decisions.
    pub fn same_events(&self, other: &Self) -> bool {
        self.labels().eq(other.labels())
    }

    /// How many of [`Order::events`] come before the first event in which the orders differ.
    pub fn same_beginning(&self, other: &Self) -> usize {
        let same = self.labels().zip(other.labels()).take_while(|(one, other)| one == other);
        same.filter(|((_, label), _)| !is_weak(label)).count()
    }

    fn labels(&self) -> impl Iterator<Item = (usize, &str)> {
        self.items.iter().filter_map(|item| match item {
            Item::Event { processor, label } => Some((*processor, label.as_str())),
            _ => None,
        })
    }

    /// How many events there are, apart from weak ones, which come and go as code changes. Weak are
    /// loads, stores, accesses to cells, and calls that only ask something.
    pub fn events(&self) -> usize {
        self.items.iter().filter(|item| matches!(item, Item::Event { label, .. } if !is_weak(label))).count()
    }
}

fn parsed(line: &str) -> Option<Item> {
    let mut words = line.split(' ');
    let (kind, first, second) = (words.next()?, words.next()?, words.next());
    match (kind, second) {
        ("e", Some(label)) => Some(Item::Event { processor: first.parse().ok()?, label: label.into() }),
        ("r" | "a", None) => Some(Item::Run { processor: first.parse().ok()?, behind: kind == "a" }),
        ("c", Some(taken)) => Some(Item::Choice { options: first.parse().ok()?, taken: taken.parse().ok()? }),
        _ => None,
    }
}

fn item(decision: &Decision) -> Option<Item> {
    match *decision {
        Decision::Choice { options, taken } => Some(Item::Choice { options, taken }),
        Decision::Run { processor, .. } => Some(Item::Run { processor: processor.into(), behind: false }),
        Decision::After { processor, .. } | Decision::Woken { processor, .. } => {
            Some(Item::Run { processor: processor.into(), behind: true })
        }
    }
}

/// Whether an event of this kind comes and goes as code changes, and changes no state.
pub(crate) fn is_weak(label: &str) -> bool {
    let asks = ["KeGetCurrent", "KeQuery", "KeRead", "KeShould"].iter().any(|word| label.starts_with(word));
    asks || matches!(label, "Load" | "Store" | "Fence" | "Cell" | "CellEnd")
}

/// An event as an item. `None` for notes, marks and events of the scheduler.
pub(crate) fn event(event: &Event) -> Option<Item> {
    let label = match &event.what {
        What::Call { ddi, .. } => String::from(ddi.name()),
        What::Atomic { operation, .. } => alloc::format!("{operation:?}"),
        What::Switch { .. }
        | What::Thread { .. }
        | What::ThreadReady { .. }
        | What::TimeSkipped { .. }
        | What::Note(_)
        | What::Mark(_) => return None,
        other => {
            let debug = alloc::format!("{other:?}");
            debug.chars().take_while(|letter| letter.is_alphanumeric()).collect()
        }
    };
    Some(Item::Event { processor: event.processor, label })
}

#[cfg(test)]
mod tests {
    use super::{Item, Order};

    #[test]
    fn text_reads_back() {
        let items = vec![
            Item::Run { processor: 1, behind: false },
            Item::Run { processor: 0, behind: true },
            Item::Event { processor: 1, label: "KeSetEvent".into() },
            Item::Choice { options: 2, taken: 1 },
        ];
        let order = Order { items };
        assert_eq!(Order::parse(&order.to_text()), Ok(order.clone()));
        assert_eq!(order.events(), 1);
        assert_eq!(Order::parse("r 1\nx\n"), Err(2));
    }
}
