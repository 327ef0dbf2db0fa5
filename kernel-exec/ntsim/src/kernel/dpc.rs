//! The DPC queues: one a processor, of addresses.

extern crate alloc;

use alloc::{collections::VecDeque, vec::Vec};

/// A queued DPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The KDPC's address.
    pub(crate) address: usize,
    /// A timer expired and its DPC is on its way without being in a queue: KeRemoveQueueDpc does not find it.
    pub(crate) in_flight: bool,
}

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: Vec<VecDeque<(Entry, u64)>>,
    total: usize,
    /// Counts insertions.
    sequence: u64,
}

impl Queues {
    pub(crate) fn reset(&mut self, processors: usize) {
        if self.total != 0 {
            for queue in &mut self.queues {
                queue.clear();
            }
        }
        self.total = 0;
        self.sequence = 0;
        if self.queues.len() < processors {
            self.queues.resize_with(processors, VecDeque::new);
        }
    }

    /// Puts a DPC into a processor's queue and returns how many are in it then.
    pub(crate) fn push(&mut self, processor: usize, entry: Entry, at_head: bool) -> usize {
        let Some(queue) = self.queues.get_mut(processor) else { return 0 };
        self.sequence += 1;
        let queued = (entry, self.sequence);
        if at_head {
            queue.push_front(queued);
        } else {
            queue.push_back(queued);
        }
        self.total += 1;
        queue.len()
    }

    /// Takes the next DPC out of a processor's queue, with the number of its insertion.
    pub(crate) fn pop(&mut self, processor: usize) -> Option<(Entry, u64)> {
        let queued = self.queues.get_mut(processor)?.pop_front()?;
        self.total -= 1;
        Some(queued)
    }

    /// The number of the last insertion.
    pub(crate) fn last(&self) -> u64 {
        self.sequence
    }

    /// Whether a DPC is queued that was inserted with this number or before.
    pub(crate) fn any_until(&self, number: u64) -> bool {
        self.queues.iter().flatten().any(|(_, inserted)| *inserted <= number)
    }

    /// Removes a DPC from a processor's queue, where it is and is not in flight.
    pub(crate) fn remove(&mut self, processor: usize, address: usize) -> bool {
        let Some(queue) = self.queues.get_mut(processor) else { return false };
        let found = queue.iter().position(|(entry, _)| entry.address == address && !entry.in_flight);
        if let Some(position) = found {
            queue.remove(position);
            self.total -= 1;
        }
        found.is_some()
    }

    /// The first queued DPC that lies in an address range, with its processor; flights count.
    pub(crate) fn find_in(&self, range: core::ops::Range<usize>) -> Option<(usize, Entry)> {
        if self.total == 0 {
            return None;
        }
        self.queues.iter().enumerate().find_map(|(processor, queue)| {
            let found = queue.iter().find(|(entry, _)| range.contains(&entry.address));
            found.map(|(entry, _)| (processor, *entry))
        })
    }

    /// The first queued DPC of all.
    pub(crate) fn any(&self) -> Option<(usize, Entry)> {
        self.find_in(0..usize::MAX)
    }
}
