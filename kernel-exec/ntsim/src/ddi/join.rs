//! A release and the wait that follows it, joined by `Wait` = TRUE.
//!
//! The release returns at DISPATCH_LEVEL, so that no other thread of the processor runs in between,
//! and the wait restores IRQL (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: the remarks
//! of `nf-wdm-kesetevent`, `nf-wdm-kereleasesemaphore`, `nf-wdm-kereleasemutex`).

use crate::{
    engine::machine::Machine,
    types::{BOOLEAN, DISPATCH_LEVEL, KIRQL},
    verifier::{Checked, bugcheck::driver_verifier::documented, irql::Ddi},
};

const APC: u8 = 1;
const DISPATCH: u8 = DISPATCH_LEVEL as u8;

impl Machine {
    /// Checks that a release may be made with this `Wait`. IRQL ≤ APC_LEVEL, and an earlier joined
    /// release must have had its wait.
    pub(crate) fn check_wait_argument(&self, ddi: Ddi, wait: BOOLEAN) -> Checked<()> {
        self.check_joined(ddi)?;
        if wait != 0 { self.check_documented_irql(ddi, APC) } else { Ok(()) }
    }

    /// Ends a release. With `Wait`, its caller promises that it waits next.
    pub(crate) fn join(&self, wait: BOOLEAN) {
        if wait != 0 {
            self.cpu().joined.set(Some(self.raise(DISPATCH)));
        }
    }

    /// Begins a wait. If it is joined with a release, restores the IRQL before that release.
    pub(crate) fn end_join(&self) {
        if let Some(before) = self.cpu().joined.take() {
            self.lower(before);
        }
    }

    /// Returns a violation if a call is made between a release and its joined wait. Only calls that
    /// end or begin such a pair check this.
    #[inline]
    pub(crate) fn check_joined(&self, ddi: Ddi) -> Checked<()> {
        match self.cpu().joined.take() {
            None => Ok(()),
            Some(before) => self.no_wait(ddi, before),
        }
    }

    #[cold]
    fn no_wait(&self, ddi: Ddi, before: KIRQL) -> Checked<()> {
        self.documented(|| documented::no_wait_after_release(ddi.name(), self.irql(), before))
    }
}
