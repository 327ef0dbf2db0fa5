//! Runs that do not reach a preemption point any more.
//!
//! A loop without a kernel call and without an atomic never gives up its processor. Neither does a
//! routine that waits for a lock of the host, if the holder is another coroutine of the same OS
//! thread. `watch` detects both.

extern crate alloc;

use alloc::{string::String, vec::Vec};

use super::cause::HangKind;
use crate::{engine::machine::Machine, verifier::stop::Stop};

/// Ends a run that does not reach a preemption point.
#[cold]
pub(crate) fn end_run(machine: &Machine, kind: HangKind, backtrace: &[String]) -> ! {
    let (me, limit) = (machine.current.get(), machine.config.get().hang);
    let (oracle, what) = match kind {
        HangKind::Spins => (
            "hang",
            alloc::format!(
                "processor {me} has spent {limit:?} of processor time (Config::hang) without a preemption \
                 point: it makes no kernel call and touches no atomic, so no schedule can change what it \
                 does, and this is no schedule's finding"
            ),
        ),
        HangKind::Waits => (
            "host lock",
            alloc::format!(
                "processor {me} waits in the host, outside of the simulated kernel, for longer than {limit:?} \
                 (Config::hang), and the OS thread of all processors waits with it: a lock of the host that is \
                 held across a kernel call, a wake or another preemption point is never released; use a lock \
                 of the kernel"
            ),
        ),
    };
    let mut lines: Vec<String> = alloc::vec![what];
    lines.extend((0..machine.count()).map(|processor| whereabouts(machine, processor)));
    lines.extend(machine.waits().iter().map(|wait| alloc::format!("{wait}")));
    machine.halt(Stop::Failure { oracle, message: lines.join("\n  "), backtrace: backtrace.to_vec() })
}

/// Describes a processor's state and its last kernel call.
fn whereabouts(machine: &Machine, processor: usize) -> String {
    let state = machine.processor_state(processor);
    match machine.processor(processor).last_call.get() {
        Some(ddi) => alloc::format!("{state}; its last kernel call is {}", ddi.name()),
        None => alloc::format!("{state}; it has made no kernel call"),
    }
}
