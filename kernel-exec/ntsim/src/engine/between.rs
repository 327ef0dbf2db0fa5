//! Kernel calls between two runs of a living simulation.
//!
//! A test may keep an interface, a waker or a handle of a run, and use or drop it when the run is
//! over. No program runs then, and a kernel call is an `extern "C"` function, so it cannot panic. A
//! call that frees pool works as at PASSIVE_LEVEL. A call that would run a task or wake a thread
//! does nothing, answers as if it had, and is noted. The next run or unload fails with that note.
//! If there is none, the reset or the end of the simulation panics with it. Once a simulation has
//! stopped, calls of both kinds do nothing.

extern crate alloc;

use alloc::{string::String, vec::Vec};

use super::{
    entry::{mine, outside},
    machine::{Machine, loaded},
};
use crate::{
    fault::frames::{MAX_FRAMES, lines_of},
    subsystem::pool,
    verifier::{irql::Ddi, stop::Stop},
};

/// Reports a call between two runs. Without a simulation it ends the process.
#[cold]
pub(crate) fn refuse(ddi: Ddi) {
    let Some(machine) = loaded() else { outside(ddi.name()) };
    let mut message = alloc::format!("{} called outside a simulation run, {}", ddi.name(), advice());
    for line in callers() {
        message.push_str("\n  in ");
        message.push_str(&line);
    }
    machine.report(Stop::failure("between runs", message));
}

/// Frees a block of pool between two runs. Without a simulation it ends the process.
#[cold]
pub(crate) fn free_between_runs(ddi: Ddi, address: usize, tag: Option<u32>) {
    let Some(machine) = loaded() else { outside(ddi.name()) };
    if machine.stop.borrow().is_some() {
        return;
    }
    if let Err(mut violation) = pool::free(machine, address, tag) {
        violation.rule = alloc::format!("{}: {}, {}", ddi.name(), violation.rule, advice());
        machine.report(machine.bug_check_of(*violation));
    }
}

/// The advice in the message about a call outside of a run.
pub(crate) fn advice() -> &'static str {
    match mine() {
        Some(_) => {
            "between two runs of this thread's simulation: an interface, waker or handle was kept beyond its \
             run; use and drop it in a program of a run"
        }
        None => {
            "on a thread without a simulation: use and drop interfaces, wakers and handles in a program of a run"
        }
    }
}

/// The functions that have made the call, innermost first.
fn callers() -> Vec<String> {
    let mut lines = Vec::new();
    backtrace::trace(|frame| {
        lines_of(frame.ip().addr(), &mut lines);
        lines.len() < MAX_FRAMES
    });
    lines.truncate(MAX_FRAMES);
    lines
}

impl Machine {
    /// Stops the simulation with the finding between two runs, unless it has stopped.
    fn report(&self, stop: Stop) {
        if self.stop.borrow().is_none() {
            self.put_stop(stop);
            self.unreported.set(true);
        }
    }

    /// Takes the finding between two runs that has not been reported yet.
    pub(crate) fn take_report(&self) -> Option<Stop> {
        if self.unreported.take() { self.stop.borrow().clone() } else { None }
    }
}

/// Panics with a finding that has not been reported, at the end or reset of a simulation.
#[expect(clippy::panic, reason = "no run is left that could end with it")]
pub(crate) fn report_at_last(stop: &Stop) {
    if !std::thread::panicking() {
        panic!("ntsim: {stop}");
    }
}
