//! The poll budget: how long one run may keep a processor.

use core::num::NonZeroU32;

/// How often a task may be polled in one run of a DPC before it lets the processor go. Guidelines for DPC routines want a
/// run below 100 microseconds (learn.microsoft.com/windows-hardware/drivers/kernel/guidelines-for-writing-dpc-routines).
pub const DEFAULT_POLL_BUDGET: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// When a task whose budget is spent goes on: relative, in units of 100 ns. The timer fires at the next clock tick.
#[cfg(all(feature = "sim", not(loom)))]
pub(crate) const CONTINUE_AFTER: i64 = -1;
