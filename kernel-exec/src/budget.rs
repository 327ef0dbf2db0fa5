//! The poll budget: how long one run may keep a processor.

use core::num::NonZeroU32;

/// How often a task may be polled in one run of a DPC or work item before it lets the processor, or the worker thread, go. Guidelines for DPC routines want a
/// run below 100 microseconds (learn.microsoft.com/windows-hardware/drivers/kernel/guidelines-for-writing-dpc-routines).
///
/// ```
/// assert_eq!(ntcom_exec::DEFAULT_POLL_BUDGET.get(), 16);
/// ```
pub const DEFAULT_POLL_BUDGET: NonZeroU32 = NonZeroU32::new(16).unwrap();
