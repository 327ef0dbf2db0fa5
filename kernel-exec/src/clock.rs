//! Interrupt time, which is the clock of timers and time limits.

use core::time::Duration;

use crate::nt;

/// Units of 100 ns in a second.
const PER_SECOND: u64 = 10_000_000;

/// Nanoseconds of a unit.
const NANOSECONDS: u32 = 100;

/// A moment of the kernel's interrupt time, in units of 100 ns since the machine was started.
///
/// Interrupt time never goes back, and setting the system's clock does not move it
/// (`KeQueryInterruptTimePrecise`).
///
/// IRQL of every method: any.
///
/// ```
/// use core::time::Duration;
/// use ntcom_exec::Instant;
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
///
/// let start = Instant::now();
/// let deadline = start.checked_add(Duration::from_millis(20)).unwrap();
/// assert_eq!(deadline.duration_since(start), Duration::from_millis(20));
/// assert_eq!(start.checked_add(Duration::MAX), None);
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(u64);

impl Instant {
    /// The last moment, 29,000 years after the start. Differences to it fit into a relative due
    /// time of the kernel.
    const LAST: u64 = i64::MAX.cast_unsigned();

    /// Returns the present moment.
    #[must_use]
    pub fn now() -> Self {
        Self(nt::interrupt_time())
    }

    /// Returns the moment that is `duration` later, rounded up to units of 100 ns.
    ///
    /// Returns `None` if the kernel's timers cannot be set to that moment (29,000 years after the
    /// machine's start).
    #[must_use]
    pub const fn checked_add(self, duration: Duration) -> Option<Self> {
        let Some(units) = units(duration) else { return None };
        match self.0.checked_add(units) {
            Some(time) if time <= Self::LAST => Some(Self(time)),
            _ => None,
        }
    }

    /// Returns how much later this moment is, or zero if it is not later.
    #[must_use]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        let units = self.0.saturating_sub(earlier.0);
        let nanoseconds = (units % PER_SECOND) as u32 * NANOSECONDS;
        Duration::new(units / PER_SECOND, nanoseconds)
    }

    /// Computes the next tick after one that was due at this moment and is seen at `now`.
    ///
    /// Returns the number of later ticks that are over too, and the moment of the first tick that
    /// is not over. That moment is `None` if it is beyond the clock's range, or if the period is
    /// zero.
    pub(crate) fn next_multiple(self, period: Duration, now: Self) -> (u64, Option<Self>) {
        let late = now.0.saturating_sub(self.0);
        let Some(period) = units(period) else { return (0, None) };
        let Some(missed) = late.checked_div(period) else { return (0, None) };
        let next = self.0.saturating_add(late - late % period).checked_add(period);
        (missed, next.filter(|time| *time <= Self::LAST).map(Self))
    }

    /// Returns the time left until this moment, in units of 100 ns, or `None` if it is over.
    pub(crate) fn units_left(self) -> Option<i64> {
        let left = self.0.saturating_sub(nt::interrupt_time());
        i64::try_from(left).ok().filter(|left| *left > 0)
    }
}

/// Converts to units of 100 ns, rounded up. Returns `None` if the result does not fit.
const fn units(duration: Duration) -> Option<u64> {
    let Some(seconds) = duration.as_secs().checked_mul(PER_SECOND) else { return None };
    seconds.checked_add(duration.subsec_nanos().div_ceil(NANOSECONDS) as u64)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{Instant, units};

    #[test]
    fn a_part_of_a_unit_counts_as_one() {
        assert_eq!(units(Duration::ZERO), Some(0));
        assert_eq!(units(Duration::from_nanos(1)), Some(1));
        assert_eq!(units(Duration::from_nanos(100)), Some(1));
        assert_eq!(units(Duration::from_nanos(1_000_000_001)), Some(10_000_001));
    }

    #[test]
    fn a_time_beyond_the_timers_range_is_no_moment() {
        assert_eq!(units(Duration::MAX), None);
        assert_eq!(Instant(0).checked_add(Duration::from_secs(u64::MAX / 10_000_000)), None);
        let last = Instant(Instant::LAST);
        assert_eq!(last.checked_add(Duration::ZERO), Some(last));
        assert_eq!(last.checked_add(Duration::from_nanos(1)), None);
    }

    #[test]
    fn the_next_tick_is_a_multiple_of_the_period_away() {
        let (period, due) = (Duration::from_nanos(1000), Instant(25));
        assert_eq!(due.next_multiple(period, Instant(25)), (0, Some(Instant(35))));
        assert_eq!(due.next_multiple(period, Instant(34)), (0, Some(Instant(35))));
        assert_eq!(due.next_multiple(period, Instant(35)), (1, Some(Instant(45))));
        assert_eq!(due.next_multiple(period, Instant(61)), (3, Some(Instant(65))));
        assert_eq!(due.next_multiple(Duration::ZERO, Instant(61)), (0, None));
        assert_eq!(Instant(Instant::LAST).next_multiple(period, Instant(Instant::LAST)), (0, None));
    }

    #[test]
    fn an_earlier_moment_is_later_by_zero() {
        assert_eq!(Instant(1).duration_since(Instant(2)), Duration::ZERO);
        assert_eq!(Instant(30_000_001).duration_since(Instant(0)), Duration::new(3, 100));
    }
}
