//! IRQL (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kegetcurrentirql`,
//! `nf-wdm-keraiseirql`, `nf-wdm-kelowerirql`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::{entry::enter, machine::Machine},
    trace::Value,
    types::{DISPATCH_LEVEL, HIGH_LEVEL, KIRQL},
    verifier::{bugcheck::driver_verifier::irql as violated, irql::Ddi},
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;
const HIGH: u8 = HIGH_LEVEL as u8;

impl Machine {
    /// Raises IRQL and returns the IRQL before.
    pub(crate) fn raise(&self, to: KIRQL) -> KIRQL {
        let from = self.irql();
        if to < from || to > HIGH {
            self.bug_check(violated::raised_to_lower(from, to));
        }
        let cpu = self.cpu();
        cpu.irql.set(to);
        if from < DISPATCH && to >= DISPATCH {
            cpu.dispatch_start.set(self.clock.now());
        }
        self.page_out();
        from
    }

    /// Lowers IRQL. If it goes below DISPATCH_LEVEL, the DPCs that were held off run before this
    /// returns.
    pub(crate) fn lower(&self, to: KIRQL) {
        let from = self.irql();
        if to > from {
            self.bug_check(violated::lowered_to_higher(from, to));
        }
        if to < DISPATCH && self.cpu().in_dpc.get() {
            self.bug_check(violated::lowered_in_dpc(from, to));
        }
        self.set_irql(to);
    }
}

/// Returns the current processor's IRQL. Any IRQL (`nf-wdm-kegetcurrentirql`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeGetCurrentIrql() -> KIRQL {
    let machine = &*enter(Ddi::KeGetCurrentIrql);
    let irql = machine.irql();
    machine.called(Ddi::KeGetCurrentIrql, |_| ([], Some(Value::Number(irql.into()))));
    irql
}

/// Raises IRQL to `NewIrql` and returns the IRQL before. Any IRQL up to `NewIrql`, otherwise bug
/// check 0xC4/0x30 (`nf-wdm-keraiseirql`).
///
/// # Safety
/// The same as for [`KeGetCurrentIrql`].
pub unsafe extern "C" fn KfRaiseIrql(NewIrql: KIRQL) -> KIRQL {
    let machine = &*enter(Ddi::KfRaiseIrql);
    let before = machine.raise(NewIrql);
    machine
        .called(Ddi::KfRaiseIrql, |_| ([Value::Number(NewIrql.into())], Some(Value::Number(before.into()))));
    before
}

/// Raises IRQL to DISPATCH_LEVEL and returns the IRQL before. IRQL ≤ DISPATCH_LEVEL, otherwise bug
/// check 0xC4/0x30 (`nf-wdm-keraiseirqltodpclevel`).
///
/// # Safety
/// The same as for [`KeGetCurrentIrql`].
pub unsafe extern "C" fn KeRaiseIrqlToDpcLevel() -> KIRQL {
    let machine = &*enter(Ddi::KeRaiseIrqlToDpcLevel);
    let before = machine.raise(DISPATCH);
    machine.called(Ddi::KeRaiseIrqlToDpcLevel, |_| ([], Some(Value::Number(before.into()))));
    before
}

/// Lowers IRQL to `NewIrql`. Below DISPATCH_LEVEL, the DPCs that were held off run before it
/// returns. Any IRQL from `NewIrql` on, otherwise bug check 0xC4/0x31, also if a DPC routine goes
/// below DISPATCH_LEVEL (`nf-wdm-kelowerirql`).
///
/// # Safety
/// The same as for [`KeGetCurrentIrql`].
pub unsafe extern "C" fn KeLowerIrql(NewIrql: KIRQL) {
    let machine = &*enter(Ddi::KeLowerIrql);
    machine.called(Ddi::KeLowerIrql, |_| ([Value::Number(NewIrql.into())], None));
    machine.checked(machine.check_joined(Ddi::KeLowerIrql));
    machine.lower(NewIrql);
}
