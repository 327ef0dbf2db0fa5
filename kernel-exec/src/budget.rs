//! The budget of a run, which limits how long it keeps a processor or a worker thread.
//!
//! Three limits nest. A limit on one poll bounds the ready futures that it may take
//! (`task/share.rs`). A limit on one run bounds its polls and its time (this file). A limit on all
//! runs of a processor that follow each other in its DPCs uses the kernel's advice
//! (`sync/processors.rs`).
//!
//! # When a run looks at the clock
//!
//! A run reads the clock where it begins, and then only where its task has been woken already.

use core::{num::NonZeroU32, time::Duration};

use crate::{nt, status::NTSTATUS};

/// The number of polls of a task in one run of a DPC or work item, which is 16.
///
/// After these polls the task lets the processor or the worker thread go.
/// [`DpcOptions`](crate::DpcOptions) may set another number.
pub const DEFAULT_POLL_BUDGET: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// The time for which a task may be polled in one run of a DPC or work item, 100 microseconds.
///
/// The guidelines for DPC routines ask for a run below 100 microseconds
/// (learn.microsoft.com/windows-hardware/drivers/kernel/guidelines-for-writing-dpc-routines).
pub const DEFAULT_TIME_BUDGET: Duration = Duration::from_micros(100);

/// The polls and the time that one run may spend.
///
/// The run ends when one of them is spent. A poll that has begun is never cut short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    polls: NonZeroU32,
    /// In units of 100 ns; never zero.
    time: NonZeroU32,
}

#[allow(dead_code, reason = "without a kernel there are no runs")]
impl Budget {
    /// The budget of [`DEFAULT_POLL_BUDGET`] and [`DEFAULT_TIME_BUDGET`].
    pub(crate) const DEFAULT: Self =
        Self { polls: DEFAULT_POLL_BUDGET, time: NonZeroU32::new(1000).unwrap() };

    /// Makes a budget.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: no polls, no time (less than 100 ns), or more than the 429
    /// seconds that fit.
    pub(crate) fn new(polls: u32, time: Duration) -> Result<Self, NTSTATUS> {
        let time = u32::try_from(time.as_nanos() / 100).ok().and_then(NonZeroU32::new);
        match (NonZeroU32::new(polls), time) {
            (Some(polls), Some(time)) => Ok(Self { polls, time }),
            _ => Err(NTSTATUS::INVALID_PARAMETER),
        }
    }

    /// Makes a budget of this many polls, for a test that has no clock.
    #[cfg(all(test, loom))]
    pub(crate) const fn polls(polls: NonZeroU32) -> Self {
        Self { polls, time: NonZeroU32::MAX }
    }

    /// Begins a run.
    pub(crate) fn begin(self) -> Spending {
        Spending {
            polls: self.polls.get(),
            until: nt::interrupt_time().saturating_add(self.time.get().into()),
        }
    }
}

/// The rest of a run's budget.
pub(crate) struct Spending {
    polls: u32,
    /// The end of the time budget, by interrupt time.
    until: u64,
}

impl Spending {
    /// Counts a poll, and returns whether another poll may follow.
    ///
    /// It looks at the clock only for a task that has already been woken. A task that has not been
    /// woken is polled again only if a wake comes at this very moment.
    pub(crate) fn poll_ended(&mut self, woken: bool) -> bool {
        self.polls = self.polls.saturating_sub(1);
        self.polls > 0 && (!woken || nt::interrupt_time() < self.until)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{Budget, DEFAULT_POLL_BUDGET, DEFAULT_TIME_BUDGET};
    use crate::status::NTSTATUS;

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
