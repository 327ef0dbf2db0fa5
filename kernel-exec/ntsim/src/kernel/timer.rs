//! Set timers, and the time-outs of waits, by the time of their expiry.

extern crate alloc;

use alloc::{collections::BinaryHeap, vec::Vec};
use core::{cmp::Reverse, ops::Range};

use rustc_hash::FxHashMap;

/// The place of a set timer in the queue. It consists of the tick at which it expires, and a number
/// that keeps timers of one tick in the order of setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) tick: u64,
    pub(crate) sequence: u64,
}

/// A set timer, or the time-out of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetTimer {
    /// The address of the KTIMER, or of the waiting thread.
    pub(crate) address: usize,
    /// The thread that has this time-out, or none for a timer.
    pub(crate) thread: Option<usize>,
    /// The KDPC's address, or 0.
    pub(crate) dpc: usize,
    /// The processor that set it. Its DPC runs there unless it targets another.
    pub(crate) processor: usize,
    /// Its period in milliseconds, or 0.
    pub(crate) period: u32,
    /// The time in milliseconds by which it may expire late.
    pub(crate) tolerance: u32,
    /// The system time at which it is due, if it is absolute.
    pub(crate) absolute: Option<u64>,
}

impl SetTimer {
    /// Returns its own address, and that of its DPC if it has one.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        [self.address, self.dpc].into_iter().filter(|address| *address != 0)
    }
}

/// The timer queue, with set timers by address and by expiry.
///
/// Setting and cancelling cost a few look-ups in hash tables, however many timers are set. The next
/// to expire is on top of a heap. A cancelled timer leaves its place behind in the heap until that
/// is on top, or until places left behind are most of the heap.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// All set timers, by their own addresses.
    set: FxHashMap<usize, (Key, SetTimer)>,
    /// The places in the queue, with the addresses of their timers, set or not. The first place is
    /// that of a set timer.
    order: BinaryHeap<Reverse<(Key, usize)>>,
    /// How many set timers and their DPCs are in each line of memory. For [`Timers::find_in`].
    lines: FxHashMap<usize, usize>,
    sequence: u64,
    /// How many set timers are periodic.
    periodic: usize,
}

/// The size of a line of memory, which is that of a KTIMER and a KDPC.
const LINE: usize = 64;
/// The number of places that may be left behind, however few timers are set.
const LEFT_BEHIND: usize = 64;

impl Timers {
    pub(crate) fn reset(&mut self) {
        self.set.clear();
        self.order.clear();
        self.lines.clear();
        self.sequence = 0;
        self.periodic = 0;
    }

    /// Returns whether the timer at an address is set.
    pub(crate) fn is_set(&self, address: usize) -> bool {
        self.set.contains_key(&address)
    }

    /// Sets a timer that is not set.
    pub(crate) fn insert(&mut self, tick: u64, entry: SetTimer) -> Key {
        self.sequence += 1;
        let key = Key { tick, sequence: self.sequence };
        self.periodic += usize::from(entry.period != 0);
        for address in entry.places() {
            *self.lines.entry(address / LINE).or_default() += 1;
        }
        let before = self.set.insert(entry.address, (key, entry));
        debug_assert!(before.is_none(), "a timer is in the queue once");
        self.order.push(Reverse((key, entry.address)));
        key
    }

    /// Removes the timer at `address` if its place is `key`. Returns none if another timer, or
    /// none, is there.
    pub(crate) fn remove(&mut self, key: Key, address: usize) -> Option<SetTimer> {
        if self.set.get(&address)?.0 != key {
            return None;
        }
        let entry = self.forget(address)?;
        self.tidy();
        Some(entry)
    }

    /// Removes the first timer that has expired at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(Key, SetTimer)> {
        let Reverse((key, address)) = *self.order.peek()?;
        if key.tick > now {
            return None;
        }
        let entry = self.forget(address)?;
        self.tidy();
        Some((key, entry))
    }

    /// Removes a timer from the set timers. Its place is left behind.
    fn forget(&mut self, address: usize) -> Option<SetTimer> {
        let (_, entry) = self.set.remove(&address)?;
        self.periodic -= usize::from(entry.period != 0);
        for address in entry.places() {
            let line = address / LINE;
            if let Some(count) = self.lines.get_mut(&line) {
                *count -= 1;
                if *count == 0 {
                    self.lines.remove(&line);
                }
            }
        }
        Some(entry)
    }

    /// Removes places left behind from the top, and all of them if they are most of the heap.
    fn tidy(&mut self) {
        let Self { set, order, .. } = self;
        let live = |&Reverse((key, address)): &Reverse<(Key, usize)>| {
            set.get(&address).is_some_and(|(now, _)| *now == key)
        };
        while order.peek().is_some_and(|place| !live(place)) {
            order.pop();
        }
        if order.len() > 2 * set.len() + LEFT_BEHIND {
            order.retain(live);
        }
    }

    /// Returns whether all set timers, if any, are periodic.
    pub(crate) fn all_periodic(&self) -> bool {
        self.periodic == self.set.len()
    }

    /// Returns the timers that follow the system clock, in the order of their expiry.
    pub(crate) fn absolute(&self) -> Vec<(Key, SetTimer)> {
        let absolute = self.set.values().filter(|(_, entry)| entry.absolute.is_some());
        let mut absolute: Vec<_> = absolute.copied().collect();
        absolute.sort_unstable_by_key(|(key, _)| *key);
        absolute
    }

    /// Returns the time at which the next timer expires.
    pub(crate) fn next(&self) -> Option<u64> {
        self.order.peek().map(|Reverse((key, _))| key.tick)
    }

    /// Returns the first set timer that lies in an address range itself or with its DPC.
    pub(crate) fn find_in(&self, range: Range<usize>) -> Option<SetTimer> {
        let mut lines = range.start / LINE..range.end.div_ceil(LINE);
        // A large range has more lines than there are timers.
        if lines.len() < self.set.len() && !lines.any(|line| self.lines.contains_key(&line)) {
            return None;
        }
        self.first(|entry| entry.places().any(|address| range.contains(&address)))
    }

    /// Returns the first to expire of all set timers, without time-outs of waits.
    pub(crate) fn any(&self) -> Option<SetTimer> {
        self.first(|entry| entry.thread.is_none())
    }

    /// Returns the first to expire of the entries that match.
    fn first(&self, those: impl Fn(&SetTimer) -> bool) -> Option<SetTimer> {
        let those = self.set.values().filter(|(_, entry)| those(entry));
        those.min_by_key(|(key, _)| *key).map(|(_, entry)| *entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        prelude::*,
        test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner},
    };

    use super::*;

    fn entry(address: usize, dpc: usize, period: u32, absolute: bool) -> SetTimer {
        let (thread, absolute) = ((address % 3 == 1).then_some(address), absolute.then_some(7));
        SetTimer { address, thread, dpc, processor: 0, period, tolerance: 0, absolute }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(u64, SetTimer),
        Cancel(usize),
        Expire(u64),
        Find(Range<usize>),
    }

    /// Generates few addresses that are close together and in several lines.
    fn address() -> impl Strategy<Value = usize> {
        (1..40_usize).prop_map(|number| number * 8)
    }

    fn step() -> impl Strategy<Value = Step> {
        let set = (0..9_u64, address(), 0..2_usize, address(), 0..2_u32, any::<bool>()).prop_map(
            |(tick, address, with, dpc, period, absolute)| {
                Step::Set(tick, entry(address, with * (dpc + 4), period, absolute))
            },
        );
        prop_oneof![
            4 => set,
            2 => address().prop_map(Step::Cancel),
            1 => (0..9_u64).prop_map(Step::Expire),
            2 => (0..400_usize, 0..90_usize).prop_map(|(start, size)| Step::Find(start..start + size)),
        ]
    }

    /// Returns all set timers in the order in which they expire.
    fn sorted(model: &[(Key, SetTimer)]) -> Vec<(Key, SetTimer)> {
        let mut sorted = model.to_vec();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        sorted
    }

    #[test]
    fn it_is_a_list() {
        let config = Cases { cases: 300, failure_persistence: None, ..Cases::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        runner.run(&vec(step(), 0..200), is_a_list).unwrap_or_else(|error| panic!("{error}"));
    }

    fn is_a_list(steps: Vec<Step>) -> Result<(), TestCaseError> {
        let mut timers = Timers::default();
        let mut model: Vec<(Key, SetTimer)> = Vec::new();
        for step in steps {
            match step {
                Step::Set(tick, entry) => {
                    let before = model.iter().position(|(_, other)| other.address == entry.address);
                    prop_assert_eq!(timers.is_set(entry.address), before.is_some());
                    if before.is_none() {
                        model.push((timers.insert(tick, entry), entry));
                    }
                }
                Step::Cancel(address) => {
                    let at = model.iter().position(|(_, entry)| entry.address == address);
                    let (key, entry) = at.map_or_else(
                        || (Key { tick: 0, sequence: 0 }, None),
                        |at| {
                            let (key, entry) = model.remove(at);
                            (key, Some(entry))
                        },
                    );
                    let other = Key { sequence: key.sequence + 1, ..key };
                    prop_assert_eq!(timers.remove(other, address), None);
                    prop_assert_eq!(timers.remove(key, address), entry);
                }
                Step::Expire(now) => {
                    while let Some(first) = timers.pop_due(now) {
                        prop_assert_eq!(sorted(&model).first().copied(), Some(first));
                        model.retain(|timer| *timer != first);
                    }
                    prop_assert!(model.iter().all(|(key, _)| key.tick > now));
                }
                Step::Find(range) => {
                    let inside = |address: usize| address != 0 && range.contains(&address);
                    let found = sorted(&model)
                        .into_iter()
                        .find(|(_, timer)| inside(timer.address) || inside(timer.dpc));
                    prop_assert_eq!(timers.find_in(range.clone()), found.map(|(_, entry)| entry));
                }
            }
            let sorted = sorted(&model);
            prop_assert_eq!(timers.next(), sorted.first().map(|(key, _)| key.tick));
            prop_assert_eq!(timers.all_periodic(), model.iter().all(|(_, entry)| entry.period != 0));
            prop_assert_eq!(
                timers.any(),
                sorted.iter().find(|(_, entry)| entry.thread.is_none()).map(|(_, entry)| *entry)
            );
            let absolute: Vec<_> = sorted.into_iter().filter(|(_, entry)| entry.absolute.is_some()).collect();
            prop_assert_eq!(timers.absolute(), absolute);
            prop_assert!(timers.lines.values().all(|count| *count != 0));
        }
        Ok(())
    }

    #[test]
    fn what_cancelled_timers_leave_behind_is_bounded() {
        let mut timers = Timers::default();
        timers.insert(1, entry(3 * LINE, 0, 0, false));
        for _ in 0..10_000 {
            let key = timers.insert(2, entry(6 * LINE, 9 * LINE, 0, false));
            timers.remove(key, 6 * LINE).expect("it is set");
            assert!(timers.order.len() <= 2 + LEFT_BEHIND, "{} places", timers.order.len());
            assert_eq!(timers.lines.len(), 1);
        }
    }
}
