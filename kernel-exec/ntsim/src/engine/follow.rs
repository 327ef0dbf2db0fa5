//! Follows the order of another build's run, and writes the bytes that make the same run in this
//! build.
//!
//! The follower is asked at every point, and lets the processor run that has the next event in the
//! order. It matches the events of the two runs processor by processor. A call, a beginning, an end
//! or a modification matches the next such event of the same kind. Loads, stores, accesses to cells
//! and calls that only ask something come and go as code changes. The follower matches those only
//! up to the next event of the other kinds. It then encodes its decisions as bytes, in the format
//! that [`Schedule::bytes`] reads.
//!
//! [`Schedule::bytes`]: crate::Schedule::bytes

extern crate alloc;

use alloc::{
    collections::{BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};

use super::{
    choice::{Next, PointKind, after, byte_of},
    order::{self, Item, Order, is_weak},
};
use crate::{limits::PROCESSORS, trace::Event};

/// How many of a processor's events, weak ones apart, may be missing in a row in this run.
const MISSING: usize = 6;
/// How many choices may be missing in a row in this run.
const MISSING_CHOICES: usize = 16;

/// The longest slice that a byte can encode.
const LONGEST: u32 = 31;

/// Follows an order.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    /// For each processor, the events of the order that it has not done yet.
    events: Vec<VecDeque<OrderedEvent>>,
    /// The choices of processors that are still to be made. Each is the number of events before it,
    /// and whether it was made behind a call.
    runs: VecDeque<(usize, bool)>,
    /// The numbers of the events before which another processor was chosen behind a call.
    behind: BTreeSet<usize>,
    /// Choices, each with the number of its possibilities.
    choices: VecDeque<(u8, u8)>,
    /// How many events of the order, weak ones apart, have happened in this run, too.
    common: usize,
    /// How many events of this run have been examined.
    seen: usize,
    /// Whether the follower was asked at a point at which the other run's schedule was not.
    extra: bool,
    /// The next choice is one of threads, and the last possibility is the running thread.
    thread: bool,
    log: Vec<FollowedDecision>,
}

/// An event of the order.
#[derive(Debug, Clone)]
struct OrderedEvent {
    number: usize,
    label: String,
}

/// A decision of the follower.
#[derive(Debug, Clone, Copy)]
enum FollowedDecision {
    Run {
        kind: PointKind,
        forced: bool,
        runnable: u64,
        processor: usize,
        /// Whether the processor continues with another thread.
        switches: bool,
    },
    /// `of_thread` is set only where the schedule was asked which thread runs.
    Choice { taken: u8, of_thread: bool },
}

impl Follower {
    pub(crate) fn new(order: &Order) -> Self {
        let mut all = Self {
            events: alloc::vec![VecDeque::new(); PROCESSORS],
            runs: VecDeque::new(),
            behind: BTreeSet::new(),
            choices: VecDeque::new(),
            common: 0,
            seen: 0,
            extra: false,
            thread: false,
            log: Vec::new(),
        };
        let mut number = 0;
        for item in &order.items {
            match item {
                Item::Event { processor, label } => {
                    if let Some(events) = all.events.get_mut(*processor) {
                        events.push_back(OrderedEvent { number, label: label.clone() });
                    }
                    number += 1;
                }
                Item::Run { behind, .. } => {
                    all.runs.push_back((number, *behind));
                    all.behind.extend(behind.then_some(number));
                }
                Item::Choice { options, taken } => all.choices.push_back((*options, *taken)),
            }
        }
        all
    }

    /// Finds the events since the last call in the order.
    fn observe(&mut self, events: &[Event]) {
        for event in events.get(self.seen..).unwrap_or_default() {
            let Some(Item::Event { processor, label }) = order::event(event) else { continue };
            let Some(rest) = self.events.get_mut(processor) else { continue };
            let same = |past: &OrderedEvent| past.label == label;
            let found = if is_weak(&label) {
                let next = rest.iter().take_while(|past| is_weak(&past.label));
                next.enumerate().find(|(_, past)| same(past)).map(|(place, _)| place)
            } else {
                let strong = rest.iter().enumerate().filter(|(_, past)| !is_weak(&past.label));
                strong.take(MISSING).find(|(_, past)| same(past)).map(|(place, _)| place)
            };
            if let Some(place) = found {
                rest.drain(..=place);
                self.common += usize::from(!is_weak(&label));
            }
        }
        self.seen = events.len();
    }

    /// The number of a processor's next event.
    fn next_of(&self, processor: usize) -> usize {
        let next = self.events.get(processor).and_then(VecDeque::front);
        next.map_or(usize::MAX, |past| past.number)
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
        let can_run = |processor: &usize| runnable >> processor & 1 == 1;
        let first = (0..PROCESSORS).filter(can_run).min_by_key(|processor| {
            // If several processors have done all their events, the running one goes on.
            (self.next_of(*processor), *processor != current)
        });
        let mut processor = first.unwrap_or_else(|| after(runnable, current));
        let goes_on = can_run(&current) && kind != PointKind::Switch;
        if goes_on && kind.is_behind() && !self.behind.contains(&self.next_of(processor)) {
            processor = current;
        }
        let place = self.next_of(current).min(self.next_of(processor));
        let due =
            |(at, behind): &(usize, bool)| *at < place || (*at == place && (*behind || !kind.is_behind()));
        self.extra = true;
        while self.runs.pop_front_if(|run| due(run)).is_some() {
            self.extra = false;
        }
        self.log.push(FollowedDecision::Run { kind, forced, runnable, processor, switches: false });
        Next { processor, points: 0, early: true }
    }

    /// Announces that the next choice is one of a processor's threads, the last of which already
    /// runs.
    pub(crate) fn next_is_thread(&mut self) {
        self.thread = true;
    }

    pub(crate) fn choose(&mut self, options: u8) -> u8 {
        let thread = core::mem::take(&mut self.thread);
        let taken = if thread && core::mem::take(&mut self.extra) {
            options - 1
        } else {
            let place =
                self.choices.iter().take(MISSING_CHOICES).position(|(recorded, _)| *recorded == options);
            place.and_then(|place| self.choices.drain(..=place).next_back()).map_or(0, |(_, taken)| taken)
        };
        if let (true, Some(FollowedDecision::Run { switches, .. })) = (thread, self.log.last_mut()) {
            *switches = taken != options - 1;
        }
        self.log.push(FollowedDecision::Choice { taken, of_thread: thread });
        taken
    }

    /// How many events happened in their order, and the bytes of the same run.
    pub(crate) fn outcome(&self, events: &[Event]) -> (usize, Vec<u8>) {
        let mut all = self.clone();
        all.observe(events);
        (all.common, all.bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // The rest of the slice, and whether it may end behind a call.
        let (mut left, mut early, mut was_asked) = (0, false, true);
        for (number, logged) in self.log.iter().enumerate() {
            let (kind, forced, runnable, processor) = match *logged {
                FollowedDecision::Run { kind, forced, runnable, processor, .. } => {
                    (kind, forced, runnable, processor)
                }
                FollowedDecision::Choice { taken, of_thread } => {
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

    /// The slice from this decision for a processor up to the next decision for another one.
    fn slice(&self, number: usize, processor: usize) -> (u32, bool) {
        let mut points = 0;
        for logged in self.log.iter().skip(number + 1) {
            let FollowedDecision::Run { kind, forced, processor: next, switches, .. } = *logged else {
                continue;
            };
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
