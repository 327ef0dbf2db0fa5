//! Ends of runs. A bug check or a failure suspends its coroutine for ever, and the loop outside
//! ends the run.

extern crate alloc;

use alloc::{boxed::Box, string::String, vec::Vec};

use super::{control::NO_PROCESSOR, machine::Machine};
use crate::{
    kernel::{
        processor::Activity,
        thread::ThreadName,
        wait::{self, WaitKind},
    },
    subsystem::dispatcher,
    trace::event::{Event, What},
    verifier::{
        Checked, Violation,
        bugcheck::BugCheck,
        stop::{Stop, Wait},
    },
};

impl Machine {
    /// Records why the run ends. The first reason stays.
    pub(crate) fn put_stop(&self, stop: Stop) {
        if self.tracing.get() {
            self.record(What::Stop { stop: stop.clone() });
        }
        self.stop.borrow_mut().get_or_insert(stop);
        self.alert_all();
    }

    /// Ends the run.
    #[cold]
    pub(crate) fn halt(&self, stop: Stop) -> ! {
        if std::thread::panicking() {
            // The thread would count this panic for ever, because the coroutine that it unwinds
            // does not return.
            std::eprintln!("ntsim: stopped while a panic unwinds: {stop}");
            std::process::abort();
        }
        self.put_stop(stop);
        self.stay()
    }

    /// Leaves the coroutine for ever.
    pub(crate) fn stay(&self) -> ! {
        loop {
            self.control.next.set(NO_PROCESSOR);
            self.suspend();
        }
    }

    /// Ends the run with a bug check.
    #[cold]
    #[inline(never)]
    pub(crate) fn bug_check(&self, violation: Box<Violation>) -> ! {
        self.bug_check_with(violation, self.backtrace())
    }

    /// Returns the value of a check, or stops the machine with its violation.
    pub(crate) fn checked<T>(&self, outcome: Checked<T>) -> T {
        match outcome {
            Ok(value) => value,
            Err(violation) => self.bug_check(violation),
        }
    }

    /// The stop of a violation on the current processor.
    pub(crate) fn bug_check_of(&self, violation: Violation) -> Stop {
        Stop::BugCheck(BugCheck {
            code: violation.code,
            parameters: violation.parameters,
            processor: self.current.get(),
            irql: self.irql(),
            rule: violation.rule,
            backtrace: Vec::new(),
        })
    }

    /// Ends the run with a failure.
    #[cold]
    pub(crate) fn fail(&self, oracle: &'static str, message: String) -> ! {
        self.halt(Stop::Failure { oracle, message, backtrace: self.backtrace() })
    }

    /// The stop of a run that has taken too many steps.
    pub(crate) fn step_limit(&self) -> Stop {
        Stop::StepLimit {
            steps: self.config.get().step_limit,
            processor: self.current.get(),
            irql: self.irql(),
            in_dpc: self.cpu().in_dpc.get(),
            backtrace: self.backtrace(),
        }
    }

    /// Whether some processor waits for a spin lock.
    pub(crate) fn spins(&self) -> bool {
        let mut all = self.processors.iter().take(self.count());
        all.any(|cpu| matches!(cpu.activity.get(), Activity::Waiting(_)))
    }

    /// All current waits, first those of processors for spin locks, then those of threads.
    pub(crate) fn waits(&self) -> Vec<Wait> {
        let spinning = (0..self.count()).filter_map(|processor| self.wait(processor));
        let waits = self.kernel.borrow().waits.all().to_vec();
        spinning.chain(waits.iter().map(|wait| self.thread_wait(wait))).collect()
    }

    fn wait(&self, processor: usize) -> Option<Wait> {
        let Activity::Waiting(lock) = self.processor(processor).activity.get() else { return None };
        let lock_name = alloc::format!("{}", self.name(lock));
        let holder = self.kernel.borrow().locks.holder(lock);
        let place = self
            .place_of_wait(|event| event.processor == processor && matches!(event.what, What::Wait { .. }));
        Some(Wait { processor, thread: None, lock: lock_name, holder, holding_thread: None, place })
    }

    fn thread_wait(&self, wait: &wait::Wait) -> Wait {
        let names: Vec<String> =
            wait.objects.iter().map(|object| dispatcher::describe(self, *object)).collect();
        let lock = match wait.kind {
            WaitKind::Any => names.join(" or "),
            WaitKind::All => names.join(" and "),
            WaitKind::Delay => String::from("the end of a delay"),
            WaitKind::Kernel(reason) => String::from(reason),
        };
        let kernel = self.kernel.borrow();
        let holder = wait.objects.iter().find_map(|object| kernel.mutexes.holder(*object));
        Wait {
            processor: kernel.threads.get(wait.thread).processor,
            thread: Some(ThreadName::of(wait.thread)),
            lock,
            holder: None,
            holding_thread: holder.map(|held| ThreadName::of(held.thread)),
            place: self.place_of_wait(|event| {
                matches!(event.what, What::ThreadWait { thread, .. } if thread == ThreadName::of(wait.thread))
            }),
        }
    }

    /// The place of the last event that `is` accepts, if it is known.
    fn place_of_wait(&self, is: impl Fn(&Event) -> bool) -> Option<String> {
        Some(self.place_of(is).trim_start_matches(" at ").into()).filter(|place: &String| !place.is_empty())
    }

    /// The waits that go from `start` back to it.
    pub(crate) fn cycle(&self, start: usize) -> Option<Vec<Wait>> {
        let mut at = start;
        for _ in 0..self.count() {
            let Activity::Waiting(lock) = self.processor(at).activity.get() else { return None };
            at = self.kernel.borrow().locks.holder(lock)?;
            if at == start {
                return Some(self.waits());
            }
        }
        None
    }
}

/// Moves a violation out of its box. The box is freed here because the coroutine of a halt never
/// drops it.
#[expect(clippy::boxed_local, reason = "violations are boxed where they arise, so that checks return a word")]
pub(crate) fn unbox(violation: Box<Violation>) -> Violation {
    *violation
}
