//! A time limit for a future.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;

use super::sleep::{Sleep, sleep_until};
use crate::{clock::Instant, status::NTSTATUS};

pin_project! {
    /// The future of [`timeout`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        // `None` if there is no limit.
        sleep: Option<Sleep>,
    }
}

/// Waits for a future, but not longer than `limit` from this call on.
///
/// The future is polled first. If it is ready, in the first poll or when the time is over, its
/// value wins, so a limit of zero is one poll. When the time is over the future is not polled any
/// more, and is dropped with this one. It is then like the loser of a select, so the cleanup of a
/// [`try_finally`](crate::try_finally) in it does not run.
///
/// A limit beyond the clock's range, such as [`Duration::MAX`], is for ever, as for
/// [`TaskTracker::drain`](crate::TaskTracker::drain).
///
/// IRQL of the polls and the drop: ≤ DISPATCH_LEVEL, or that of the future if it is lower.
///
/// # Errors
/// The future returns `STATUS_IO_TIMEOUT` when the time is over. If the timer cannot be set, the
/// future returns the error of [`sleep`](crate::sleep) at once. It does not treat a limit that it
/// cannot keep as no limit.
///
/// ```
/// use core::time::Duration;
/// use ntcom_exec::{NTSTATUS, timeout};
///
/// async fn body() {
///     let limit = Duration::from_millis(20);
///     assert_eq!(timeout(limit, async { 7 }).await, Ok(7));
///     let late = timeout(limit, core::future::pending::<u32>()).await;
///     assert_eq!(late, Err(NTSTATUS::IO_TIMEOUT));
///     assert_eq!(timeout(Duration::MAX, async { 7 }).await, Ok(7));
/// }
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || ntcom_exec::spawn_dpc_task(body()).unwrap()).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: Instant::now().checked_add(limit).map(sleep_until) }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, NTSTATUS>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(context) {
            return Poll::Ready(Ok(value));
        }
        let Some(sleep) = this.sleep else { return Poll::Pending };
        Pin::new(sleep).poll(context).map(|slept| Err(slept.err().unwrap_or(NTSTATUS::IO_TIMEOUT)))
    }
}
