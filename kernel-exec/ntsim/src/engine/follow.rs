//! Following the order of another build's run, and writing down the bytes that make the same run
//! here.
//!
//! The follower is asked at every point. Its place in the order is the last event that the two runs
//! have in common; it lets the processor run that was chosen there. What it has decided, at which
//! point, is then said in bytes: how [`Schedule::bytes`] reads them is done here the other way
//! round.
//!
//! [`Schedule::bytes`]: crate::Schedule::bytes

extern crate alloc;

use alloc::{collections::VecDeque, string::String, vec::Vec};

use super::{
    order::{self, Item, Order},
    schedule::{Next, PointKind, after, byte_of},
};
use crate::trace::Event;

/// Events of the order that may be missing here in a row.
const MISSING: usize = 16;

/// The longest slice that a byte says.
const LONGEST: u32 = 31;

/// Follows an order.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    events: Vec<(usize, String)>,
    /// Which processor was chosen, after how many events, and whether behind a call.
    runs: VecDeque<(usize, usize, bool)>,
    /// Choices, of how many possibilities.
    choices: VecDeque<(u8, u8)>,
    /// Events of the order that are past.
    past: usize,
    /// How many of them came here, too.
    common: usize,
    /// Events of this run that have been looked at.
    seen: usize,
    /// Whether the follower was asked where the other run was not.
    extra: bool,
    /// The next choice is one of threads, the last of which runs.
    thread: bool,
    log: Vec<Logged>,
}

/// What was decided.
#[derive(Debug, Clone, Copy)]
enum Logged {
    Run {
        kind: PointKind,
        forced: bool,
        runnable: u64,
        processor: usize,
        /// The processor goes on with another thread.
        switches: bool,
    },
    /// A choice is of a thread only where the schedule was asked which one runs.
    Choice { taken: u8, of_thread: bool },
}

impl Follower {
    pub(crate) fn new(order: &Order) -> Self {
        let (mut events, mut runs, mut choices) = (Vec::new(), VecDeque::new(), VecDeque::new());
        for item in &order.items {
            match item {
                Item::Event { processor, label } => events.push((*processor, label.clone())),
                Item::Run { processor, behind } => runs.push_back((events.len(), *processor, *behind)),
                Item::Choice { options, taken } => choices.push_back((*options, *taken)),
            }
        }
        Self {
            events,
            runs,
            choices,
            past: 0,
            common: 0,
            seen: 0,
            extra: false,
            thread: false,
            log: Vec::new(),
        }
    }

    /// Finds the events since the last time in the order.
    fn observe(&mut self, events: &[Event]) {
        for event in events.get(self.seen..).unwrap_or_default() {
            let Some(Item::Event { processor, label }) = order::event(event) else { continue };
            let mut rest = self.events.iter().skip(self.past).take(MISSING);
            if let Some(ahead) = rest.position(|(who, what)| *who == processor && *what == label) {
                self.past += ahead + 1;
                self.common += 1;
            }
        }
        self.seen = events.len();
    }

    /// Which processor runs, up to the next point.
    pub(crate) fn run(
        &mut self,
        runnable: u64,
        current: usize,
        kind: PointKind,
        forced: bool,
        events: &[Event],
    ) -> Next {
        self.observe(events);
        let mut target = None;
        let can_run = |processor: usize| runnable >> processor & 1 == 1;
        while let Some((at, processor, behind)) = self.runs.front().copied() {
            let due = at < self.past || (at == self.past && (behind || !kind.is_behind()));
            if !due || (at == self.past && target.is_some_and(can_run)) {
                break;
            }
            self.runs.pop_front();
            target = Some(processor);
        }
        self.extra = target.is_none();
        let chosen = target.into_iter().chain([current]).find(|processor| can_run(*processor));
        let processor = chosen.unwrap_or_else(|| after(runnable, current));
        self.log.push(Logged::Run { kind, forced, runnable, processor, switches: false });
        Next { processor, points: 0, early: true }
    }

    /// The next choice is which of a processor's threads runs, the last of which does already.
    pub(crate) fn next_is_thread(&mut self) {
        self.thread = true;
    }

    pub(crate) fn choose(&mut self, options: u8) -> u8 {
        let thread = core::mem::take(&mut self.thread);
        let taken = if thread && core::mem::take(&mut self.extra) {
            options - 1
        } else {
            let place = self.choices.iter().take(MISSING).position(|(recorded, _)| *recorded == options);
            place.and_then(|place| self.choices.drain(..=place).next_back()).map_or(0, |(_, taken)| taken)
        };
        if let (true, Some(Logged::Run { switches, .. })) = (thread, self.log.last_mut()) {
            *switches = taken != options - 1;
        }
        self.log.push(Logged::Choice { taken, of_thread: thread });
        taken
    }

    /// How many events were done in their order, and the bytes of the same run.
    pub(crate) fn outcome(&self, events: &[Event]) -> (usize, Vec<u8>) {
        let mut all = self.clone();
        all.observe(events);
        (all.common, all.bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What is left of the slice, and whether it may end behind a call.
        let (mut left, mut early, mut was_asked) = (0, false, true);
        for (number, logged) in self.log.iter().enumerate() {
            let (kind, forced, runnable, processor) = match *logged {
                Logged::Run { kind, forced, runnable, processor, .. } => (kind, forced, runnable, processor),
                Logged::Choice { taken, of_thread } => {
                    if was_asked || !of_thread {
                        bytes.push(taken);
                    }
                    continue;
                }
            };
            let asked = forced
                || match kind {
                    PointKind::Before | PointKind::Return => left == 0,
                    PointKind::After | PointKind::Woken => left == 0 && early,
                    PointKind::Switch => true,
                };
            was_asked = asked;
            if !asked {
                left -= u32::from(kind == PointKind::Before);
                continue;
            }
            let (points, ends_early) = self.slice(number, processor);
            (left, early) = (points, ends_early);
            bytes.push(byte_of(runnable, Next { processor, points, early }));
        }
        bytes
    }

    /// The slice up to the next decision for something else, after this one for a processor.
    fn slice(&self, number: usize, processor: usize) -> (u32, bool) {
        let mut points = 0;
        for logged in self.log.iter().skip(number + 1) {
            let Logged::Run { kind, forced, processor: next, switches, .. } = *logged else { continue };
            if forced {
                return (LONGEST.min(points + 1), false);
            }
            if next != processor || switches {
                return (points, kind == PointKind::After);
            }
            if kind == PointKind::Before {
                if points == LONGEST {
                    break;
                }
                points += 1;
            }
        }
        (LONGEST, false)
    }
}
