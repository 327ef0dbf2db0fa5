//! IRQL (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kegetcurrentirql`,
//! `nf-wdm-keraiseirql`, `nf-wdm-kelowerirql`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::{irql, join},
    trace::Value,
    types::{DISPATCH_LEVEL, KIRQL},
    verifier::irql::Ddi,
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;

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
    let before = irql::raise(machine, NewIrql);
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
    let before = irql::raise(machine, DISPATCH);
    machine.called(Ddi::KeRaiseIrqlToDpcLevel, |_| ([], Some(Value::Number(before.into()))));
    before
}

/// Lowers IRQL to `NewIrql`.
///
/// Below DISPATCH_LEVEL, the DPCs that were held off run before it returns. Any IRQL from `NewIrql`
/// on, otherwise bug check 0xC4/0x31, also if a DPC routine goes below DISPATCH_LEVEL
/// (`nf-wdm-kelowerirql`).
///
/// # Safety
/// The same as for [`KeGetCurrentIrql`].
pub unsafe extern "C" fn KeLowerIrql(NewIrql: KIRQL) {
    let machine = &*enter(Ddi::KeLowerIrql);
    machine.called(Ddi::KeLowerIrql, |_| ([Value::Number(NewIrql.into())], None));
    machine.checked(join::check_none(machine, Ddi::KeLowerIrql));
    irql::lower(machine, NewIrql);
}
