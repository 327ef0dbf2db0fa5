//! Raises and lowers a processor's IRQL.

use super::pool;
use crate::{
    engine::machine::Machine,
    types::{DISPATCH_LEVEL, HIGH_LEVEL, KIRQL},
    verifier::bugcheck::driver_verifier::irql as violated,
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;
const HIGH: u8 = HIGH_LEVEL as u8;

/// Raises IRQL and returns the IRQL before.
pub(crate) fn raise(machine: &Machine, to: KIRQL) -> KIRQL {
    let from = machine.irql();
    if to < from || to > HIGH {
        machine.bug_check(violated::raised_to_lower(from, to));
    }
    let cpu = machine.cpu();
    cpu.irql.set(to);
    if from < DISPATCH && to >= DISPATCH {
        cpu.dispatch_start.set(machine.clock.now());
    }
    pool::page_out(machine);
    from
}

/// Lowers IRQL. If it goes below DISPATCH_LEVEL, the DPCs that were held off run before this
/// returns.
pub(crate) fn lower(machine: &Machine, to: KIRQL) {
    let from = machine.irql();
    if to > from {
        machine.bug_check(violated::lowered_to_higher(from, to));
    }
    if to < DISPATCH && machine.cpu().in_dpc.get() {
        machine.bug_check(violated::lowered_in_dpc(from, to));
    }
    machine.set_irql(to);
}
