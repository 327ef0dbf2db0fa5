//! The choice of a processor's thread, waits, and the end of a thread.
//!
//! A processor switches threads only below DISPATCH_LEVEL and outside of DPCs. If several of its
//! threads could run, the schedule chooses among them. The choices are the ready threads, in the
//! order of their waiting time, and then the running one.

use super::{choice::PointKind, control::NO_PROCESSOR, machine::Machine};
use crate::{
    kernel::{
        processor::{Activity, Processor},
        thread::{IDLE, NO_THREAD, SYSTEM, State, Thread, ThreadName},
        wait::Wait,
    },
    subsystem::dispatcher,
    trace::event::What,
    verifier::{
        bugcheck::{held_mutex, irql_unexpected},
        irql::Ddi,
        stop::Stop,
    },
};

const DISPATCH: u8 = 2;
const PASSIVE: u8 = 0;

/// Whether a processor could switch to another thread.
fn can_switch(cpu: &Processor) -> bool {
    cpu.activity.get() == Activity::Live && cpu.irql.get() < DISPATCH && !cpu.draining.get()
}

impl Machine {
    /// The context of the current thread. In a DPC that is the interrupted thread.
    pub(crate) fn thread(&self) -> usize {
        let (me, context) = (self.current.get(), self.cpu().context.get());
        // A processor without a program runs its DPCs on the coroutine that a program would have.
        if context == me && self.programs.get() >> me & 1 == 0 { IDLE + me } else { context }
    }

    /// The address that identifies a thread.
    pub(crate) fn thread_address(&self, context: usize) -> usize {
        self.kernel.borrow_mut().threads.identity(context)
    }

    /// Chooses which of a processor's threads runs, if threads are ready and the processor may
    /// switch. DPCs go before threads.
    pub(crate) fn arrange(&self, processor: usize) {
        let cpu = self.processor(processor);
        let running = cpu.context.get();
        let vacant = running == NO_THREAD;
        if (vacant && cpu.queued.get() != 0) || (!vacant && !can_switch(cpu)) {
            return;
        }
        let ready = cpu.ready.get();
        let options = u8::try_from(ready + usize::from(!vacant)).unwrap_or(u8::MAX);
        let choice = if options > 1 { usize::from(self.choose_thread(options, vacant)) } else { 0 };
        if choice >= ready {
            return;
        }
        let mut kernel = self.kernel.borrow_mut();
        let Some(chosen) = kernel.threads.take_ready(processor, choice) else { return };
        cpu.ready.set(ready - 1);
        if !vacant {
            kernel.threads.update(running, |thread| thread.irql = cpu.irql.get());
            kernel.threads.push_ready(running, processor);
            cpu.ready.set(ready);
        }
        let irql = kernel.threads.get(chosen).irql;
        drop(kernel);
        cpu.context.set(chosen);
        cpu.activity.set(Activity::Live);
        cpu.irql.set(irql);
        if self.tracing.get() {
            self.record(What::Thread { processor, thread: ThreadName::of(chosen) });
        }
    }

    /// Removes a processor's thread from the processor.
    pub(crate) fn vacate(&self, processor: usize) {
        let cpu = self.processor(processor);
        cpu.context.set(NO_THREAD);
        cpu.activity.set(Activity::Idle);
        if cpu.queued.get() != 0 {
            cpu.interrupt.set(true);
        } else if cpu.ready.get() == 0 {
            self.make_unrunnable(processor);
        }
    }

    /// Makes a thread ready: a program on its own processor, another thread on one that the
    /// schedule chooses.
    pub(crate) fn make_ready(&self, context: usize) {
        let last = self.kernel.borrow().threads.get(context).processor;
        let count = self.count();
        // In a free run threads stay on their processors.
        let away = if context >= SYSTEM && count > 1 && !self.is_free() {
            usize::from(self.choose(count as u8))
        } else {
            0
        };
        let processor = (last + away) % count;
        self.kernel.borrow_mut().threads.push_ready(context, processor);
        let cpu = self.processor(processor);
        cpu.ready.set(cpu.ready.get() + 1);
        if self.tracing.get() {
            self.record(What::ThreadReady { processor, thread: ThreadName::of(context) });
        }
        self.make_runnable(processor);
        self.contend();
    }

    /// Makes the current thread wait; its processor does other work. Returns the status of the wait
    /// once [`Machine::end_wait`] has ended it and the thread runs again, perhaps on another
    /// processor. IRQL < DISPATCH_LEVEL.
    pub(crate) fn block(&self, wait: Wait, ddi: Option<Ddi>) -> i32 {
        let (me, thread) = (self.current.get(), wait.thread);
        if self.tracing.get() {
            let objects = wait.objects.iter().map(|object| self.name(*object)).collect();
            self.record(What::ThreadWait { thread: ThreadName::of(thread), ddi, objects });
        }
        let irql = self.irql();
        let mut kernel = self.kernel.borrow_mut();
        kernel.threads.update(thread, |thread| {
            thread.state = State::Waiting;
            thread.irql = irql;
            thread.processor = me;
        });
        kernel.waits.add(wait);
        drop(kernel);
        if std::thread::panicking() {
            self.halt(Stop::Deadlock { waits: self.waits() });
        }
        self.cpu().irql.set(PASSIVE);
        self.vacate(me);
        let target = if self.is_free() || self.runnable.get() == 0 {
            NO_PROCESSOR
        } else {
            self.decide(PointKind::Switch)
        };
        self.switch_to(target);
        self.regrant();
        self.kernel.borrow().threads.get(thread).status
    }

    /// Ends a thread's wait and cancels its time-out.
    pub(crate) fn end_wait(&self, thread: usize, status: i32) {
        let mut kernel = self.kernel.borrow_mut();
        let Some(wait) = kernel.waits.remove(thread) else { return };
        if let Some(key) = wait.timeout {
            let address = kernel.threads.identity(thread);
            kernel.timers.remove(key, address);
        }
        kernel.threads.update(thread, |thread| thread.status = status);
        drop(kernel);
        self.make_ready(thread);
    }

    /// Creates a thread at PASSIVE_LEVEL that is not ready yet.
    pub(crate) fn new_thread(&self, thread: Thread) -> usize {
        let count = self.count();
        let away = if self.is_free() && count > 1 { usize::from(self.choose(count as u8)) } else { 0 };
        let processor = (self.current.get() + away) % count;
        self.kernel.borrow_mut().threads.create(Thread { processor, ..thread })
    }

    /// Checks that a thread ends at PASSIVE_LEVEL and without a mutex.
    pub(crate) fn check_thread_end(&self, thread: usize, what: &str) {
        let irql = self.irql();
        if irql != PASSIVE {
            self.bug_check(irql_unexpected::thread(what, irql));
        }
        let held = self.kernel.borrow().mutexes.of(thread);
        if let Some(held) = held {
            let (name, address) = (self.name(held.address), self.thread_address(thread));
            let thread = ThreadName::of(thread);
            self.bug_check(held_mutex::thread_ended(address, thread, held.address, name));
        }
    }

    /// Ends the current thread, which is neither a program nor idle. Its stack is left as it is.
    pub(crate) fn end_thread(&self) -> ! {
        let thread = self.thread();
        self.check_thread_end(thread, "system thread");
        if self.tracing.get() {
            self.record(What::ThreadEnd { thread: ThreadName::of(thread) });
        }
        self.kernel.borrow_mut().threads.update(thread, |thread| {
            thread.state = State::Ended;
            thread.references -= 1;
        });
        let address = self.thread_address(thread);
        self.checked(dispatcher::signal(self, address));
        self.vacate(self.current.get());
        self.control.ended.set(true);
        self.stay()
    }
}
