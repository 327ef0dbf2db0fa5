//! The simulated kernel on which clients run.

use ntsim::{Config, Schedule, Simulation};

/// Runs a program on a simulated kernel of one processor, at PASSIVE_LEVEL, and then unloads the
/// driver.
///
/// # Errors
/// The kernel has stopped. The error says why.
pub fn in_kernel(program: impl FnOnce() + 'static) -> Result<(), String> {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let ended = kernel.run_on(0, program).and_then(|()| kernel.unload());
    ended.map_err(|stop| stop.to_string())
}
