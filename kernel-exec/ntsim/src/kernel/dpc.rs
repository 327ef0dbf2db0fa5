//! The DPC queues, one for each processor. They hold addresses.

extern crate alloc;

use alloc::{collections::VecDeque, vec::Vec};

/// A queued DPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueuedDpc {
    /// The KDPC's address.
    pub(crate) address: usize,
    /// Whether the entry is the DPC of an expired timer that is about to run. KeRemoveQueueDpc does
    /// not find it, because it is in no queue.
    pub(crate) in_flight: bool,
}

/// The DPC queues of all processors.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    queues: Vec<VecDeque<(QueuedDpc, u64)>>,
    total: usize,
    /// The number of insertions so far.
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

    /// Inserts a DPC into a processor's queue and returns the new length of the queue.
    pub(crate) fn push(&mut self, processor: usize, entry: QueuedDpc, at_head: bool) -> usize {
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

    /// Removes the next DPC from a processor's queue and returns it with the number of its
    /// insertion.
    pub(crate) fn pop(&mut self, processor: usize) -> Option<(QueuedDpc, u64)> {
        let queued = self.queues.get_mut(processor)?.pop_front()?;
        self.total -= 1;
        Some(queued)
    }

    /// Returns the number of the last insertion.
    pub(crate) fn last(&self) -> u64 {
        self.sequence
    }

    /// Returns whether a DPC is queued that was inserted with this number or before.
    pub(crate) fn any_until(&self, number: u64) -> bool {
        self.queues.iter().flatten().any(|(_, inserted)| *inserted <= number)
    }

    /// Removes a DPC from a processor's queue if it is there and not in flight.
    pub(crate) fn remove(&mut self, processor: usize, address: usize) -> bool {
        let Some(queue) = self.queues.get_mut(processor) else { return false };
        let found = queue.iter().position(|(entry, _)| entry.address == address && !entry.in_flight);
        if let Some(position) = found {
            queue.remove(position);
            self.total -= 1;
        }
        found.is_some()
    }

    /// Returns the first queued DPC in an address range, with its processor. DPCs in flight count.
    pub(crate) fn find_in(&self, range: core::ops::Range<usize>) -> Option<(usize, QueuedDpc)> {
        if self.total == 0 {
            return None;
        }
        self.queues.iter().enumerate().find_map(|(processor, queue)| {
            let found = queue.iter().find(|(entry, _)| range.contains(&entry.address));
            found.map(|(entry, _)| (processor, *entry))
        })
    }

    /// Returns the first queued DPC of all processors.
    pub(crate) fn any(&self) -> Option<(usize, QueuedDpc)> {
        self.find_in(0..usize::MAX)
    }
}
