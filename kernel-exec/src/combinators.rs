//! The combinators `try_finally`, `on_cancel` and `yield_now`.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    ambient,
    task::{TaskPtr, unwind},
};

/// The progress of a guarded future.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Main,
    /// The cleanup runs. This task counts it, if there is one.
    Cleanup(Option<TaskPtr>),
    Done,
}

// SAFETY: the pointer is only compared, or used inside the task that is polling this future.
unsafe impl Send for Phase {}

pin_project! {
    /// The future of [`try_finally`] and [`on_cancel`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TryFinally<M: Future, C: Future> {
        #[pin]
        main: Option<M>,
        #[pin]
        cleanup: C,
        value: Option<M::Output>,
        phase: Phase,
        always: bool,
    }

    impl<M: Future, C: Future> PinnedDrop for TryFinally<M, C> {
        fn drop(this: Pin<&mut Self>) {
            if let Phase::Cleanup(Some(task)) = *this.project().phase {
                unwind::end_cleanup(task);
            }
        }
    }
}

/// Runs `main`, and then `cleanup`, whether `main` ends or is cancelled `[C10]`.
///
/// If `main` ends, its value follows the cleanup as `Some`. If the task is cancelled and `main`
/// returns Pending without having taken the request, `main` is dropped. Then the cleanup runs to
/// its end, and the result is `None`. From then on the task unwinds, so the code around this future
/// may only clean up too. Inside the cleanup no cancellation is seen. IRQL: that of the task's
/// body.
///
/// The cleanup does *not* run in these cases:
///
/// - This future is dropped before its main ends, as the loser of a select is.
/// - The body is dropped without a poll, because it is abandoned a second time `[C9]`.
/// - A combinator polls only those of its futures that have been woken. It does not poll this one
///   for a cancel request, so this future is dropped with the body.
///
/// Once polled, this future must stay in its task, because dropping it elsewhere while its cleanup
/// runs fails fast.
///
/// ```
/// # async fn work() -> u32 { 7 }
/// # async fn release_hardware() {}
/// async fn body() -> u32 {
///     match ntcom_exec::try_finally(work(), release_hardware()).await {
///         Some(value) => value,
///         None => 0, // cancelled: the operation ends Canceled, whatever is returned here
///     }
/// }
/// # drop(body());
/// ```
pub fn try_finally<M: Future, C: Future<Output = ()>>(main: M, cleanup: C) -> TryFinally<M, C> {
    TryFinally { main: Some(main), cleanup, value: None, phase: Phase::Main, always: true }
}

/// Runs `main` as [`try_finally`] does, but runs the cleanup on cancellation only.
///
/// When `main` ends by itself, the cleanup is dropped unpolled.
///
/// ```
/// # async fn transfer() -> u32 { 7 }
/// # async fn abort_transfer() {}
/// async fn body() -> u32 {
///     ntcom_exec::on_cancel(transfer(), abort_transfer()).await.unwrap_or(0)
/// }
/// # drop(body());
/// ```
pub fn on_cancel<M: Future, C: Future<Output = ()>>(main: M, cleanup: C) -> TryFinally<M, C> {
    TryFinally { main: Some(main), cleanup, value: None, phase: Phase::Main, always: false }
}

impl<M: Future, C: Future<Output = ()>> Future for TryFinally<M, C> {
    type Output = Option<M::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if *this.phase == Phase::Main {
            let polled = match this.main.as_mut().as_pin_mut() {
                Some(main) => main.poll(context),
                None => return Poll::Pending,
            };
            match polled {
                Poll::Ready(value) => {
                    this.main.set(None);
                    if !*this.always {
                        *this.phase = Phase::Done;
                        return Poll::Ready(Some(value));
                    }
                    *this.value = Some(value);
                }
                Poll::Pending if unwind::begin() => this.main.set(None),
                Poll::Pending => return Poll::Pending,
            }
            *this.phase = Phase::Cleanup(unwind::begin_cleanup());
        }
        if let Phase::Cleanup(task) = *this.phase {
            if ambient::masked(|| this.cleanup.poll(context)).is_pending() {
                return Poll::Pending;
            }
            *this.phase = Phase::Done;
            if let Some(task) = task {
                unwind::end_cleanup(task);
            }
            return Poll::Ready(this.value.take());
        }
        // The future was polled after Ready. It may misbehave then, but it runs nothing twice.
        Poll::Pending
    }
}

/// Lets other tasks run first, by being pending once with its task already woken.
///
/// The task is polled again in the same run while its poll budget lasts. After that a task on DPCs
/// continues by a timer, so that other DPCs run, and a task on work items goes behind the other
/// work items.
///
/// ```
/// async fn body(pages: usize) {
///     for _page in 0..pages {
///         ntcom_exec::yield_now().await;
///     }
/// }
/// # drop(body(1));
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
