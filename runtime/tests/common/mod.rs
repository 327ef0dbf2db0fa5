//! Helpers that run a test on a simulated kernel.
#![allow(dead_code, clippy::panic, reason = "each test uses a part; helpers of tests")]

use ntsim::{Config, Schedule, Simulation, Stop};

/// Runs one program alone, and unloads.
pub(crate) fn try_in_kernel(program: impl FnOnce() + 'static) -> Result<(), Stop> {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run_on(0, program)?;
    kernel.unload()
}

pub(crate) fn in_kernel(program: impl FnOnce() + 'static) {
    try_in_kernel(program).unwrap_or_else(|stop| panic!("{stop}"));
}

/// Asserts that the machine stopped with KERNEL_SECURITY_CHECK_FAILURE for this reason.
pub(crate) fn is_fail_fast(stop: Result<(), Stop>, reason: u64) {
    match stop {
        Err(Stop::BugCheck(bug_check)) => {
            assert_eq!((bug_check.code, bug_check.parameters[0]), (0x139, reason), "{bug_check:?}");
        }
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("the machine did not stop"),
    }
}
