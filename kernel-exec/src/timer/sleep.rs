//! Futures that wait for a moment.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::kernel_timer::KernelTimer;
use crate::{
    clock::Instant,
    status::NTSTATUS,
    task::Share,
    timer_block::{DueTime, TimerHandle},
};

/// A timer with a block that is allocated when it is first needed.
#[derive(Default)]
pub(super) struct LazyTimer {
    timer: Option<TimerHandle<KernelTimer>>,
    /// The tolerance in milliseconds.
    tolerance: u32,
    /// The share of the future that waits for the timer.
    share: Share,
}

impl LazyTimer {
    /// Ready when the precise clock has passed the deadline, and not before.
    ///
    /// A relative timer counts from the last clock tick, so its DPC may come up to a clock period
    /// early. The timer is then armed again for the rest.
    fn poll(&mut self, deadline: Instant, context: &Context<'_>) -> Poll<Result<(), NTSTATUS>> {
        loop {
            if let Some(timer) = self.timer.as_mut().filter(|timer| timer.is_armed())
                && timer.poll(context).is_pending()
            {
                return Poll::Pending;
            }
            let Some(units) = deadline.units_left() else { return Poll::Ready(Ok(())) };
            if self.timer.is_none() {
                self.timer = TimerHandle::new();
            }
            let Some(timer) = &mut self.timer else {
                return Poll::Ready(Err(NTSTATUS::INSUFFICIENT_RESOURCES));
            };
            if let Err(refused) = timer.arm(DueTime { units, tolerance: self.tolerance }) {
                return Poll::Ready(Err(refused));
            }
        }
    }

    /// Polls the timer, as [`poll`](Self::poll) does, within the share of the task's poll. Without
    /// a deadline the result is an error.
    pub(super) fn poll_share(
        &mut self,
        deadline: Option<Instant>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), NTSTATUS>> {
        let mut share = core::mem::take(&mut self.share);
        let polled = share.limit(context, |context| match deadline {
            Some(deadline) => self.poll(deadline, context),
            None => Poll::Ready(Err(NTSTATUS::INVALID_PARAMETER)),
        });
        self.share = share;
        polled
    }

    /// Starts a new share, because another future waits for the timer.
    pub(super) const fn renew(&mut self) {
        self.share = Share::new();
    }

    /// Frees the timer's memory.
    pub(super) fn free(&mut self) {
        self.timer = None;
    }

    /// Sets the tolerance, from the next arming on. It counts in whole milliseconds, rounded down,
    /// and is limited to the most that the kernel takes.
    pub(super) fn tolerate(&mut self, tolerance: Duration) {
        let most = i32::MAX.cast_unsigned();
        self.tolerance = u32::try_from(tolerance.as_millis()).map_or(most, |tolerance| tolerance.min(most));
    }
}

/// Waits for this long, from this call on, by interrupt time, as [`sleep_until`] does.
///
/// A duration of zero ends in the first poll, without a timer. A duration that ends beyond the
/// clock's range (29,000 years after the machine's start; [`Duration::MAX`] is one) ends in the
/// first poll with an error.
///
/// # Errors
/// The future returns `STATUS_INVALID_PARAMETER` for a duration beyond the clock's range. The other
/// errors are those of [`sleep_until`].
///
/// ```
/// use core::time::Duration;
/// use ntcom_exec::{Instant, NTSTATUS, sleep};
///
/// async fn body() -> Result<(), NTSTATUS> {
///     let start = Instant::now();
///     sleep(Duration::from_millis(20)).await?;
///     assert!(Instant::now().duration_since(start) >= Duration::from_millis(20));
///     assert_eq!(sleep(Duration::MAX).await, Err(NTSTATUS::INVALID_PARAMETER));
///     Ok(())
/// }
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// ntcom_exec::spawn_dpc_task(async { body().await.unwrap() }).unwrap();
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(Instant::now().checked_add(duration))
}

/// Waits until a moment, and never less.
///
/// The first clock tick after that moment wakes the task. (Two ticks are 15.6 ms apart unless other
/// code has asked for shorter ones.) If the moment is over, the wait ends in the first poll.
///
/// The timer is a block of non-paged pool. It is allocated and set in the first poll, and freed
/// when the future ends or is dropped. Dropping the future is safe in every state and does not
/// wait. If the timer's DPC is already on its way, the timer keeps its block until that DPC has
/// run.
///
/// IRQL of the polls and the drop: ≤ DISPATCH_LEVEL.
///
/// # Errors
/// The future returns these errors in the poll that would set the timer:
/// - `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the timer.
/// - `STATUS_DELETE_PENDING`: the image's tracker has been closed and has no unfinished task. Only
///   foreign code can then poll this future, and the timer could outlive the driver.
///
/// ```
/// use core::time::Duration;
/// use ntcom_exec::{Instant, NTSTATUS, sleep_until};
///
/// async fn body() -> Result<(), NTSTATUS> {
///     let deadline = Instant::now().checked_add(Duration::from_millis(20)).unwrap();
///     sleep_until(deadline).await?;
///     assert!(Instant::now() >= deadline);
///     sleep_until(deadline).await // over
/// }
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// ntcom_exec::spawn_dpc_task(async { body().await.unwrap() }).unwrap();
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(Some(deadline))
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    /// The deadline, or `None` if it is beyond the clock's range.
    deadline: Option<Instant>,
    timer: LazyTimer,
}

impl Sleep {
    fn new(deadline: Option<Instant>) -> Self {
        Self { deadline, timer: LazyTimer::default() }
    }

    /// Lets the kernel fire the timer up to `tolerance` later, together with other timers.
    ///
    /// This saves interrupts and power (`KeSetCoalescableTimer`). The tolerance counts in whole
    /// milliseconds. Below one it is exact, as it is without this call. Call it before the first
    /// poll.
    ///
    /// ```
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// use core::time::Duration;
    ///
    /// ntcom_exec::spawn_dpc_task(async {
    ///     let second = Duration::from_secs(1);
    ///     ntcom_exec::sleep(second).with_tolerance(second / 10).await.unwrap();
    /// }).unwrap();
    /// # }).unwrap();
    /// # kernel.unload().unwrap();
    /// ```
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.timer.tolerate(tolerance);
        self
    }
}

impl Future for Sleep {
    type Output = Result<(), NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { deadline, timer } = &mut *self;
        let polled = timer.poll_share(*deadline, context);
        if polled.is_ready() {
            timer.free();
        }
        polled
    }
}

impl core::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
