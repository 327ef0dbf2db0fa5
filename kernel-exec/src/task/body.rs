//! Bodies, which tasks poll, and the two kinds that tell a value from a failure.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::status::NTSTATUS;

/// The body of a task, which is a future that ends with a value, or with the reason why there is no
/// value.
///
/// Both kinds of futures are bodies through a wrapper, [`Infallible`] or [`Fallible`]. The executor
/// polls and drops a body at its own IRQL, on one processor at a time `[T2]`.
pub trait TaskBody: Send + 'static {
    /// The type of value that a Completed task yields.
    type Value: Copy + Send + 'static;

    /// True if a value owns something. Such a value is [discarded](Self::discard) with its block.
    const OWNS: bool = false;

    /// Polls the body, as [`Future::poll`] does. An error ends the task with that status `[C20]`.
    fn poll_body(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Self::Value, NTSTATUS>>;

    /// Called when one more copy of the value is handed out. IRQL: ≤ DISPATCH_LEVEL.
    fn share(_value: &Self::Value) {}

    /// Drops the value with its block, once, if it [owns](Self::OWNS) something.
    /// IRQL: ≤ DISPATCH_LEVEL, on any processor.
    fn discard(_value: Self::Value) {}
}

pin_project! {
    /// The body of a future with the value as its output. It is transparent, so a place for one is
    /// a place for the other.
    #[repr(transparent)]
    #[derive(Debug)]
    pub struct Infallible<F> {
        #[pin]
        future: F,
    }
}

pin_project! {
    /// The body of a future with the output `Result<value, NTSTATUS>`. It is transparent, so a
    /// place for one is a place for the other.
    #[repr(transparent)]
    #[derive(Debug)]
    pub struct Fallible<F> {
        #[pin]
        future: F,
    }
}

impl<F> TaskBody for Infallible<F>
where
    F: Future + Send + 'static,
    F::Output: Copy + Send + 'static,
{
    type Value = F::Output;

    fn poll_body(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<F::Output, NTSTATUS>> {
        self.project().future.poll(context).map(Ok)
    }
}

impl<T, F> TaskBody for Fallible<F>
where
    T: Copy + Send + 'static,
    F: Future<Output = Result<T, NTSTATUS>> + Send + 'static,
{
    type Value = T;

    fn poll_body(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, NTSTATUS>> {
        self.project().future.poll(context)
    }
}
