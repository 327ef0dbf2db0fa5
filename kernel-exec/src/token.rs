//! Tokens in a tree, by which one request reaches many tasks.
//!
//! - `list` is the intrusive list. `tree` is the tree with its rules `[K1]`…, and `steps` has the
//!   steps under its lock.
//! - `futures` has the bodies that join a token, and the waits.

mod futures;
mod list;
#[cfg(all(test, loom))]
mod loom_tests;
mod steps;
mod tree;

pub use self::futures::{Cancelled, Joined, Run};
use self::tree::{Reference, WaitFor};
use crate::status::NTSTATUS;

/// A request to stop, which many tasks and operations join, in a tree.
///
/// A request of a token reaches all tokens below it. Tasks *join* a token by [`run`](Self::run),
/// and get the request as a cancel of their own `[C10]`, so their cleanups run. They get it inside
/// out. A task gets the request when no body is left that has joined a token *below* its token. So
/// the cleanups of the children have ended when those of the parent begin.
///
/// [`is_cancelled`](Self::is_cancelled) and [`cancelled`](Self::cancelled) see the request at once,
/// everywhere below. A request is final.
///
/// A clone is another reference to the same token. Dropping tokens cancels nothing. A token is one
/// allocation. Neither a request, a join nor a wait allocates.
///
/// A request calls every task below under one spin lock, so it takes time at DISPATCH_LEVEL in
/// proportion to their number, as `TaskTracker::cancel_all` does.
///
/// IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// use std::sync::{Arc, Mutex};
/// use core::future::pending;
/// use ntcom_exec::{CancellationToken, spawn_dpc_task, try_finally};
///
/// let device = CancellationToken::new().unwrap();
/// let transfer = device.child().unwrap();
/// let log = Arc::new(Mutex::new(Vec::new()));
/// for (token, name) in [(&device, "device"), (&transfer, "transfer")] {
///     let log = Arc::clone(&log);
///     let cleanup = async move { log.lock().unwrap().push(name) };
///     let body = async move { _ = try_finally(pending::<()>(), cleanup).await };
///     spawn_dpc_task(token.run(body)).unwrap();
/// }
/// device.cancel();
/// assert!(transfer.is_cancelled());
/// assert_eq!(*log.lock().unwrap(), ["transfer", "device"]);
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[derive(Clone)]
pub struct CancellationToken(Reference);

impl CancellationToken {
    /// Makes a token without a parent. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the token.
    pub fn new() -> Result<Self, NTSTATUS> {
        Reference::make(None).map(Self)
    }

    /// Makes a token below this one, which is cancelled already if this one is. IRQL:
    /// ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the token.
    pub fn child(&self) -> Result<Self, NTSTATUS> {
        Reference::make(Some(&self.0)).map(Self)
    }

    /// Requests cancellation of this token and of all below it. Once is enough. IRQL:
    /// ≤ DISPATCH_LEVEL.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Tells whether this token, or one above it, has been cancelled. IRQL: any.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for the request, and neither joins nor holds it up. Any number may wait. IRQL of the
    /// polls and of the drop: ≤ DISPATCH_LEVEL.
    ///
    /// ```
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let token = ntcom_exec::CancellationToken::new().unwrap();
    /// let seen = token.child().unwrap();
    /// ntcom_exec::spawn_dpc_task(async move { seen.cancelled().await }).unwrap();
    /// token.cancel();
    /// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
    /// # }).unwrap();
    /// ```
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled::new(&self.0)
    }

    /// Runs `future` in a task or operation that joins this token.
    ///
    /// The call counts a member. The returned future is the body of a task, or a part of one, and
    /// stays in that task. From its first poll on, a request of the token is a cancel request of
    /// the task. If the request came before, the first poll makes it. The member is counted until
    /// `future` has been dropped.
    ///
    /// The future holds a reference to its task from its first poll on. So a body that nothing else
    /// can wake waits for the request, where without it the body would be cancelled `[C9]`. Outside
    /// of a task the request does not reach it.
    ///
    /// A task joined to a token must not wait for a task that is joined *above*, because that one
    /// gets the request later.
    ///
    /// IRQL: ≤ DISPATCH_LEVEL, for this, the polls and the drop.
    pub fn run<F: core::future::Future>(&self, future: F) -> Run<F> {
        Run::new(self.0.clone(), future)
    }

    /// Waits until no body is left that has joined this token or one below it.
    ///
    /// It ends if there was such a moment. Others may join afterwards. It counts the futures of
    /// [`run`](Self::run), so the body is gone when it ends, but the task's status may not be
    /// terminal yet. A task that is joined here waits for itself. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// [`TaskGroup`](crate::TaskGroup) has an example.
    pub fn joined(&self) -> Joined<'_> {
        Joined::new(&self.0)
    }

    /// Returns the number of bodies that have joined this token or one below it. IRQL:
    /// ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn members(&self) -> usize {
        self.0.members()
    }
}

impl core::fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CancellationToken").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
