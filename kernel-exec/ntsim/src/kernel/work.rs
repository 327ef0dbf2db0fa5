//! The queues of work items, and their workers.

extern crate alloc;

use alloc::{collections::VecDeque, vec::Vec};
use core::ops::Range;

/// The number of queues of work items, which WORK_QUEUE_TYPE indexes.
pub(crate) const QUEUES: usize = 5;

/// A queued work item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorkItem {
    /// The address of the IO_WORKITEM or WORK_QUEUE_ITEM.
    pub(crate) address: usize,
    /// Whether it is an IO_WORKITEM.
    pub(crate) io: bool,
    /// The routine and its arguments, which were read from the item when it was queued.
    pub(crate) call: WorkCall,
}

/// A call of a work item's routine. The addresses are the driver's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkCall {
    /// A routine of ExQueueWorkItem.
    Executive { routine: usize, parameter: usize },
    /// A routine of IoQueueWorkItem.
    Io { routine: usize, object: usize, context: usize },
    /// A routine of IoQueueWorkItemEx.
    IoEx { routine: usize, object: usize, context: usize },
}

impl WorkCall {
    /// Returns the routine's address.
    pub(crate) fn routine(self) -> usize {
        match self {
            Self::Executive { routine, .. } | Self::Io { routine, .. } | Self::IoEx { routine, .. } => {
                routine
            }
        }
    }

    /// Returns the routine's context.
    pub(crate) fn context(self) -> usize {
        match self {
            Self::Executive { parameter: context, .. }
            | Self::Io { context, .. }
            | Self::IoEx { context, .. } => context,
        }
    }

    /// Returns the object that is referenced until the routine has returned.
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
    /// The item that it runs, or none while it waits for one.
    runs: Option<WorkItem>,
    /// Whether it waits and has not been woken.
    idle: bool,
}

/// All queues and workers.
#[derive(Debug, Default)]
pub(crate) struct Work {
    queues: [VecDeque<WorkItem>; QUEUES],
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

    /// Returns whether an item was ever queued.
    pub(crate) fn is_used(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Appends an item to a queue.
    pub(crate) fn push(&mut self, queue: usize, item: WorkItem) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.push_back(item);
        }
    }

    /// Removes the next item of a worker's queue and notes that the worker runs it.
    pub(crate) fn take(&mut self, thread: usize) -> Option<WorkItem> {
        let worker = self.workers.iter_mut().find(|worker| worker.thread == thread)?;
        worker.runs = self.queues.get_mut(worker.queue)?.pop_front();
        worker.idle = worker.runs.is_none();
        worker.runs
    }

    /// Adds a worker.
    pub(crate) fn add_worker(&mut self, thread: usize, queue: usize) {
        self.workers.push(Worker { thread, queue, runs: None, idle: false });
    }

    /// Returns how many workers a queue has.
    pub(crate) fn workers(&self, queue: usize) -> usize {
        self.workers.iter().filter(|worker| worker.queue == queue).count()
    }

    /// Returns a worker that waits for an item of this queue, and marks it as not idle.
    pub(crate) fn wake(&mut self, queue: usize) -> Option<usize> {
        let worker = self.workers.iter_mut().find(|worker| worker.queue == queue && worker.idle)?;
        worker.idle = false;
        Some(worker.thread)
    }

    /// Returns the first queued item in an address range.
    pub(crate) fn find_in(&self, range: Range<usize>) -> Option<WorkItem> {
        if self.workers.is_empty() {
            return None;
        }
        self.queued().find(|item| range.contains(&item.address)).copied()
    }

    /// Returns the queued items.
    pub(crate) fn queued(&self) -> impl Iterator<Item = &WorkItem> {
        self.queues.iter().flatten()
    }

    /// Returns the first queued item of all queues.
    pub(crate) fn any(&self) -> Option<WorkItem> {
        self.find_in(0..usize::MAX)
    }

    /// Returns the items with running routines, and their workers.
    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, WorkItem)> {
        self.workers.iter().filter_map(|worker| worker.runs.map(|item| (worker.thread, item)))
    }
}
