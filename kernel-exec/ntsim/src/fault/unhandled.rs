//! Hosts on which ntsim does not handle faults, so that a fault ends the process.

/// Checks that special pool is off, because these hosts do not support it.
///
/// # Panics
/// Panics with special pool.
#[expect(clippy::panic, reason = "the simulation says so")]
pub(crate) fn prepare(special_pool: bool) {
    if special_pool {
        panic!("ntsim: special pool is for x86-64 Linux hosts");
    }
}
