//! The executor's part of the model. It covers runs, references of any kind, and cancellation by
//! the rules C8–C11 and C14, step by step.

use super::{End, Model};
use crate::{
    event::Event,
    limits::POLL_BUDGET,
    ops::Handler,
    status::{CANCELLED, UNSUCCESSFUL},
};

/// The status that is stored for a failure. Severities 0 and 1 are success and information, which
/// are not failures `[C7]`.
pub(super) fn as_failure(status: u32) -> u32 {
    if status >> 31 == 0 { UNSUCCESSFUL } else { status }
}

impl Model {
    /// Puts a scheduled task into the DPC queue. A processor below DISPATCH_LEVEL empties the queue
    /// at once.
    pub(super) fn enqueue(&mut self, operation: usize) {
        self.queue.push_back(operation);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        if self.raised || self.in_dpc {
            return;
        }
        while let Some(operation) = self.queue.pop_front() {
            self.in_dpc = true;
            self.run(operation);
            self.in_dpc = false;
        }
    }

    /// Advances the clock. All due timers expire at a tick, and their DPCs run after it.
    pub fn advance_time(&mut self) {
        let due = core::mem::take(&mut self.timers);
        self.queue.extend(due);
        self.drain();
    }

    fn run(&mut self, operation: usize) {
        let task = &mut self.tasks[operation];
        task.scheduled = false;
        task.running = true;
        if task.doomed {
            self.drop_body(operation);
            return self.end(operation, End::Canceled);
        }
        let mut left = POLL_BUDGET;
        loop {
            left -= 1;
            let task = &mut self.tasks[operation];
            // This poll shows the request to the body. The body clears it by taking it.
            task.body.untaken = task.cancel;
            task.cancel_seen |= task.cancel;
            task.body.held_back = false;
            task.polls += 1;
            self.happened(operation, Event::Polled);
            let ready = self.poll_body(operation);
            let task = &mut self.tasks[operation];
            if ready {
                let canceled = task.unwinding || task.cancel_seen || task.cancel;
                let end = match task.fails {
                    Some(CANCELLED) if canceled => End::Canceled,
                    Some(status) => End::Error(as_failure(status)),
                    None if task.unwinding => End::Canceled,
                    None => End::Completed,
                };
                self.drop_body(operation);
                return self.end(operation, end);
            }
            let canceled = task.unwinding || (task.body.untaken && task.cancel);
            let unwinds = canceled && task.cleanups == 0;
            if unwinds && !task.body.held_back {
                self.drop_body(operation);
                return self.end(operation, End::Canceled);
            }
            // A main that was held back unwinds in a poll of its own.
            if !task.scheduled && !unwinds {
                if task.clients + task.others > 0 {
                    task.running = false;
                    return;
                }
                if task.abandoned {
                    self.drop_body(operation);
                    return self.end(operation, End::Canceled);
                }
                task.abandoned = true;
                task.cancel = true;
            }
            if left == 0 {
                task.scheduled = true;
                task.running = false;
                self.timers.push(operation);
                return;
            }
            task.scheduled = false;
        }
    }

    fn end(&mut self, operation: usize, end: End) {
        let task = &mut self.tasks[operation];
        task.running = false;
        task.scheduled = false;
        task.cancel = false;
        task.end = Some(end);
        if task.handler.is_some() {
            self.run_handler(operation);
        } else {
            self.free_if_last(operation);
        }
    }

    pub(super) fn run_handler(&mut self, operation: usize) {
        self.tell_handler(operation);
        let task = &mut self.tasks[operation];
        if task.handler == Some(Handler::Releases) {
            task.others -= 1;
        }
        self.free_if_last(operation);
    }

    pub(super) fn tell_handler(&mut self, operation: usize) {
        let task = &mut self.tasks[operation];
        task.handled += 1;
        task.told = task.end.map_or(0, End::number);
        let told = task.told;
        self.happened(operation, Event::Handled(told));
    }

    fn free_if_last(&mut self, operation: usize) {
        let task = &mut self.tasks[operation];
        if task.clients + task.others == 0 {
            task.freed = true;
            self.blocks -= 1;
        }
    }

    pub(super) fn drop_body(&mut self, operation: usize) {
        let task = &mut self.tasks[operation];
        task.drops += 1;
        self.happened(operation, Event::Dropped);
        let task = &mut self.tasks[operation];
        task.cleanups = 0;
        let (kept, link) = (core::mem::take(&mut task.kept), task.link.take());
        if kept {
            self.release_other(operation);
        }
        if let Some(link) = link {
            self.release_other(link);
        }
        // Free the body's own memory first, and then the object that its method belongs to [C19].
        let task = &mut self.tasks[operation];
        self.blocks -= usize::from(core::mem::take(&mut task.boxed));
        if let Some(object) = task.object.take() {
            self.objects[object].bodies -= 1;
            self.drop_object_if_last(object);
        }
    }

    pub(super) fn cancel(&mut self, operation: usize) {
        let task = &mut self.tasks[operation];
        if task.end.is_some() || task.cancel {
            return;
        }
        task.cancel = true;
        self.wake_by_ref(operation);
    }

    pub(super) fn wake_by_ref(&mut self, operation: usize) {
        let task = &mut self.tasks[operation];
        if task.end.is_some() || task.scheduled {
            return;
        }
        task.scheduled = true;
        if !task.running {
            self.enqueue(operation);
        }
    }

    pub(super) fn wake_by_value(&mut self, operation: usize) {
        let task = &mut self.tasks[operation];
        task.others -= 1;
        if task.end.is_some() {
            self.free_if_last(operation);
        } else {
            self.wake_by_ref(operation);
        }
    }

    /// Releases a client's reference. True if the object is gone.
    pub(super) fn release_client(&mut self, operation: usize) -> bool {
        self.tasks[operation].clients -= 1;
        if self.tasks[operation].clients == 0 {
            self.held &= !(1 << operation);
        }
        self.released(operation)
    }

    pub(super) fn release_other(&mut self, operation: usize) {
        // A handle of the constant operation refers to no block.
        if !self.tasks[operation].immortal || self.tasks[operation].others > 0 {
            self.tasks[operation].others = self.tasks[operation].others.saturating_sub(1);
        }
        self.released(operation);
    }

    fn released(&mut self, operation: usize) -> bool {
        let task = &mut self.tasks[operation];
        let last = task.clients + task.others == 0 && !task.scheduled && !task.running;
        if task.immortal || !last {
            return false;
        }
        if task.end.is_some() {
            task.freed = true;
            self.blocks -= 1;
            return true;
        }
        task.doomed = task.abandoned;
        task.abandoned = true;
        task.cancel = true;
        task.scheduled = true;
        self.enqueue(operation);
        false
    }
}
