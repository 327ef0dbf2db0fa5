//! Worker threads: system threads that run the routines of work items, a few for each queue.

extern crate alloc;

use alloc::vec::Vec;

use super::machine::Machine;
use crate::{
    kernel::{
        thread::{Thread, ThreadName},
        wait::{Wait, WaitKind},
        work::WorkItem,
    },
    subsystem::{device, work_item},
    trace::event::What,
    types::STATUS_SUCCESS,
    verifier::bugcheck::{held_mutex, worker},
};

impl Machine {
    /// Queues a work item, and wakes or creates a worker for it unless all are busy.
    pub(crate) fn queue_work(&self, queue: usize, item: WorkItem) {
        let mut kernel = self.kernel.borrow_mut();
        kernel.work.push(queue, item);
        let idle = kernel.work.wake(queue);
        let workers = kernel.work.workers(queue);
        drop(kernel);
        if let Some(thread) = idle {
            self.end_wait(thread, STATUS_SUCCESS);
        } else if workers < self.config.get().workers.max(1) {
            let thread = self.new_thread(Thread { references: 1, worker: true, ..Thread::default() });
            self.kernel.borrow_mut().work.add_worker(thread, queue);
            self.make_ready(thread);
        }
    }

    /// The body of a worker thread.
    pub(crate) fn run_worker(&self, thread: usize) -> ! {
        loop {
            let item = self.kernel.borrow_mut().work.take(thread);
            match item {
                Some(item) => self.run_item(thread, item),
                None => {
                    let kind = WaitKind::Kernel("work");
                    self.block(Wait { thread, kind, objects: Vec::new(), timeout: None }, None);
                }
            }
        }
    }

    /// Runs the routine of a work item that has left its queue.
    fn run_item(&self, thread: usize, item: WorkItem) {
        let routine = item.call.routine();
        let names = self.tracing.get().then(|| (self.name(item.address), self.name(routine)));
        if let Some((item, routine)) = names {
            self.record(What::WorkStart { item, routine });
        }
        self.call_out(|| work_item::call(item));
        if let Some((item, _)) = names {
            self.record(What::WorkEnd { item });
        }
        let irql = self.irql();
        if irql != 0 {
            let context = item.call.context();
            self.bug_check(worker::returned_at_bad_irql(routine, irql, context, item.address));
        }
        let held = self.kernel.borrow().mutexes.of(thread);
        if let Some(held) = held {
            let (name, worker) = (self.name(held.address), ThreadName::of(thread));
            let owner = self.thread_address(thread);
            self.bug_check(held_mutex::work_item_returned(owner, worker, held.address, name));
        }
        if let Some(object) = item.call.object() {
            self.checked(device::dereference(self, object));
        }
        self.point_after();
    }
}
