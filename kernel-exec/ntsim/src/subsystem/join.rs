//! A release and the wait that follows it, joined by `Wait` = TRUE.
//!
//! The release returns at DISPATCH_LEVEL, so that no other thread of the processor runs in between,
//! and the wait restores IRQL (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: the remarks
//! of `nf-wdm-kesetevent`, `nf-wdm-kereleasesemaphore`, `nf-wdm-kereleasemutex`).

use super::irql;
use crate::{
    engine::machine::Machine,
    types::{BOOLEAN, DISPATCH_LEVEL, KIRQL},
    verifier::{Checked, bugcheck::driver_verifier::documented, irql::Ddi},
};

const APC: u8 = 1;
const DISPATCH: u8 = DISPATCH_LEVEL as u8;

/// Checks that a release may be made with this `Wait`. IRQL ≤ APC_LEVEL, and an earlier joined
/// release must have had its wait.
pub(crate) fn check_wait_argument(machine: &Machine, ddi: Ddi, wait: BOOLEAN) -> Checked<()> {
    check_none(machine, ddi)?;
    if wait != 0 { machine.check_documented_irql(ddi, APC) } else { Ok(()) }
}

/// Ends a release. With `Wait`, its caller promises that it waits next.
pub(crate) fn begin(machine: &Machine, wait: BOOLEAN) {
    if wait != 0 {
        machine.cpu().joined.set(Some(irql::raise(machine, DISPATCH)));
    }
}

/// Begins a wait. If it is joined with a release, restores the IRQL before that release.
pub(crate) fn end(machine: &Machine) {
    if let Some(before) = machine.cpu().joined.take() {
        irql::lower(machine, before);
    }
}

/// Returns a violation if a call is made between a release and its joined wait. Only calls that
/// end or begin such a pair check this.
#[inline]
pub(crate) fn check_none(machine: &Machine, ddi: Ddi) -> Checked<()> {
    match machine.cpu().joined.take() {
        None => Ok(()),
        Some(before) => no_wait(machine, ddi, before),
    }
}

#[cold]
fn no_wait(machine: &Machine, ddi: Ddi, before: KIRQL) -> Checked<()> {
    machine.documented(|| documented::no_wait_after_release(ddi.name(), machine.irql(), before))
}
