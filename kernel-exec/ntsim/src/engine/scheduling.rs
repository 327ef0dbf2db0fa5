//! The schedule of a run, with the decisions that it has made.

extern crate alloc;

use alloc::vec::Vec;
use core::cell::RefCell;

use super::{
    recording::{Decision, Recording},
    schedule::Schedule,
};

/// The schedule of a run, with the decisions that it has made.
#[derive(Debug)]
pub(crate) struct Scheduling {
    pub(crate) schedule: RefCell<Schedule>,
    pub(crate) decisions: RefCell<Recording>,
    /// While tracing, each decision, and the number of events before it.
    pub(crate) ordered: RefCell<Vec<(usize, Decision)>>,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self {
            schedule: RefCell::new(Schedule::round_robin()),
            decisions: RefCell::default(),
            ordered: RefCell::default(),
        }
    }
}

impl Scheduling {
    /// Begins a run with a schedule, and forgets the decisions.
    pub(crate) fn reset(&self, schedule: Schedule) {
        self.schedule.replace(schedule);
        self.decisions.borrow_mut().clear();
        self.ordered.borrow_mut().clear();
    }
}
