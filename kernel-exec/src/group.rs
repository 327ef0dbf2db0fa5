//! A group of tasks that are cancelled and joined together.

use core::future::Future;

use crate::{
    alloc::Allocator,
    builder::TaskBuilder,
    placement::Placement,
    status::NTSTATUS,
    task::CancelHandle,
    token::{CancellationToken, Joined},
};

/// A group of tasks that are cancelled together, and that one task waits for.
///
/// A group is a [`CancellationToken`] with the tasks that have joined it, in one list. It is one
/// allocation. Its tasks are in the image's tracker too, so an Unload still drains that. Dropping
/// the group cancels nothing. IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let group = ntcom_exec::TaskGroup::new().unwrap();
/// for _channel in 0..4 {
///     group.spawn(core::future::pending()).unwrap();
/// }
/// assert_eq!(group.unfinished(), 4);
/// ntcom_exec::spawn_dpc_task(async move {
///     group.cancel_all();
///     group.join().await; // all four bodies have been dropped
///     assert_eq!(group.unfinished(), 0);
/// }).unwrap();
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[derive(Debug)]
pub struct TaskGroup(CancellationToken);

impl TaskGroup {
    /// Makes a group without tasks. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the group.
    pub fn new() -> Result<Self, NTSTATUS> {
        CancellationToken::new().map(Self)
    }

    /// Makes a group that is cancelled with this token, and joined before it. IRQL:
    /// ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the group.
    pub fn below(parent: &CancellationToken) -> Result<Self, NTSTATUS> {
        parent.child().map(Self)
    }

    /// Spawns a task on DPCs into the group. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// After [`cancel_all`](Self::cancel_all) the task gets the request with its first poll.
    ///
    /// # Errors
    /// As for [`spawn_dpc_task`](crate::spawn_dpc_task).
    pub fn spawn<F>(&self, future: F) -> Result<(), NTSTATUS>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_with(TaskBuilder::new(), future).map(drop)
    }

    /// Spawns a task with the options of a builder into the group. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// For a value, spawn [`token().run(future)`](CancellationToken::run) by
    /// [`TaskBuilder::spawn_join`].
    ///
    /// # Errors
    /// As for [`TaskBuilder::spawn`].
    pub fn spawn_with<P, A, F>(&self, builder: TaskBuilder<P, A>, future: F) -> Result<CancelHandle, NTSTATUS>
    where
        P: Placement,
        A: Allocator + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        builder.spawn(self.0.run(future))
    }

    /// Returns the token of the group, which operations may join, and children. IRQL: any.
    #[must_use]
    pub const fn token(&self) -> &CancellationToken {
        &self.0
    }

    /// Requests cancellation of every task in the group, and of those that are spawned later. IRQL:
    /// ≤ DISPATCH_LEVEL.
    pub fn cancel_all(&self) {
        self.0.cancel();
    }

    /// Returns the number of bodies that are not gone. IRQL: ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.0.members()
    }

    /// Waits until all bodies of the group are gone, as [`CancellationToken::joined`] does. A task
    /// of the group waits for itself.
    pub fn join(&self) -> Joined<'_> {
        self.0.joined()
    }
}
