//! Rundown protection.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/kernel/run-down-protection and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-exinitializerundownprotection`,
//! `nf-wdm-exacquirerundownprotection`, `nf-wdm-exreleaserundownprotection`,
//! `nf-wdm-exwaitforrundownprotectionrelease`, `nf-wdm-exrundowncompleted`,
//! `nf-wdm-exreinitializerundownprotection`.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::{Entered, enter},
    subsystem::rundown,
    trace::Value,
    types::{BOOLEAN, PEX_RUNDOWN_REF, ULONG},
    verifier::irql::Ddi,
};

fn begin<'a>(ddi: Ddi, rundown: PEX_RUNDOWN_REF) -> Entered<'a> {
    let machine = enter(ddi);
    machine.called(ddi, |machine| ([machine.pointer(rundown as usize)], None));
    machine
}

/// Initialises rundown protection without acquisitions. IRQL ≤ APC_LEVEL
/// (`nf-wdm-exinitializerundownprotection`).
///
/// # Safety
/// `RunRef` is valid for writes.
pub unsafe extern "C" fn ExInitializeRundownProtection(RunRef: PEX_RUNDOWN_REF) {
    let machine = &*begin(Ddi::ExInitializeRundownProtection, RunRef);
    machine.checked(rundown::initialize(machine, RunRef));
}

/// Acquires rundown protection. Returns FALSE once rundown has begun. IRQL ≤ DISPATCH_LEVEL
/// (`nf-wdm-exacquirerundownprotection`).
///
/// # Safety
/// `RunRef` was initialised and is valid.
pub unsafe extern "C" fn ExAcquireRundownProtection(RunRef: PEX_RUNDOWN_REF) -> BOOLEAN {
    // SAFETY: the caller promises that `RunRef` was initialised and is valid.
    unsafe { ExAcquireRundownProtectionEx(RunRef, 1) }
}

/// Acquires rundown protection `Count` times at once, otherwise like [`ExAcquireRundownProtection`]
/// (`nf-wdm-exacquirerundownprotectionex`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExAcquireRundownProtectionEx(RunRef: PEX_RUNDOWN_REF, Count: ULONG) -> BOOLEAN {
    let ddi = Ddi::ExAcquireRundownProtection;
    let machine = &*enter(ddi);
    let acquired = machine.checked(rundown::acquire(machine, RunRef, Count));
    machine.called(ddi, |machine| ([machine.pointer(RunRef as usize)], Some(Value::Boolean(acquired))));
    acquired.into()
}

/// Releases rundown protection. The last release ends the wait for it. IRQL ≤ DISPATCH_LEVEL. Bug
/// check 0x139 (14) on more releases than acquisitions (`nf-wdm-exreleaserundownprotection`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExReleaseRundownProtection(RunRef: PEX_RUNDOWN_REF) {
    // SAFETY: the caller promises that `RunRef` was initialised and is valid.
    unsafe { ExReleaseRundownProtectionEx(RunRef, 1) }
}

/// Releases rundown protection `Count` times at once, otherwise like [`ExReleaseRundownProtection`]
/// (`nf-wdm-exreleaserundownprotectionex`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExReleaseRundownProtectionEx(RunRef: PEX_RUNDOWN_REF, Count: ULONG) {
    let machine = &*begin(Ddi::ExReleaseRundownProtection, RunRef);
    machine.checked(rundown::release(machine, RunRef, Count));
}

/// Begins rundown, and waits until every acquisition has been released.
///
/// Returns at once if rundown is over. IRQL ≤ APC_LEVEL, otherwise bug check 0xC4/0x3B, or 0xB8 in
/// a DPC routine (`nf-wdm-exwaitforrundownprotectionrelease`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExWaitForRundownProtectionRelease(RunRef: PEX_RUNDOWN_REF) {
    let machine = &*begin(Ddi::ExWaitForRundownProtectionRelease, RunRef);
    machine.checked(rundown::run_down(machine, RunRef));
}

/// Marks rundown as over. IRQL ≤ APC_LEVEL. Bug check 0x139 (14) before
/// [`ExWaitForRundownProtectionRelease`] has returned (`nf-wdm-exrundowncompleted`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExRundownCompleted(RunRef: PEX_RUNDOWN_REF) {
    let machine = &*begin(Ddi::ExRundownCompleted, RunRef);
    machine.checked(rundown::complete(machine, RunRef));
}

/// Initialises rundown protection again after its rundown. IRQL ≤ APC_LEVEL. Bug check 0x139 (14)
/// before [`ExWaitForRundownProtectionRelease`] has returned
/// (`nf-wdm-exreinitializerundownprotection`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExReInitializeRundownProtection(RunRef: PEX_RUNDOWN_REF) {
    let machine = &*begin(Ddi::ExReInitializeRundownProtection, RunRef);
    machine.checked(rundown::reinitialize(machine, RunRef));
}
