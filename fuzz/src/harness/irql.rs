//! The IRQL of a program.

use core::cell::Cell;

use ntsim::ddi::{KeLowerIrql, KeRaiseIrqlToDpcLevel};

/// Raises the IRQL to DISPATCH_LEVEL, if the program is not there already. `raised` is the IRQL
/// before the raise.
pub fn raise(raised: &Cell<Option<u8>>) {
    if raised.get().is_none() {
        // SAFETY: the program is at PASSIVE_LEVEL, which is below DISPATCH_LEVEL.
        raised.set(Some(unsafe { KeRaiseIrqlToDpcLevel() }));
    }
}

/// Lowers the IRQL to its level before the raise. Returns whether it was raised.
pub fn lower(raised: &Cell<Option<u8>>) -> bool {
    let Some(irql) = raised.take() else { return false };
    // SAFETY: `irql` is the IRQL that `KeRaiseIrqlToDpcLevel` returned.
    unsafe { KeLowerIrql(irql) };
    true
}
