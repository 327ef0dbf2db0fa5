//! Acquires rundown protection, releases it, and waits for its last release.

extern crate alloc;

use alloc::boxed::Box;

use super::{objects, wait};
use crate::{
    engine::machine::Machine,
    kernel::wait::{Wait, WaitKind},
    types::{PEX_RUNDOWN_REF, STATUS_SUCCESS, ULONG},
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

fn load(machine: &Machine, rundown: PEX_RUNDOWN_REF) -> Checked<u64> {
    machine.check_memory(objects::address(rundown), Use::Rundown)?;
    Ok(read(rundown))
}

fn broken(machine: &Machine, rundown: PEX_RUNDOWN_REF, what: &str) -> Box<Violation> {
    security_check::rundown(machine.name(rundown as usize), what)
}

/// Acquires rundown protection. Returns false once rundown has begun.
pub(crate) fn acquire(machine: &Machine, rundown: PEX_RUNDOWN_REF, count: ULONG) -> Checked<bool> {
    let state = load(machine, rundown)?;
    if state & ACTIVE != 0 {
        return Ok(false);
    }
    let Some(state) = state.checked_add(ONE * u64::from(count)) else {
        return Err(broken(machine, rundown, "acquired too often"));
    };
    write(rundown, state);
    Ok(true)
}

/// Releases rundown protection, which ends the wait for it with the last release.
pub(crate) fn release(machine: &Machine, rundown: PEX_RUNDOWN_REF, count: ULONG) -> Checked<()> {
    let state = load(machine, rundown)?;
    let Some(state) = state.checked_sub(ONE * u64::from(count)) else {
        return Err(broken(machine, rundown, "released more often than acquired"));
    };
    write(rundown, state);
    if state == ACTIVE {
        let waiters = machine.kernel.borrow().waits.waiters(rundown as usize);
        for thread in waiters {
            machine.end_wait(thread, STATUS_SUCCESS);
        }
    }
    Ok(())
}

/// Begins rundown, and waits until every acquisition has been released.
pub(crate) fn run_down(machine: &Machine, rundown: PEX_RUNDOWN_REF) -> Checked<()> {
    let ddi = Ddi::ExWaitForRundownProtectionRelease;
    wait::forbid(machine, ddi, rundown as usize, 0, false)?;
    let state = load(machine, rundown)? | ACTIVE;
    write(rundown, state);
    if state != ACTIVE {
        let kind = WaitKind::Kernel("rundown protection to be released");
        let objects = alloc::vec![rundown as usize];
        machine.block(Wait { thread: machine.thread(), kind, objects, timeout: None }, Some(ddi));
    }
    Ok(())
}

fn finish(machine: &Machine, rundown: PEX_RUNDOWN_REF, next: u64, what: &str) -> Checked<()> {
    if load(machine, rundown)? != ACTIVE {
        return Err(broken(machine, rundown, what));
    }
    write(rundown, next);
    Ok(())
}

/// Initialises rundown protection without acquisitions.
pub(crate) fn initialize(machine: &Machine, rundown: PEX_RUNDOWN_REF) -> Checked<()> {
    load(machine, rundown)?;
    write(rundown, 0);
    Ok(())
}

/// Marks rundown as over.
pub(crate) fn complete(machine: &Machine, rundown: PEX_RUNDOWN_REF) -> Checked<()> {
    finish(machine, rundown, ACTIVE, "rundown was completed without a wait for it")
}

/// Initialises rundown protection again after its rundown.
pub(crate) fn reinitialize(machine: &Machine, rundown: PEX_RUNDOWN_REF) -> Checked<()> {
    finish(machine, rundown, 0, "initialised again, but has not been run down")
}
