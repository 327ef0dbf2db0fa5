//! Rules that a call's page states and that neither NT nor Driver Verifier checks.
//!
//! A violation is bug check 0xC4 with a first parameter of ntsim's own, as the first page lists
//! them, unless [`Config::documented_rules`](crate::Config::documented_rules) is off.

extern crate alloc;

use alloc::boxed::Box;

use super::{Checked, Violation, bugcheck::driver_verifier::documented, irql::Ddi};
use crate::engine::machine::Machine;

impl Machine {
    /// A violation of a rule that is only documented, or `Ok` if such rules are off.
    pub(crate) fn documented(&self, violated: impl FnOnce() -> Box<Violation>) -> Checked<()> {
        if self.config.get().documented_rules { Err(violated()) } else { Ok(()) }
    }

    /// A violation if IRQL is above the one that the call's page states.
    #[inline]
    pub(crate) fn check_documented_irql(&self, ddi: Ddi, highest: u8) -> Checked<()> {
        let irql = self.irql();
        if irql <= highest {
            return Ok(());
        }
        self.documented(|| documented::above_its_irql(ddi.name(), irql, highest))
    }

    /// A violation if this processor holds a spin lock. The call runs code of other drivers, which
    /// may need the lock.
    pub(crate) fn check_no_spin_lock(&self, ddi: Ddi) -> Checked<()> {
        let me = self.current.get();
        let held = self.kernel.borrow().locks.held().iter().rev().find(|held| held.processor == me).copied();
        let Some(held) = held else { return Ok(()) };
        self.documented(|| documented::spin_lock_held(ddi.name(), held.address, self.name(held.address), me))
    }
}
