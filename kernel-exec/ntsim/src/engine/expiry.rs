//! Events of the virtual clock. Timers expire, late DPCs get their interrupt, and the watchdog
//! checks its limits.

use super::machine::Machine;
use crate::{
    kernel::{clock::MILLISECOND, dpc, processor::Processor, timer, wait::WaitKind},
    subsystem::{dispatcher, objects},
    trace::event::What,
    types::{STATUS_SUCCESS, STATUS_TIMEOUT},
    verifier::{Checked, bugcheck::dpc_watchdog},
};

impl Machine {
    /// The virtual time at which the engine has to look, if no other event comes first.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let mut deadline = self.kernel.borrow().timers.next().unwrap_or(u64::MAX);
        for cpu in self.late() {
            deadline = deadline.min(cpu.late_since.get().saturating_add(self.clock.tick()));
        }
        let (cpu, limit) = (self.cpu(), self.config.get().dpc_watchdog);
        if limit != 0 && cpu.draining.get() {
            deadline = deadline.min(cpu.drain_start.get().saturating_add(limit).saturating_add(1));
        }
        (deadline != u64::MAX).then_some(deadline)
    }

    /// Processors with DPCs in their queues and no interrupt requested. The engine requests it a
    /// clock period later.
    fn late(&self) -> impl Iterator<Item = &Processor> {
        self.processors.iter().take(self.count()).filter(|cpu| cpu.queued.get() != 0 && !cpu.interrupt.get())
    }

    /// Whether time alone can cause an event, because a timer is set or a late DPC waits for its
    /// interrupt.
    pub(crate) fn timed(&self) -> bool {
        self.kernel.borrow().timers.next().is_some() || self.late().next().is_some()
    }

    /// Handles the events that are due by now, on the current processor.
    pub(crate) fn attend_clock(&self) {
        if let Err(violation) = self.expire() {
            self.bug_check(violation);
        }
        self.check_watchdog();
    }

    /// Excludes the time that a program skips from the watchdog's count on other processors. In a
    /// free run those go on by the host's clock. A DPC there may be in the middle of a routine, and
    /// has not run for that time.
    pub(crate) fn excuse_other_drains(&self, skipped: u64) {
        if !self.is_free() {
            return;
        }
        let others = self.processors.iter().take(self.count());
        for cpu in others.filter(|cpu| cpu.draining.get() && !core::ptr::eq(*cpu, self.cpu())) {
            cpu.drain_start.set(cpu.drain_start.get().saturating_add(skipped));
            cpu.dpc_start.set(cpu.dpc_start.get().saturating_add(skipped));
        }
    }

    /// Checks the time of the current drain of the DPC queue against the watchdog's limit.
    pub(crate) fn check_watchdog(&self) {
        let (cpu, limit) = (self.cpu(), self.config.get().dpc_watchdog);
        let now = self.clock.now();
        if limit == 0 || !cpu.draining.get() || now.saturating_sub(cpu.drain_start.get()) <= limit {
            return;
        }
        let single = now.saturating_sub(cpu.dpc_start.get());
        let tick = self.clock.tick();
        if cpu.in_dpc.get() && single > limit {
            self.bug_check(dpc_watchdog::routine_too_long(single, limit, tick));
        }
        let all = now - cpu.drain_start.get();
        self.bug_check(dpc_watchdog::queue_too_long(all, limit, tick));
    }

    /// Expires every timer that is due, and requests the interrupts of late DPCs.
    pub(crate) fn expire(&self) -> Checked<()> {
        let now = self.clock.now();
        loop {
            let due = self.kernel.borrow_mut().timers.pop_due(now);
            let Some((key, entry)) = due else { break };
            self.expire_timer(key, entry)?;
        }
        for cpu in self.late() {
            if now.saturating_sub(cpu.late_since.get()) >= self.clock.tick() {
                cpu.interrupt.set(true);
                self.alert_all();
            }
        }
        Ok(())
    }

    /// Chooses the clock ticks' place in their period, when it first matters.
    pub(crate) fn ensure_phase(&self) {
        if self.clock.phase().is_none() {
            let sixteenth = u64::from(self.choose(16));
            self.clock.set_phase(sixteenth * (self.clock.tick() / 16));
        }
    }

    /// The due time of a timer, and the tick at which it expires; a negative `due` is relative. If
    /// an absolute time has already passed, both are now, so that a period begins at once.
    pub(crate) fn due(&self, due: i64) -> (u64, u64) {
        self.ensure_phase();
        let now = self.clock.now();
        let due_time = match u64::try_from(due) {
            Ok(absolute) => match self.clock.time_of(absolute) {
                passed if passed <= now => return (now, now),
                to_come => to_come,
            },
            // Relative time counts from the last tick.
            Err(_) => self.clock.tick_before(now).saturating_add(due.unsigned_abs()),
        };
        (due_time, self.tick_of(due_time))
    }

    /// The tick at which a timer with this due time expires.
    fn tick_of(&self, due_time: u64) -> u64 {
        self.clock.tick_at_or_after(due_time).max(self.clock.tick_after(self.clock.now()))
    }

    /// The tick of [`Machine::tick_of`], or one up to `tolerance` milliseconds later, which is a
    /// choice of the schedule.
    pub(crate) fn tolerant_tick_of(&self, due_time: u64, tolerance: u32) -> u64 {
        if tolerance == 0 {
            return self.tick_of(due_time);
        }
        let quarters = u64::from(self.choose(5));
        self.tick_of(due_time.saturating_add(u64::from(tolerance) * MILLISECOND / 4 * quarters))
    }

    /// Sets the system clock. Timers with an absolute due time follow it; overdue ones are due
    /// now.
    pub(crate) fn set_system_time(&self, time: u64) {
        self.ensure_phase();
        self.clock.set_system_time(time);
        let absolute = self.kernel.borrow().timers.absolute();
        for (key, entry) in absolute {
            let Some(system) = entry.absolute else { continue };
            let now = self.clock.now();
            let due_time = self.clock.time_of(system).max(now);
            let tick = if due_time == now { now } else { self.tolerant_tick_of(due_time, entry.tolerance) };
            let mut kernel = self.kernel.borrow_mut();
            kernel.timers.remove(key, entry.address);
            let key = kernel.timers.insert(tick, entry);
            if let Some(thread) = entry.thread {
                kernel.waits.set_timeout(thread, key);
            } else {
                drop(kernel);
                objects::mark_timer_queued(entry.address, due_time, key);
            }
        }
    }

    /// Expires a timer and signals it. Its DPC is queued, or called without having been in a queue.
    fn expire_timer(&self, key: timer::Key, entry: timer::SetTimer) -> Checked<()> {
        if let Some(thread) = entry.thread {
            self.time_out(thread);
            return Ok(());
        }
        if self.tracing.get() {
            let object = self.name(entry.address);
            self.record(What::TimerExpired { object });
        }
        objects::expire_timer(self, entry.address, key)?;
        dispatcher::signal(self, entry.address)?;
        if entry.period != 0 {
            self.restart_timer(entry);
        }
        if entry.dpc == 0 {
            return Ok(());
        }
        let Some(dpc) = objects::timer_dpc(self, entry.dpc)? else { return Ok(()) };
        let target = dpc.target.unwrap_or(entry.processor);
        let in_flight = self.choose(2) == 1;
        if !in_flight {
            objects::mark_queued(entry.dpc, target);
        }
        self.enqueue(target, dpc::QueuedDpc { address: entry.dpc, in_flight }, dpc.high);
        self.request_interrupt(target);
        Ok(())
    }

    /// Sets a periodic timer that has expired again, one period after its due time.
    fn restart_timer(&self, entry: timer::SetTimer) {
        let due_time = objects::due_time(entry.address).saturating_add(u64::from(entry.period) * MILLISECOND);
        let tick = self.tolerant_tick_of(due_time, entry.tolerance);
        let key = self.kernel.borrow_mut().timers.insert(tick, timer::SetTimer { absolute: None, ..entry });
        objects::mark_timer_queued(entry.address, due_time, key);
    }

    /// Ends a thread's wait because its time is over.
    fn time_out(&self, thread: usize) {
        let delay = self.kernel.borrow().waits.of(thread).is_some_and(|wait| wait.kind == WaitKind::Delay);
        self.end_wait(thread, if delay { STATUS_SUCCESS } else { STATUS_TIMEOUT });
    }
}
