//! Rules that a call's page states and that neither NT nor Driver Verifier checks. A violation is
//! bug check 0xC4 with a first parameter of ntsim's own, as the first page lists them, unless
//! [`Config::documented_rules`](crate::Config::documented_rules) is off.

extern crate alloc;

use alloc::{boxed::Box, string::String};

use super::{
    Checked, Violation,
    irql::{Ddi, irql_name},
    numbers::{ABOVE_ITS_IRQL, SPIN_LOCK_HELD},
    violation,
};
use crate::engine::machine::Machine;

impl Machine {
    /// A violation of a rule that is only documented, or `Ok` if such rules are off.
    pub(crate) fn documented(&self, parameters: [u64; 4], rule: impl FnOnce() -> String) -> Checked<()> {
        if self.config.get().documented_rules { Err(violated(parameters, rule())) } else { Ok(()) }
    }

    /// A violation if IRQL is above the one that the call's page states.
    #[inline]
    pub(crate) fn check_documented_irql(&self, ddi: Ddi, highest: u8) -> Checked<()> {
        let irql = self.irql();
        if irql <= highest {
            return Ok(());
        }
        self.documented([ABOVE_ITS_IRQL, irql.into(), highest.into(), 0], || {
            let (name, highest) = (ddi.name(), irql_name(highest));
            alloc::format!(
                "{name} was called at IRQL {irql}, not ≤ {highest} as its page says; NT does not check this"
            )
        })
    }

    /// A violation if this processor holds a spin lock. The call runs code of other drivers, which
    /// may need the lock.
    pub(crate) fn check_no_spin_lock(&self, ddi: Ddi) -> Checked<()> {
        let me = self.current.get();
        let held = self.kernel.borrow().locks.held().iter().rev().find(|held| held.processor == me).copied();
        let Some(held) = held else { return Ok(()) };
        self.documented([SPIN_LOCK_HELD, held.address as u64, me as u64, 0], || {
            alloc::format!(
                "{} was called by processor {me}, which holds the spin lock {}: release it first",
                ddi.name(),
                self.name(held.address)
            )
        })
    }
}

#[cold]
fn violated(parameters: [u64; 4], rule: String) -> Box<Violation> {
    violation(0xC4, parameters, rule)
}
