//! The budget: how long one run may keep a processor, or a worker thread.
//!
//! Three limits nest. One poll: how much of what is ready it may take (`task/share.rs`). One run:
//! polls, and time, here. All runs of a processor that follow each other in its DPCs:
//! `sync/processors.rs`, by the kernel's advice.

use core::{num::NonZeroU32, time::Duration};

use crate::{NTSTATUS, nt};

/// How often a task may be polled in one run of a DPC or work item before it lets the processor, or the worker thread, go: unless
/// [`DpcOptions`](crate::DpcOptions) say otherwise.
///
/// ```
/// assert_eq!(ntcom_exec::DEFAULT_POLL_BUDGET.get(), 16);
/// ```
pub const DEFAULT_POLL_BUDGET: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// How long a task may be polled again and again in one run of a DPC or work item. Guidelines for DPC routines want a
/// run below 100 microseconds (learn.microsoft.com/windows-hardware/drivers/kernel/guidelines-for-writing-dpc-routines).
///
/// ```
/// assert_eq!(ntcom_exec::DEFAULT_TIME_BUDGET.as_micros(), 100);
/// ```
pub const DEFAULT_TIME_BUDGET: Duration = Duration::from_micros(100);

/// What one run may spend: polls, and time, whichever is over first. A poll that has begun is never cut short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    polls: NonZeroU32,
    /// In units of 100 ns; never zero.
    time: NonZeroU32,
}

#[allow(dead_code, reason = "without a kernel there are no runs")]
impl Budget {
    /// [`DEFAULT_POLL_BUDGET`] and [`DEFAULT_TIME_BUDGET`].
    pub(crate) const DEFAULT: Self =
        Self { polls: DEFAULT_POLL_BUDGET, time: NonZeroU32::new(1000).unwrap() };

    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: no polls, no time (less than 100 ns), or more than the 429 seconds that fit.
    pub(crate) fn new(polls: u32, time: Duration) -> Result<Self, NTSTATUS> {
        let time = u32::try_from(time.as_nanos() / 100).ok().and_then(NonZeroU32::new);
        match (NonZeroU32::new(polls), time) {
            (Some(polls), Some(time)) => Ok(Self { polls, time }),
            _ => Err(NTSTATUS::INVALID_PARAMETER),
        }
    }

    /// A budget of so many polls, for a test that has no clock.
    #[cfg(all(test, loom))]
    pub(crate) const fn polls(polls: NonZeroU32) -> Self {
        Self { polls, time: NonZeroU32::MAX }
    }

    /// A run begins.
    pub(crate) fn begin(self) -> Spending {
        Spending {
            polls: self.polls.get(),
            until: nt::interrupt_time().saturating_add(self.time.get().into()),
        }
    }
}

/// What is left of a run's budget.
pub(crate) struct Spending {
    polls: u32,
    /// By interrupt time.
    until: u64,
}

impl Spending {
    /// A poll is over: may there be another? The clock is looked at only for a task that has been woken already: another is polled
    /// again only if it is woken this very moment.
    pub(crate) fn poll_ended(&mut self, woken: bool) -> bool {
        self.polls = self.polls.saturating_sub(1);
        self.polls > 0 && (!woken || nt::interrupt_time() < self.until)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{Budget, DEFAULT_POLL_BUDGET, DEFAULT_TIME_BUDGET};
    use crate::NTSTATUS;

    #[test]
    fn the_default_budget_is_the_two_defaults() {
        assert_eq!(Budget::new(DEFAULT_POLL_BUDGET.get(), DEFAULT_TIME_BUDGET), Ok(Budget::DEFAULT));
    }

    #[test]
    fn a_budget_of_nothing_and_one_that_overflows_are_refused() {
        let refused = Err(NTSTATUS::INVALID_PARAMETER);
        assert_eq!(Budget::new(0, DEFAULT_TIME_BUDGET), refused);
        assert_eq!(Budget::new(1, Duration::ZERO), refused);
        assert_eq!(Budget::new(1, Duration::from_nanos(99)), refused);
        assert_eq!(Budget::new(1, Duration::from_secs(430)), refused);
        assert_eq!(Budget::new(1, Duration::MAX), refused);
        assert!(Budget::new(1, Duration::from_nanos(100)).is_ok());
        assert!(Budget::new(u32::MAX, Duration::from_secs(429)).is_ok());
    }
}
