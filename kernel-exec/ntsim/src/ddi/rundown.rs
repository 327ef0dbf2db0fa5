//! Rundown protection (learn.microsoft.com/windows-hardware/drivers/kernel/run-down-protection and
//! learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-exinitializerundownprotection`,
//! `nf-wdm-exacquirerundownprotection`, `nf-wdm-exreleaserundownprotection`,
//! `nf-wdm-exwaitforrundownprotectionrelease`, `nf-wdm-exrundowncompleted`,
//! `nf-wdm-exreinitializerundownprotection`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use alloc::boxed::Box;

use super::objects;
use crate::{
    engine::{
        entry::{Entered, enter},
        machine::Machine,
    },
    kernel::wait::{Kind, Wait},
    trace::Value,
    types::{BOOLEAN, PEX_RUNDOWN_REF, STATUS_SUCCESS, ULONG},
    verifier::{Checked, Violation, bugcheck::security_check, irql::Ddi, memory::Use},
};

/// The bit of the count that is set once rundown has begun.
const ACTIVE: u64 = 1;
/// The amount that one acquisition adds to the count.
const ONE: u64 = 2;

fn read(rundown: PEX_RUNDOWN_REF) -> u64 {
    // SAFETY: pool memory was checked; for other memory the driver promised that the reference is
    // valid.
    unsafe { rundown.read_unaligned() }.Count
}

fn write(rundown: PEX_RUNDOWN_REF, count: u64) {
    // SAFETY: pool memory was checked; for other memory the driver promised that the reference is
    // valid.
    unsafe { rundown.write_unaligned(crate::types::EX_RUNDOWN_REF { Count: count }) }
}

impl Machine {
    fn load_rundown(&self, rundown: PEX_RUNDOWN_REF) -> Checked<u64> {
        self.check_memory(objects::address(rundown), Use::Rundown)?;
        Ok(read(rundown))
    }

    fn broken_rundown(&self, rundown: PEX_RUNDOWN_REF, what: &str) -> Box<Violation> {
        security_check::rundown(self.name(rundown as usize), what)
    }

    fn acquire_rundown(&self, rundown: PEX_RUNDOWN_REF, count: ULONG) -> Checked<bool> {
        let state = self.load_rundown(rundown)?;
        if state & ACTIVE != 0 {
            return Ok(false);
        }
        let Some(state) = state.checked_add(ONE * u64::from(count)) else {
            return Err(self.broken_rundown(rundown, "acquired too often"));
        };
        write(rundown, state);
        Ok(true)
    }

    fn release_rundown(&self, rundown: PEX_RUNDOWN_REF, count: ULONG) -> Checked<()> {
        let state = self.load_rundown(rundown)?;
        let Some(state) = state.checked_sub(ONE * u64::from(count)) else {
            return Err(self.broken_rundown(rundown, "released more often than acquired"));
        };
        write(rundown, state);
        if state == ACTIVE {
            let waiters = self.kernel.borrow().waits.waiters(rundown as usize);
            for thread in waiters {
                self.end_wait(thread, STATUS_SUCCESS);
            }
        }
        Ok(())
    }

    fn run_down(&self, rundown: PEX_RUNDOWN_REF) -> Checked<()> {
        let ddi = Ddi::ExWaitForRundownProtectionRelease;
        self.forbid_wait(ddi, rundown as usize, 0, false)?;
        let state = self.load_rundown(rundown)? | ACTIVE;
        write(rundown, state);
        if state != ACTIVE {
            let kind = Kind::Kernel("rundown protection to be released");
            let objects = alloc::vec![rundown as usize];
            self.block(Wait { thread: self.thread(), kind, objects, timeout: None }, Some(ddi));
        }
        Ok(())
    }

    fn finish_rundown(&self, rundown: PEX_RUNDOWN_REF, next: u64, what: &str) -> Checked<()> {
        if self.load_rundown(rundown)? != ACTIVE {
            return Err(self.broken_rundown(rundown, what));
        }
        write(rundown, next);
        Ok(())
    }
}

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
    machine.checked(machine.load_rundown(RunRef));
    write(RunRef, 0);
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
    let acquired = machine.checked(machine.acquire_rundown(RunRef, Count));
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
    machine.checked(machine.release_rundown(RunRef, Count));
}

/// Begins rundown, and waits until every acquisition has been released. Returns at once if rundown
/// is over. IRQL ≤ APC_LEVEL, otherwise bug check 0xC4/0x3B, or 0xB8 in a DPC routine
/// (`nf-wdm-exwaitforrundownprotectionrelease`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExWaitForRundownProtectionRelease(RunRef: PEX_RUNDOWN_REF) {
    let machine = &*begin(Ddi::ExWaitForRundownProtectionRelease, RunRef);
    machine.checked(machine.run_down(RunRef));
}

/// Marks rundown as over. IRQL ≤ APC_LEVEL. Bug check 0x139 (14) before
/// [`ExWaitForRundownProtectionRelease`] has returned (`nf-wdm-exrundowncompleted`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExRundownCompleted(RunRef: PEX_RUNDOWN_REF) {
    let machine = &*begin(Ddi::ExRundownCompleted, RunRef);
    machine.checked(machine.finish_rundown(RunRef, ACTIVE, "rundown was completed without a wait for it"));
}

/// Initialises rundown protection again after its rundown. IRQL ≤ APC_LEVEL. Bug check 0x139 (14)
/// before [`ExWaitForRundownProtectionRelease`] has returned
/// (`nf-wdm-exreinitializerundownprotection`).
///
/// # Safety
/// The same as for [`ExAcquireRundownProtection`].
pub unsafe extern "C" fn ExReInitializeRundownProtection(RunRef: PEX_RUNDOWN_REF) {
    let machine = &*begin(Ddi::ExReInitializeRundownProtection, RunRef);
    machine.checked(machine.finish_rundown(RunRef, 0, "initialised again, but has not been run down"));
}
