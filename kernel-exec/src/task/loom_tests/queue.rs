//! A task queue for loom models, in place of the kernel's queues.

use std::collections::VecDeque;

use core::num::NonZeroU32;

use loom::sync::Mutex;

use crate::{budget::Budget, task::TaskPtr};

/// The budget of a run in a model.
pub(crate) const BUDGET: Budget = Budget::polls(NonZeroU32::new(2).unwrap());

struct Queued(TaskPtr);
// SAFETY: a queued task may be run on any processor.
unsafe impl Send for Queued {}

/// Tasks that wait for their run, in the order of their queueing.
pub(crate) struct Queue(Mutex<VecDeque<Queued>>);

impl Queue {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    pub(crate) fn push(&self, task: TaskPtr) {
        self.0.lock().unwrap().push_back(Queued(task));
    }

    pub(crate) fn pop(&self) -> Option<TaskPtr> {
        self.0.lock().unwrap().pop_front().map(|Queued(task)| task)
    }
}
