//! Ticks at equal distances.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::sleep::LazyTimer;
use crate::{clock::Instant, status::NTSTATUS};

/// Makes an interval that ticks every `period`, the first time one period after this call.
///
/// The ticks do not drift. They are due at multiples of the period from this call on, however late
/// each is seen. Missed ticks are skipped, and the next tick counts them. All ticks use the same
/// timer, a block of non-paged pool that the first poll allocates.
///
/// A period of zero has no ticks, and each poll is an error. Periods are rounded up to units of 100
/// ns. A period below a clock tick (15.6 ms unless other code has asked for shorter ones) misses
/// some ticks. IRQL: any.
///
/// ```
/// use core::time::Duration;
/// use ntcom_exec::{NTSTATUS, interval};
///
/// async fn sample(mut times: u32) -> Result<(), NTSTATUS> {
///     let mut ticks = interval(Duration::from_millis(50));
///     while times > 0 {
///         let missed = ticks.tick().await?;
///         // read the hardware
///         times -= 1;
/// #       assert_eq!(missed, 0);
///     }
///     Ok(())
/// }
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// ntcom_exec::spawn_dpc_task(async { sample(3).await.unwrap() }).unwrap();
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub fn interval(period: Duration) -> Interval {
    let next = if period.is_zero() { None } else { Instant::now().checked_add(period) };
    Interval { next, period, timer: LazyTimer::default() }
}

/// Ticks at equal distances, which [`tick`](Self::tick) waits for. [`interval`] makes it.
pub struct Interval {
    /// The moment at which the next tick is due, or `None` if it never is.
    next: Option<Instant>,
    period: Duration,
    timer: LazyTimer,
}

impl Interval {
    /// Lets the kernel fire each tick up to `tolerance` later, together with other timers.
    ///
    /// See [`Sleep::with_tolerance`](crate::Sleep::with_tolerance). Call it before the first poll.
    /// Late ticks do not move the later ones.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.timer.tolerate(tolerance);
        self
    }

    /// Waits for the next tick, and returns the number of ticks that were missed since the last
    /// one.
    ///
    /// Dropping the future loses no tick. IRQL of the polls, and of the drop of the interval:
    /// ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The future returns `STATUS_INVALID_PARAMETER` if the period is zero, or if the next tick is
    /// beyond the clock's range. The other errors are those of [`sleep_until`](crate::sleep_until),
    /// and a later tick may succeed.
    pub const fn tick(&mut self) -> Tick<'_> {
        self.timer.renew();
        Tick { interval: self }
    }

    fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<Result<u64, NTSTATUS>> {
        let polled = self.timer.poll_share(self.next, context);
        polled.map_ok(|()| {
            let Some(due) = self.next else { return 0 };
            let (missed, next) = due.next_multiple(self.period, Instant::now());
            self.next = next;
            missed
        })
    }
}

impl core::fmt::Debug for Interval {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("Interval");
        f.field("next", &self.next).field("period", &self.period).finish_non_exhaustive()
    }
}

/// The future of [`Interval::tick`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct Tick<'a> {
    interval: &'a mut Interval,
}

impl Future for Tick<'_> {
    type Output = Result<u64, NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.interval.poll_tick(context)
    }
}
