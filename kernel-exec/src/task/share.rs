//! A limit on the number of ready futures that one poll of a task may take. With it, a body that
//! keeps making its own futures ready ends its poll.
//!
//! Each poll begins with [`UNITS`]. A future that is ready in its first poll spends one of them.
//! Where none is left, the future wakes the task and is pending once. A future that has been
//! pending spends nothing, because it became ready from elsewhere or took another poll.
//!
//! The task is found by the waker, which needs no kernel call. A combinator's own waker hides it;
//! then it is looked up as the task that is being polled here.

use core::task::{Context, Poll};

#[cfg(any(kernel, all(test, loom)))]
use super::header::TaskPtr;
use super::waker;
use crate::{ambient, sync::Hint};

/// The number of futures that may be ready in their first polls, in one poll of a task.
pub(super) const UNITS: u32 = 32;

/// The share that one future takes.
#[derive(Default, Debug)]
pub struct Share {
    polled: bool,
}

impl Share {
    /// Makes the share of a future that has not been polled.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(false)
    }

    /// Makes the share of a future that has been polled already, or has not.
    #[must_use]
    pub const fn of(polled: bool) -> Self {
        Self { polled }
    }

    /// Polls the future with `poll`. If the task's poll has no units left, it wakes the task
    /// instead and is pending.
    pub fn limit<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if core::mem::replace(&mut self.polled, true) {
            return poll(context);
        }
        match waker::task_of(context.waker()) {
            // SAFETY: the waker's own reference keeps the task allocated, or that of the poller,
            // from which the waker is borrowed.
            Some(task) => take(Some(&unsafe { task.header() }.units), context, poll),
            None => ambient::current(|node| {
                // SAFETY: a node on the stack means that its task is being polled here.
                let units = node.map(|node| &unsafe { node.task.header() }.units);
                take(units, context, poll)
            }),
        }
    }
}

/// Returns the task that polls with this context, if it is a task of this crate. It stays allocated
/// while the context is used.
#[cfg(any(kernel, all(test, loom)))]
pub(crate) fn polling_task(context: &Context<'_>) -> Option<TaskPtr> {
    waker::task_of(context.waker()).or_else(|| ambient::current(|node| node.map(|node| node.task)))
}

fn take<T>(
    units: Option<&Hint>,
    context: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let Some(units) = units else { return poll(context) };
    let Some(left) = units.get().checked_sub(1) else {
        context.waker().wake_by_ref();
        return Poll::Pending;
    };
    let polled = poll(context);
    if polled.is_ready() {
        units.set(left);
    }
    polled
}
