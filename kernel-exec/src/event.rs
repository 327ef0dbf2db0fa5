//! Waiting for a kernel event without keeping a thread.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    nt,
    status::NTSTATUS,
    task::Share,
    timer::{Sleep, sleep},
};

/// Waits until a kernel event is set, as `KeWaitForSingleObject` does, but keeps no thread.
///
/// The future checks the event every `period`, by a timer. When the wait ends, an event that resets
/// itself has been reset.
///
/// The kernel makes no callback when an event is set, so it cannot wake a task. If this driver sets
/// the event itself, use a [`Signal`](crate::Signal) instead, which wakes. If a period is too long,
/// wait at PASSIVE_LEVEL, in a work item, which keeps a worker thread that long. Call
/// `KeWaitForSingleObject` in a future that [`passive`](crate::passive()) runs.
///
/// A period shorter than a clock tick counts as one tick. Dropping the future at any time leaves
/// the event as it is. IRQL of the polls and the drop: ≤ DISPATCH_LEVEL.
///
/// # Errors
/// The future returns:
/// - `STATUS_INVALID_PARAMETER` if the period is zero and the event is not set;
/// - the errors of [`sleep`], in a poll that would set the timer;
/// - any status of `KeWaitForSingleObject` except success and timeout.
///
/// # Safety
/// `event` is an initialised `KEVENT` in resident memory, and stays one until the future has ended
/// or been dropped.
///
/// ```
/// use core::time::Duration;
/// # use ntsim::{Config, Schedule, Simulation, ddi, types::{_EVENT_TYPE, KEVENT}};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// # let event: &'static mut KEVENT = Box::leak(Box::default());
/// # // SAFETY: it is never freed.
/// # unsafe { ddi::KeInitializeEvent(event, _EVENT_TYPE::SynchronizationEvent, 0) };
/// # let event = std::ptr::from_mut(event);
///
/// // SAFETY: the event is never freed.
/// let set = unsafe { ntcom_exec::wait_for_event(event, Duration::from_millis(20)) };
/// ntcom_exec::spawn_dpc_task(async move { set.await.unwrap() }).unwrap();
/// # // SAFETY: the event is never freed.
/// # unsafe { ddi::KeSetEvent(event, 0, 0) };
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub unsafe fn wait_for_event(event: *mut nt::KEVENT, period: Duration) -> EventWait {
    EventWait { event, period, pause: None, share: Share::new() }
}

/// The future of [`wait_for_event`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct EventWait {
    event: *mut nt::KEVENT,
    period: Duration,
    pause: Option<Sleep>,
    share: Share,
}

// SAFETY: an event may be waited for on any processor, and the caller of `wait_for_event` keeps it
// in place.
unsafe impl Send for EventWait {}
// SAFETY: a shared future has no operations that change it.
unsafe impl Sync for EventWait {}

impl Future for EventWait {
    type Output = Result<(), NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { event, period, pause, share } = &mut *self;
        share.limit(context, |context| look(*event, *period, pause, context))
    }
}

/// Checks the event, and until it is set, checks it again after each period.
fn look(
    event: *mut nt::KEVENT,
    period: Duration,
    pause: &mut Option<Sleep>,
    context: &mut Context<'_>,
) -> Poll<Result<(), NTSTATUS>> {
    loop {
        // SAFETY: the caller of `wait_for_event` keeps the event initialised and in place.
        match unsafe { nt::look_at_event(event) } {
            NTSTATUS::SUCCESS => return Poll::Ready(Ok(())),
            NTSTATUS::TIMEOUT => {}
            failed => return Poll::Ready(Err(failed)),
        }
        if period.is_zero() {
            // A period of zero would make the loop check for ever.
            return Poll::Ready(Err(NTSTATUS::INVALID_PARAMETER));
        }
        match Pin::new(pause.get_or_insert_with(|| sleep(period))).poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => *pause = None,
            Poll::Ready(Err(failed)) => return Poll::Ready(Err(failed)),
        }
    }
}
