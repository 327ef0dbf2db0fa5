//! Time for tasks, with `sleep`, `timeout` and `interval`.
//!
//! Each is a deadline by interrupt time and a [timer block](crate::timer_block). The block is
//! allocated and armed in the poll that first has to wait. The kernel's timer is always one-shot,
//! relative, and of the clock's own precision. After each call the future looks at the precise
//! clock, so that nothing comes early and nothing drifts.

mod interval;
mod kernel_timer;
mod sleep;
mod timeout;

pub use interval::{Interval, Tick, interval};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Timeout, timeout};
