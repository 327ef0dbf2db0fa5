//! Set timers, and the time-outs of waits, by when they expire.

extern crate alloc;

use alloc::collections::{BTreeMap, BTreeSet};

/// A set timer's place: the tick at which it expires, and a number that keeps timers of one tick in the order of setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) tick: u64,
    pub(crate) sequence: u64,
}

/// A set timer, or the time-out of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The KTIMER's address, or that of the thread that waits.
    pub(crate) address: usize,
    /// The thread whose wait ends then; none: it is a timer.
    pub(crate) thread: Option<usize>,
    /// The KDPC's address, or 0.
    pub(crate) dpc: usize,
    /// The processor that set it: its DPC runs there unless it targets another.
    pub(crate) processor: usize,
    /// Its period in milliseconds, or 0.
    pub(crate) period: u32,
    /// How much later than due it may expire, in milliseconds.
    pub(crate) tolerance: u32,
    /// It is due when the system clock shows this.
    pub(crate) absolute: Option<u64>,
}

impl Entry {
    /// Its own address, and that of its DPC if it has one.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        [self.address, self.dpc].into_iter().filter(|address| *address != 0)
    }
}

/// The timer queue.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeMap<Key, Entry>,
    /// The address of each that is set, and of its DPC.
    places: BTreeSet<(usize, Key)>,
    sequence: u64,
    /// How many of them are periodic.
    periodic: usize,
}

impl Timers {
    pub(crate) fn reset(&mut self) {
        if !self.set.is_empty() {
            self.set.clear();
            self.places.clear();
        }
        self.sequence = 0;
        self.periodic = 0;
    }

    /// Sets a timer that is not set.
    pub(crate) fn insert(&mut self, tick: u64, entry: Entry) -> Key {
        self.sequence += 1;
        self.periodic += usize::from(entry.period != 0);
        let key = Key { tick, sequence: self.sequence };
        self.set.insert(key, entry);
        self.places.extend(entry.places().map(|address| (address, key)));
        key
    }

    /// Removes the timer at `address`, whose place is `key`; none where another or none is there.
    pub(crate) fn remove(&mut self, key: Key, address: usize) -> Option<Entry> {
        if self.set.get(&key)?.address != address {
            return None;
        }
        let entry = self.set.remove(&key)?;
        self.forget(key, &entry);
        Some(entry)
    }

    /// Removes the first timer that has expired at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(Key, Entry)> {
        let (key, _) = self.set.first_key_value()?;
        if key.tick > now {
            return None;
        }
        let (key, entry) = self.set.pop_first()?;
        self.forget(key, &entry);
        Some((key, entry))
    }

    /// This one has left the queue.
    fn forget(&mut self, key: Key, entry: &Entry) {
        self.periodic -= usize::from(entry.period != 0);
        for address in entry.places() {
            self.places.remove(&(address, key));
        }
    }

    /// Whether all that are set, if any, are periodic.
    pub(crate) fn all_periodic(&self) -> bool {
        self.periodic == self.set.len()
    }

    /// Those that follow the system clock.
    pub(crate) fn absolute(&self) -> alloc::vec::Vec<(Key, Entry)> {
        let absolute = self.set.iter().filter(|(_, entry)| entry.absolute.is_some());
        absolute.map(|(key, entry)| (*key, *entry)).collect()
    }

    /// When the next timer expires.
    pub(crate) fn next(&self) -> Option<u64> {
        self.set.first_key_value().map(|(key, _)| key.tick)
    }

    /// The first set timer that, or whose DPC, lies in an address range.
    pub(crate) fn find_in(&self, range: core::ops::Range<usize>) -> Option<Entry> {
        let first = Key { tick: 0, sequence: 0 };
        let touched = self.places.range((range.start, first)..(range.end, first));
        let key = touched.map(|(_, key)| key).min()?;
        self.set.get(key).copied()
    }

    /// The first set timer of all.
    pub(crate) fn any(&self) -> Option<Entry> {
        self.set.values().find(|entry| entry.thread.is_none()).copied()
    }
}
