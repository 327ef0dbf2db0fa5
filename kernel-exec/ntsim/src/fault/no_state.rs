//! A machine's state for faults, on hosts where ntsim does not handle them.

/// The stack for a thread that leaves its coroutine. Empty on these hosts.
#[derive(Debug, Default)]
pub(crate) struct ExitStack;

/// The watch for runs without progress. It does not watch on these hosts.
#[derive(Debug, Default)]
pub(crate) struct HangWatch;

impl HangWatch {
    /// Does nothing.
    pub(crate) fn set(&self, _limit: core::time::Duration) {}
}
