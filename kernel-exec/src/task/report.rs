//! A report on an unfinished task, for the code that waits for it and for debugging.

use core::fmt;

use super::{
    header::{Level, TaskPtr},
    state::StateView,
};

/// A task that has not ended, as it was at one moment.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let handle = ntcom_exec::spawn_dpc_task_cancellable(core::future::pending()).unwrap();
/// let mut reports = [None; 8];
/// let tasks = ntcom_exec::default_tracker(|tracker| tracker.report(&mut reports));
/// assert_eq!(tasks, 1);
/// let text = reports[0].unwrap().to_string();
/// assert!(text.contains("1 reference can still wake or cancel it"), "{text}");
/// handle.cancel();
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskReport {
    /// The address of the task's header in its block. `!pool` in a debugger tells which block that
    /// is. The block may have been freed since.
    pub address: usize,
    /// The task stands in its executor's queue, or has been woken in its poll.
    pub scheduled: bool,
    /// The task is being polled, or its body is being dropped.
    pub running: bool,
    /// A cancel request is pending that has not been taken.
    pub cancel_requested: bool,
    /// The task unwinds, so only cleanups run.
    pub unwinding: bool,
    /// The number of references, which are wakers, handles, COM references, and one while the task
    /// is scheduled or running.
    pub references: usize,
    /// The task runs on work items, or on DPCs with the ability to migrate to PASSIVE_LEVEL.
    pub has_device: bool,
}

impl TaskReport {
    /// # Safety
    /// The task is allocated.
    #[allow(dead_code, reason = "without a kernel there is no tracker that asks")]
    pub(crate) unsafe fn of(task: TaskPtr) -> Self {
        // SAFETY: the caller guarantees that the task is allocated.
        let header = unsafe { task.header() };
        let StateView { scheduled, running, cancel_requested, unwinding, references } = header.state.view();
        let has_device = header.vtable.level != Level::Dispatch;
        let address = task.0.addr().get();
        Self { address, scheduled, running, cancel_requested, unwinding, references, has_device }
    }
}

impl fmt::Display for TaskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {:#x} is ", self.address)?;
        match (self.scheduled, self.running) {
            (_, true) => f.write_str("being polled")?,
            (true, false) => f.write_str("in a queue")?,
            (false, false) => {
                let plural = if self.references == 1 { "" } else { "s" };
                write!(
                    f,
                    "idle: no wake has come, and {} reference{plural} can still wake or cancel it",
                    self.references
                )?;
            }
        }
        if self.unwinding {
            f.write_str("; it unwinds, so it waits in a cleanup")?;
        } else if self.cancel_requested {
            f.write_str("; a cancel request is pending")?;
        }
        Ok(())
    }
}
