//! DPC interrupts. A processor below DISPATCH_LEVEL drains its queue on top of its current work.

extern crate alloc;

use alloc::vec::Vec;

use super::machine::Machine;
use crate::{
    kernel::{
        dpc::QueuedDpc,
        processor::{Activity, Processor},
        wait::{Wait, WaitKind},
    },
    subsystem::{objects, pool},
    trace::event::What,
    types::STATUS_SUCCESS,
    verifier::{
        bugcheck::{driver_verifier::locks, irql_unexpected},
        irql::Ddi,
    },
};

/// The reason of a wait in KeFlushQueuedDpcs.
const FLUSH: &str = "DPCs to run";

const DISPATCH: u8 = 2;

impl Machine {
    /// Puts a DPC into a processor's queue, after which an idle processor can run. Returns the
    /// queue's new length.
    pub(crate) fn enqueue(&self, processor: usize, entry: QueuedDpc, at_head: bool) -> usize {
        let depth = self.kernel.borrow_mut().dpcs.push(processor, entry, at_head);
        let cpu = self.processor(processor);
        if depth == 1 {
            cpu.late_since.set(self.clock.now());
        }
        cpu.queued.set(depth);
        if cpu.activity.get() == Activity::Idle {
            cpu.interrupt.set(true);
            self.make_runnable(processor);
        }
        depth
    }

    /// Requests a DPC interrupt. It comes at once, or at the processor's next point below
    /// DISPATCH_LEVEL.
    pub(crate) fn request_interrupt(&self, processor: usize) {
        self.processor(processor).interrupt.set(true);
        self.alert(processor);
    }

    /// Takes the DPC interrupt of the current processor, if one is requested and IRQL allows it.
    pub(crate) fn take_interrupts(&self) {
        let cpu = self.cpu();
        if cpu.interrupt.get() && cpu.irql.get() < DISPATCH {
            self.drain();
        }
    }

    /// Runs the current processor's DPCs until its queue is empty. IRQL is below DISPATCH_LEVEL
    /// before and after.
    pub(crate) fn drain(&self) {
        let (me, cpu) = (self.current.get(), self.cpu());
        let before = cpu.irql.replace(DISPATCH);
        pool::page_out(self);
        cpu.draining.set(true);
        cpu.drain_start.set(self.clock.now());
        let watchdog = self.config.get().dpc_watchdog;
        if watchdog != 0 && watchdog < self.clock.granted_time() {
            self.regrant();
        }
        loop {
            let entry = self.kernel.borrow_mut().dpcs.pop(me);
            let Some((entry, number)) = entry else { break };
            cpu.queued.set(cpu.queued.get() - 1);
            cpu.dpc_number.set(number);
            self.run_dpc(entry);
        }
        cpu.interrupt.set(false);
        cpu.draining.set(false);
        cpu.irql.set(before);
    }

    /// Runs one DPC that has left its queue.
    fn run_dpc(&self, entry: QueuedDpc) {
        let call = match objects::take_dpc(self, entry) {
            Ok(call) => call,
            Err(violation) => self.bug_check(violation),
        };
        let cpu = self.cpu();
        cpu.in_dpc.set(true);
        cpu.dpc_start.set(self.clock.now());
        cpu.dpc_frame.set(core::ptr::from_ref(&call).addr());
        self.counts.dpcs_run.add();
        if self.tracing.get() {
            let (dpc, routine) = (self.name(entry.address), self.name(call.routine as usize));
            self.record(What::DpcStart { dpc, routine });
        }
        let me = self.current.get();
        let held = self.kernel.borrow().locks.held_by(me);
        self.on_own_stack(|| {
            // SAFETY: the driver gave the routine and its context to KeInitializeDpc, and the
            // arguments to KeInsertQueueDpc, for this call at DISPATCH_LEVEL. No borrow of the
            // machine is open [M1].
            self.call_out(|| unsafe {
                (call.routine)(call.dpc, call.context, call.arguments.0, call.arguments.1)
            });
        });
        if self.tracing.get() {
            let dpc = self.name(entry.address);
            self.record(What::DpcEnd { dpc });
        }
        debug_assert_eq!(me, self.current.get());
        let irql = cpu.irql.get();
        if irql != DISPATCH {
            self.bug_check(irql_unexpected::dpc_routine(irql));
        }
        self.check_locks_after(me, held);
        self.check_watchdog();
        cpu.in_dpc.set(false);
        if self.flushers.get() != 0 {
            self.wake_flushers();
        }
        self.point_after();
    }

    /// Whether a DPC that was inserted with this number or a lower one is queued or running.
    fn is_pending(&self, number: u64) -> bool {
        let running = |cpu: &Processor| cpu.in_dpc.get() && cpu.dpc_number.get() <= number;
        self.processors.iter().take(self.count()).any(running) || self.kernel.borrow().dpcs.any_until(number)
    }

    /// Blocks the current thread until every DPC that is now queued or running has run. IRQL is
    /// PASSIVE_LEVEL.
    pub(crate) fn flush_dpcs(&self) {
        let last = self.kernel.borrow().dpcs.last();
        for cpu in self.processors.iter().take(self.count()).filter(|cpu| cpu.queued.get() != 0) {
            cpu.interrupt.set(true);
        }
        while self.is_pending(last) {
            self.flushers.set(self.flushers.get() + 1);
            let (thread, kind) = (self.thread(), WaitKind::Kernel(FLUSH));
            let wait = Wait { thread, kind, objects: Vec::new(), timeout: None };
            self.block(wait, Some(Ddi::KeFlushQueuedDpcs));
            self.flushers.set(self.flushers.get() - 1);
        }
    }

    /// Wakes the threads that wait for DPCs, because a DPC has run or left its queue.
    #[cold]
    pub(crate) fn wake_flushers(&self) {
        let waiting = self.kernel.borrow().waits.kernel(FLUSH);
        for thread in waiting {
            self.end_wait(thread, STATUS_SUCCESS);
        }
    }

    /// Checks that a DPC routine has released the locks that it acquired.
    fn check_locks_after(&self, processor: usize, before: usize) {
        let kernel = self.kernel.borrow();
        if kernel.locks.held_by(processor) <= before {
            return;
        }
        let Some(held) = kernel.locks.held().iter().rev().find(|held| held.processor == processor).copied()
        else {
            return;
        };
        drop(kernel);
        let (routine, name) = ("a DPC routine", self.name(held.address));
        self.bug_check(locks::returned_with_spin_lock(routine, held.address, name, processor));
    }
}
