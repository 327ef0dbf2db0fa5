//! The future of an operation, our own or foreign.

use core::{
    ffi::c_void,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use ntcom_exec::{Callback, NTSTATUS, PollInterval, Share, complete_callback, no_unwind};
use pin_project_lite::pin_project;

use super::{
    AsyncValueType,
    abi::{AsyncControlRaw, AsyncOperationRaw},
    client::BROKEN,
    status::{AsyncStatus, RawAsyncStatus},
};
use crate::ComRc;

/// The interval at which an operation without a completion handler is polled.
const PERIOD: Duration = Duration::from_millis(10);
/// The shortest interval, because a timer fires at a clock tick.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest interval, because the clock cannot show every longer one.
const LONGEST: Duration = Duration::from_hours(24);

/// How the future learns of the operation's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// The handler has not been set yet.
    Unknown,
    /// The operation calls our handler.
    Told,
    /// The operation does not take our handler, so the timer polls it.
    Looked,
}

pin_project! {
    /// The future of an [`AsyncOperation`](super::AsyncOperation).
    ///
    /// It ends with an `R`, which is the value, or the interface that the operation yields, with a
    /// reference.
    ///
    /// The first poll of an operation that has not ended sets its completion handler `[C14]`. When
    /// the operation calls the handler, the future wakes the waker of its last poll. Three kinds of
    /// operations are polled by a timer instead ([`poll_interval`](Self::poll_interval)). They are
    /// operations without `IAsyncControl`, those with another client's handler, and those that an
    /// earlier future awaited before it was dropped, because its handler cannot be withdrawn.
    ///
    /// The future ends as soon as the operation has, and allocates nothing but the timer. Dropping
    /// it does not cancel the operation, unless [`cancel_on_drop`](Self::cancel_on_drop) says so. A
    /// handler that is called after the future is gone, or twice, or after it was refused, does
    /// nothing.
    ///
    /// The handler's function is in this image, which must stay loaded until it has returned
    /// `[C14]`. A driver's Unload waits for outstanding calls as it does for tasks and timers, by
    /// `TaskTracker::drain` of the crate `ntcom-exec`.
    ///
    /// IRQL of polls and drop: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The future returns:
    /// - `STATUS_CANCELLED`, or the status with which the operation failed.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: the object breaks the contract `[C17]`.
    /// - `STATUS_DELETE_PENDING`: the tracker has been closed and has no unfinished task. The
    ///   operation has not ended then.
    /// - `STATUS_NOT_SUPPORTED`: the build has no kernel. The operation has not ended then.
    /// - The error of [`sleep`](https://docs.rs/ntcom-exec): the timer cannot be set. The operation
    ///   has not ended then.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// use ntcom::{AsyncOperation, NTSTATUS, OperationFuture, spawn_async_operation};
    ///
    /// let inner = spawn_async_operation(core::future::pending::<u8>());
    /// let watched = inner.clone();
    /// let future: OperationFuture<u8> = inner.into_future().cancel_on_drop();
    /// let outer = spawn_async_operation(async { future.await.unwrap_or(7) });
    /// outer.cancel().unwrap(); // drops its body, and with it the future
    /// assert_eq!(watched.result(), Err(NTSTATUS::CANCELLED));
    /// # }).unwrap();
    /// # }
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct OperationFuture<T: AsyncValueType, R = T> {
        operation: ComRc<AsyncOperationRaw<T>>,
        // Reads the value.
        read: fn(&ComRc<AsyncOperationRaw<T>>) -> Result<R, NTSTATUS>,
        way: Way,
        #[pin]
        callback: Callback,
        pause: Option<PollInterval>,
        period: Duration,
        // The timer polls the operation, even where it has taken our handler.
        polls: bool,
        cancels: bool,
        // The future has seen the operation's end.
        over: bool,
        share: Share,
    }

    impl<T: AsyncValueType, R> PinnedDrop for OperationFuture<T, R> {
        fn drop(this: Pin<&mut Self>) {
            if this.cancels && !this.over && let Ok(control) = this.operation.control() {
                // An operation that cannot be cancelled goes on.
                let _asked = control.cancel();
            }
        }
    }
}

impl<T: AsyncValueType, R> OperationFuture<T, R> {
    pub(super) const fn new(
        operation: ComRc<AsyncOperationRaw<T>>,
        read: fn(&ComRc<AsyncOperationRaw<T>>) -> Result<R, NTSTATUS>,
    ) -> Self {
        Self {
            operation,
            read,
            way: Way::Unknown,
            callback: Callback::new(),
            pause: None,
            period: PERIOD,
            polls: false,
            cancels: false,
            over: false,
            share: Share::new(),
        }
    }

    /// Requests cancellation if the future is dropped before the operation has ended.
    pub const fn cancel_on_drop(mut self) -> Self {
        self.cancels = true;
        self
    }

    /// Sets the interval at which the timer polls an operation that does not call a handler.
    ///
    /// The default is 10 ms. An interval is at least a millisecond, and a clock tick, and at most
    /// 24 hours.
    pub fn poll_interval(mut self, period: Duration) -> Self {
        self.period = period.clamp(SHORTEST, LONGEST);
        self
    }

    /// Polls the operation by the timer in any case.
    ///
    /// Then the future also ends if the provider forgets a handler that it has accepted. That costs
    /// a timer.
    pub const fn with_polling(mut self) -> Self {
        self.polls = true;
        self
    }

    /// Sets the handler.
    fn ask(self: Pin<&mut Self>) -> Result<Way, NTSTATUS> {
        let mut this = self.project();
        let control = match this.operation.control() {
            Err(BROKEN) => return Err(BROKEN),
            Err(_) => return Ok(Way::Looked),
            Ok(control) => control,
        };
        let ticket = this.callback.as_mut().expect()?;
        let refused = match set_handler(&control, ticket) {
            Ok(()) => return Ok(Way::Told),
            Err(BROKEN) => Err(BROKEN),
            Err(_) => Ok(Way::Looked),
        };
        this.callback.cancel_expected();
        refused
    }

    /// Waits for a reason to ask the operation again. Returns true if the handler was called.
    fn poll_way(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<bool, NTSTATUS>> {
        if self.way == Way::Unknown {
            let way = self.as_mut().ask()?;
            *self.as_mut().project().way = way;
            // The operation may have called the handler already, or have ended meanwhile.
            return Poll::Ready(Ok(false));
        }
        let this = self.project();
        if *this.way == Way::Told {
            if this.callback.poll(context).is_ready() {
                return Poll::Ready(Ok(true));
            }
            if !*this.polls {
                return Poll::Pending;
            }
        }
        let pause = this.pause.get_or_insert_with(|| PollInterval::new(*this.period));
        let polled = pause.poll(context);
        if polled.is_ready() {
            *this.pause = None;
        }
        polled.map_ok(|()| false)
    }

    fn poll_end(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<R, NTSTATUS>> {
        let mut told = false;
        loop {
            let status = self.operation.status()?;
            if status != AsyncStatus::Started {
                *self.as_mut().project().over = true;
                return Poll::Ready(match (self.read)(&self.operation) {
                    // The operation had ended, and a terminal status is final [C6].
                    Err(NTSTATUS::PENDING) => Err(BROKEN),
                    result => result,
                });
            }
            if told {
                return Poll::Ready(Err(BROKEN));
            }
            match self.as_mut().poll_way(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(way) => told = way?,
            }
        }
    }
}

impl<T: AsyncValueType, R> Future for OperationFuture<T, R> {
    type Output = Result<R, NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut share = core::mem::take(self.as_mut().project().share);
        let polled = share.limit(context, |context| self.as_mut().poll_end(context));
        *self.project().share = share;
        polled
    }
}

impl<T: AsyncValueType, R> core::fmt::Debug for OperationFuture<T, R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut f = f.debug_struct("OperationFuture");
        f.field("operation", &self.operation).field("way", &self.way).finish_non_exhaustive()
    }
}

/// The completion handler, with the ticket of one future as its context.
///
/// Any caller may call it at any time.
unsafe extern "system" fn handler(ticket: *mut c_void, _status: RawAsyncStatus) {
    // The status that the caller passes does not count, because the future asks the operation. The
    // waker may be foreign code, which must not unwind into the caller [C12].
    no_unwind(|| complete_callback(ticket));
}

fn set_handler(control: &ComRc<AsyncControlRaw>, ticket: *mut c_void) -> Result<(), NTSTATUS> {
    // SAFETY: the handler accepts any context, from any caller at ≤ DISPATCH_LEVEL, any number of
    // times.
    unsafe { control.set_completed(handler, ticket) }
}
