//! The way in which a DDI, which has no argument for it, enters the machine that it runs in.

use super::{
    between::{advice, refuse},
    free,
    identity::mixed,
    machine::{Machine, active, loaded},
};
use crate::verifier::irql::Ddi;

/// The machine, for the duration of a DDI. In a free run, if the caller did not hold the baton,
/// dropping this value gives the baton back.
pub(crate) struct Entered<'a> {
    machine: &'a Machine,
    taken: bool,
    /// Whether the DDI is a kernel call, which has a point behind its effect.
    call: bool,
}

impl core::ops::Deref for Entered<'_> {
    type Target = Machine;

    #[inline(always)]
    fn deref(&self) -> &Machine {
        self.machine
    }
}

impl Drop for Entered<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.call {
            self.machine.now.set_call(None);
            self.machine.point_after();
        }
        if free::ENABLED && self.taken {
            free::return_baton(self.machine);
        }
    }
}

/// The machine that the caller runs on, with the baton for as long as the result lives.
#[inline(always)]
pub(crate) fn here<'a>() -> Option<Entered<'a>> {
    match active() {
        Some(machine) => Some(Entered { machine, taken: false, call: false }),
        None => free::take_baton().map(|machine| Entered { machine, taken: true, call: false }),
    }
}

/// The machine as of [`here`], or the machine of this thread that is not running.
#[inline(always)]
pub(crate) fn loaded_here<'a>() -> Option<Entered<'a>> {
    here().or_else(|| loaded().map(|machine| Entered { machine, taken: false, call: false }))
}

/// The machine of the calling thread, running or not, without the baton. The caller may use only
/// fields that do not change during a run or that are made for several threads.
#[inline(always)]
pub(crate) fn mine<'a>() -> Option<&'a Machine> {
    active().or_else(|| free::bystander().map(|(machine, _)| machine)).or_else(loaded)
}

/// The machine, at the start of a DDI. There is a preemption point here; then the call is counted
/// and the IRQL ceiling checked. The end of the DDI is a point, too.
#[inline]
pub(crate) fn enter<'a>(ddi: Ddi) -> Entered<'a> {
    let Some(machine) = here() else { outside(ddi.name()) };
    machine.begin_call(ddi)
}

/// As [`enter`], for a call that does nothing between two runs, and that is reported then.
#[inline]
pub(crate) fn enter_run<'a>(ddi: Ddi) -> Option<Entered<'a>> {
    match here() {
        Some(machine) => Some(machine.begin_call(ddi)),
        None => {
            refuse(ddi);
            None
        }
    }
}

impl Entered<'_> {
    #[inline(always)]
    pub(crate) fn begin_call(mut self, ddi: Ddi) -> Self {
        let machine = &mut self;
        machine.cpu().last_call.set(Some(ddi));
        machine.count_segment();
        machine.point();
        machine.now.set_call(Some(ddi));
        machine.call = true;
        machine.counts.kernel_calls.add();
        machine.calls.set(mixed(machine.calls.get(), machine.clock.steps() << 16 | ddi as u64));
        if let Err(violation) = ddi.check(machine.irql()) {
            machine.bug_check(violation);
        }
        self
    }
}

/// Reports a call that needs a kernel, made without one. From a DDI the panic becomes an abort,
/// because it cannot leave an `extern "C"` function.
#[cold]
#[expect(clippy::panic, reason = "there is no kernel that could stop, and nothing true to return")]
pub(crate) fn outside(name: &str) -> ! {
    panic!("ntsim: {name} called outside a simulation run, {}", advice())
}
