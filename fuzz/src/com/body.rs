//! Bodies of async methods. They do little, but each is counted.

use core::{
    future::Future,
    pin::Pin,
    ptr::null_mut,
    task::{Context, Poll},
};

use ntcom::{IUnknownVtbl, NTSTATUS};

use super::{
    interfaces::{A, IAVtbl, IIDS, U},
    tables::{release, table},
    world::{self, Reference},
};
use crate::harness::slots::slot;

/// The number of works.
pub(super) const WORKS: u8 = 5;

/// The behaviour of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    /// Ends at once.
    Ends,
    /// Wakes itself once, and ends in the next poll.
    Yields,
    /// Waits for ever.
    Waits,
    /// Waits for ever, and cleans up when it is cancelled.
    Cleans,
    /// Its initialiser fails.
    Fails,
}

impl Work {
    pub(super) fn of(number: u32) -> Self {
        match number % u32::from(WORKS) {
            0 => Self::Ends,
            1 => Self::Yields,
            2 => Self::Waits,
            3 => Self::Cleans,
            _ => Self::Fails,
        }
    }
}

/// Uses the outer object from a body of an aggregate's part. The aggregate must not have gone
/// `[C19]`.
fn reach_whole(part: usize) {
    let whole = world::with(|world| {
        let whole = world.record(part).whole.get()?;
        Some(Reference { object: whole, iface: U, this: world.record(whole).this.get() })
    });
    let Some(whole) = whole else { return };
    let (iid, mut out) = (IIDS[A], null_mut());
    let query = slot(table::<IUnknownVtbl>(whole.this).QueryInterface, "QueryInterface");
    // SAFETY: a body keeps its aggregate alive. Both pointers are valid.
    let status = unsafe { query(whole.this, &raw const iid, &raw mut out) };
    if status != NTSTATUS::SUCCESS {
        whole.fail(
            "C19",
            format!(
                "QueryInterface for IA from a body of part {part} answers {status}, expected STATUS_SUCCESS"
            ),
        );
    }
    // SAFETY: `out` is a reference to this interface, which the query gave.
    let answered = unsafe { slot(table::<IAVtbl>(out).a, "a")(out, 5) };
    if answered != whole.object as u32 ^ 5 {
        whole.fail("C19", format!("a call from a body of part {part} answers {answered:#x}"));
    }
    release(out);
}

/// Counts a living body of an object, until it is dropped.
pub(super) struct Alive(usize);

impl Alive {
    pub(super) fn new(object: usize) -> Self {
        world::with(|world| {
            let bodies = &world.record(object).bodies;
            bodies.set(bodies.get() + 1);
        });
        Self(object)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        reach_whole(self.0);
        world::with(|world| {
            let bodies = &world.record(self.0).bodies;
            if bodies.get() == 0 {
                ntsim::fail("C8", format!("a body of object {} is dropped twice", self.0));
            }
            bodies.set(bodies.get() - 1);
        });
    }
}

/// A body that has a name.
pub(crate) struct Named {
    _alive: Alive,
    work: Work,
    polled: bool,
    value: u64,
}

impl Named {
    pub(super) fn new(object: usize, work: Work, value: u64) -> Self {
        Self { _alive: Alive::new(object), work, polled: false, value }
    }
}

impl Future for Named {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        let first = !core::mem::replace(&mut self.polled, true);
        match self.work {
            Work::Yields if first => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Work::Waits | Work::Cleans => Poll::Pending,
            _ => Poll::Ready(self.value),
        }
    }
}
