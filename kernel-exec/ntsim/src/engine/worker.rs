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

/// Queues a work item, and wakes or creates a worker for it unless all are busy.
pub(crate) fn queue(machine: &Machine, queue: usize, item: WorkItem) {
    let mut kernel = machine.kernel.borrow_mut();
    kernel.work.push(queue, item);
    let idle = kernel.work.wake(queue);
    let workers = kernel.work.workers(queue);
    drop(kernel);
    if let Some(thread) = idle {
        machine.end_wait(thread, STATUS_SUCCESS);
    } else if workers < machine.config.get().workers.max(1) {
        let thread = machine.new_thread(Thread { references: 1, worker: true, ..Thread::default() });
        machine.kernel.borrow_mut().work.add_worker(thread, queue);
        machine.make_ready(thread);
    }
}

/// The body of a worker thread.
pub(crate) fn run(machine: &Machine, thread: usize) -> ! {
    loop {
        let item = machine.kernel.borrow_mut().work.take(thread);
        match item {
            Some(item) => run_item(machine, thread, item),
            None => {
                let kind = WaitKind::Kernel("work");
                machine.block(Wait { thread, kind, objects: Vec::new(), timeout: None }, None);
            }
        }
    }
}

/// Runs the routine of a work item that has left its queue.
fn run_item(machine: &Machine, thread: usize, item: WorkItem) {
    let routine = item.call.routine();
    let names = machine.tracing.get().then(|| (machine.name(item.address), machine.name(routine)));
    if let Some((item, routine)) = names {
        machine.record(What::WorkStart { item, routine });
    }
    machine.call_out(|| work_item::call(item));
    if let Some((item, _)) = names {
        machine.record(What::WorkEnd { item });
    }
    let irql = machine.irql();
    if irql != 0 {
        let context = item.call.context();
        machine.bug_check(worker::returned_at_bad_irql(routine, irql, context, item.address));
    }
    let held = machine.kernel.borrow().mutexes.of(thread);
    if let Some(held) = held {
        let (name, worker) = (machine.name(held.address), ThreadName::of(thread));
        let owner = machine.thread_address(thread);
        machine.bug_check(held_mutex::work_item_returned(owner, worker, held.address, name));
    }
    if let Some(object) = item.call.object() {
        machine.checked(device::dereference(machine, object));
    }
    machine.point_after();
}
