//! Awaiting anybody's operation.

use core::{
    ffi::c_void,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use ntcom_exec::{Callback, NTSTATUS, Pause, Share, call_back, no_unwind};
use pin_project_lite::pin_project;

use super::{
    AsyncValueType,
    abi::{AsyncControlRaw, AsyncOperationRaw},
    client::BROKEN,
    status::{AsyncStatus, RawAsyncStatus},
};
use crate::ComRc;

/// How often an operation is looked at that tells nobody of its end, unless said otherwise.
const PERIOD: Duration = Duration::from_millis(10);
/// And how often at most: each look is a timer, which fires at a clock tick.
const SHORTEST: Duration = Duration::from_millis(1);
/// How seldom at most: the clock cannot show every longer period.
const LONGEST: Duration = Duration::from_hours(24);

/// What the operation's end reaches us by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Nobody has asked yet.
    Unknown,
    /// It calls our handler.
    Told,
    /// It has no handler for us: it is looked at, now and then.
    Looked,
}

pin_project! {
    /// The future of an operation: of [`AsyncOperation`](super::AsyncOperation), and of what a method returned. It ends with an `R`: the value, or
    /// the interface that the operation yields, with a reference of one's own.
    ///
    /// The first poll of an operation that has not ended sets its completion handler `[C14]`. It is then polled again when that is called; the
    /// waker of the last poll is the one that is woken. An operation without `IAsyncControl`, or whose one handler is somebody else's, is
    /// looked at now and then instead, by a timer ([`look_every`](Self::look_every)): that is so, too, where a future of it has been awaited
    /// before and been dropped, because its handler cannot be withdrawn.
    ///
    /// It ends as soon as the operation has, and never allocates, but for the timer. Dropping it is not cancelling, unless
    /// [`cancel_on_drop`](Self::cancel_on_drop) says so. A handler that is called after it has gone, or twice, or that was refused before, does
    /// nothing; but the function is in this image, which must stay loaded until it has returned `[C14]`. A driver's Unload waits for the calls that are
    /// owed, as it does for tasks and timers: `TaskTracker::drain` of the crate `ntcom-exec`.
    ///
    /// IRQL of polls and drop: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// Of the future:
    /// - `STATUS_CANCELLED`, or why the operation failed.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: it breaks the contract `[C17]`.
    /// - What [`sleep`](https://docs.rs/ntcom-exec) says, where the timer cannot be set; `STATUS_DELETE_PENDING` on a tracker that is closed and has no unfinished task; `STATUS_NOT_SUPPORTED`
    ///   without a kernel. The operation has not ended then.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run(vec![(0, Box::new(|| {
    /// use ntcom::{AsyncOperation, NTSTATUS, OperationFuture, spawn_async_operation};
    ///
    /// let inner = spawn_async_operation(core::future::pending::<u8>());
    /// let watched = inner.clone();
    /// let future: OperationFuture<u8> = inner.into_future().cancel_on_drop();
    /// let outer = spawn_async_operation(async { future.await.unwrap_or(7) });
    /// outer.cancel().unwrap(); // drops its body, and with it the future
    /// assert_eq!(watched.result(), Err(NTSTATUS::CANCELLED));
    /// # }))]).unwrap();
    /// # }
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct OperationFuture<T: AsyncValueType, R = T> {
        operation: ComRc<AsyncOperationRaw<T>>,
        // How the value is read.
        read: fn(&ComRc<AsyncOperationRaw<T>>) -> Result<R, NTSTATUS>,
        way: Way,
        #[pin]
        callback: Callback,
        pause: Option<Pause>,
        period: Duration,
        // Looked at now and then, also where it has taken our handler.
        watched: bool,
        cancels: bool,
        // It has been seen to have ended.
        over: bool,
        share: Share,
    }

    impl<T: AsyncValueType, R> PinnedDrop for OperationFuture<T, R> {
        fn drop(this: Pin<&mut Self>) {
            if this.cancels && !this.over && let Ok(control) = this.operation.control() {
                // Who cannot be cancelled goes on.
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
            watched: false,
            cancels: false,
            over: false,
            share: Share::new(),
        }
    }

    /// Requests cancellation if it is dropped before it has ended.
    pub const fn cancel_on_drop(mut self) -> Self {
        self.cancels = true;
        self
    }

    /// How often an operation is looked at that does not tell its end: 10 ms unless this is called;
    /// not more often than each millisecond, nor than the clock ticks, and not more seldom than
    /// once in 24 hours.
    pub fn look_every(mut self, period: Duration) -> Self {
        self.period = period.clamp(SHORTEST, LONGEST);
        self
    }

    /// Looks at it now and then in any case, so that it ends, too, where the provider forgets a handler that it has accepted. That costs
    /// a timer.
    pub const fn watched(mut self) -> Self {
        self.watched = true;
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
        this.callback.forgo();
        refused
    }

    /// Ready: the operation is to be looked at again; `true`: it has said that it has ended.
    fn poll_way(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<bool, NTSTATUS>> {
        if self.way == Way::Unknown {
            let way = self.as_mut().ask()?;
            *self.as_mut().project().way = way;
            // It may have called the handler already, or have ended meanwhile.
            return Poll::Ready(Ok(false));
        }
        let this = self.project();
        if *this.way == Way::Told {
            if this.callback.poll(context).is_ready() {
                return Poll::Ready(Ok(true));
            }
            if !*this.watched {
                return Poll::Pending;
            }
        }
        let pause = this.pause.get_or_insert_with(|| Pause::new(*this.period));
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
                    // It had ended [C6].
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

/// The handler: its context is a ticket, which is good for one future, whoever calls, and when.
unsafe extern "system" fn handler(ticket: *mut c_void, _status: RawAsyncStatus) {
    // What status it was told says nothing: the operation is asked. A waker may be anybody's [C12].
    no_unwind(|| call_back(ticket));
}

fn set_handler(control: &ComRc<AsyncControlRaw>, ticket: *mut c_void) -> Result<(), NTSTATUS> {
    // SAFETY: the handler may be called with anything, by anybody, at ≤ DISPATCH_LEVEL, as often as they like.
    unsafe { control.set_completed(handler, ticket) }
}
