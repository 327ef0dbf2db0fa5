//! The queues of work items, and their workers.

extern crate alloc;

use alloc::{collections::VecDeque, vec::Vec};
use core::ops::Range;

/// Queues of work items: by WORK_QUEUE_TYPE.
pub(crate) const QUEUES: usize = 5;

/// A queued work item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    /// The IO_WORKITEM's or WORK_QUEUE_ITEM's address.
    pub(crate) address: usize,
    /// It is an IO_WORKITEM.
    pub(crate) io: bool,
    /// What its routine is called with, and how: taken from the item when it was queued.
    pub(crate) call: Call,
}

/// How a work item's routine is called; the addresses are the driver's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A routine of ExQueueWorkItem.
    Executive { routine: usize, parameter: usize },
    /// A routine of IoQueueWorkItem.
    Io { routine: usize, object: usize, context: usize },
    /// A routine of IoQueueWorkItemEx.
    IoEx { routine: usize, object: usize, context: usize },
}

impl Call {
    /// The routine's address.
    pub(crate) fn routine(self) -> usize {
        match self {
            Self::Executive { routine, .. } | Self::Io { routine, .. } | Self::IoEx { routine, .. } => {
                routine
            }
        }
    }

    /// The routine's context.
    pub(crate) fn context(self) -> usize {
        match self {
            Self::Executive { parameter: context, .. }
            | Self::Io { context, .. }
            | Self::IoEx { context, .. } => context,
        }
    }

    /// The object that is referenced until the routine has returned.
    pub(crate) fn object(self) -> Option<usize> {
        match self {
            Self::Executive { .. } => None,
            Self::Io { object, .. } | Self::IoEx { object, .. } => Some(object),
        }
    }
}

/// A worker thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Worker {
    thread: usize,
    queue: usize,
    /// The item whose routine it runs; none: it waits for one.
    runs: Option<Item>,
    /// It waits, and nobody has woken it.
    idle: bool,
}

/// All queues and workers.
#[derive(Debug, Default)]
pub(crate) struct Work {
    queues: [VecDeque<Item>; QUEUES],
    workers: Vec<Worker>,
}

impl Work {
    pub(crate) fn reset(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        for queue in &mut self.queues {
            queue.clear();
        }
        self.workers.clear();
    }

    /// Whether anything was ever queued.
    pub(crate) fn is_used(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Puts an item at a queue's end.
    pub(crate) fn push(&mut self, queue: usize, item: Item) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.push_back(item);
        }
    }

    /// A worker takes the next item of its queue, to run its routine.
    pub(crate) fn take(&mut self, thread: usize) -> Option<Item> {
        let worker = self.workers.iter_mut().find(|worker| worker.thread == thread)?;
        worker.runs = self.queues.get_mut(worker.queue)?.pop_front();
        worker.idle = worker.runs.is_none();
        worker.runs
    }

    /// A new worker.
    pub(crate) fn add_worker(&mut self, thread: usize, queue: usize) {
        self.workers.push(Worker { thread, queue, runs: None, idle: false });
    }

    /// How many workers a queue has.
    pub(crate) fn workers(&self, queue: usize) -> usize {
        self.workers.iter().filter(|worker| worker.queue == queue).count()
    }

    /// A worker that waits for an item of this queue; it is not idle any more.
    pub(crate) fn wake(&mut self, queue: usize) -> Option<usize> {
        let worker = self.workers.iter_mut().find(|worker| worker.queue == queue && worker.idle)?;
        worker.idle = false;
        Some(worker.thread)
    }

    /// The first queued item that lies in an address range.
    pub(crate) fn find_in(&self, range: Range<usize>) -> Option<Item> {
        if self.workers.is_empty() {
            return None;
        }
        self.queued().find(|item| range.contains(&item.address)).copied()
    }

    /// The queued items.
    pub(crate) fn queued(&self) -> impl Iterator<Item = &Item> {
        self.queues.iter().flatten()
    }

    /// The first queued item of all.
    pub(crate) fn any(&self) -> Option<Item> {
        self.find_in(0..usize::MAX)
    }

    /// The items whose routines are running, with their workers.
    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, Item)> {
        self.workers.iter().filter_map(|worker| worker.runs.map(|item| (worker.thread, item)))
    }
}
