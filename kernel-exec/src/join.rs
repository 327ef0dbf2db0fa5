//! A task with a handle that receives its value.
//!
//! The value, the word and the signal stand in the prefix of the task's block, so a joined task is
//! one allocation, as every task is. The handle's reference keeps the block.
//!
//! | bit | meaning |
//! |---|---|
//! | ENDED | the body is gone |
//! | VALUE | the body left a value, which is set with ENDED |
//! | DETACHED | the handle has gone |
//!
//! - **J1** The body writes the value before it sets VALUE, and touches it no more if the handle
//!   was still there.
//! - **J2** The party that sets the second of VALUE and DETACHED drops the value, unless the handle
//!   has received it.

#[cfg(all(test, loom))]
mod loom_tests;

use core::{
    future::Future,
    mem::MaybeUninit,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    alloc::Allocator,
    signal::Signal,
    status::NTSTATUS,
    sync::{AtomicUsize, Ordering, UnsafeCell},
    task::{CancelHandle, Infallible, Port, Share, Task, unwind},
};

const ENDED: usize = 1 << 0;
const VALUE: usize = 1 << 1;
const DETACHED: usize = 1 << 2;

/// The part of a block that a joined task and its handle share.
struct JoinCell<T> {
    word: AtomicUsize,
    signal: Signal,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> JoinCell<T> {
    fn new() -> Self {
        Self {
            word: AtomicUsize::new(0),
            signal: Signal::new(),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Writes the value, for [`end`](Self::end).
    ///
    /// # Safety
    /// The caller is the body, once, before its end.
    unsafe fn put(&self, value: T) {
        self.value.with_mut(|place| {
            // SAFETY: the handle does not read before VALUE is set [J1].
            unsafe { (*place).write(value) };
        });
    }

    /// # Safety
    /// VALUE is set, and the caller alone takes the value, once `[J2]`.
    unsafe fn read(&self) -> T {
        self.value.with(|place| {
            // SAFETY: VALUE has been seen, so the value has been written [J1].
            unsafe { place.cast::<T>().read() }
        })
    }

    /// Records the end of the body, and wakes the handle's task.
    ///
    /// # Safety
    /// The caller is the body, once. With `has_value` it has put the value.
    unsafe fn end(&self, has_value: bool) {
        let bits = if has_value { ENDED | VALUE } else { ENDED };
        if self.word.fetch_or(bits, Ordering::AcqRel) & DETACHED == 0 {
            self.signal.set();
        } else if has_value {
            // SAFETY: the value was just published, and the handle, which had gone before, has not
            // seen it [J2].
            drop(unsafe { self.read() });
        }
    }
}

/// The body's end of the cell. Its drop comes after the drop of the future.
struct End<T> {
    cell: NonNull<JoinCell<T>>,
    has_value: bool,
}

// SAFETY: the value goes to the handle, on any thread; the cell may be used by both.
unsafe impl<T: Send> Send for End<T> {}

impl<T> End<T> {
    fn cell(&self) -> &JoinCell<T> {
        // SAFETY: the cell is in the block that this body is in.
        unsafe { self.cell.as_ref() }
    }

    fn put(&mut self, value: T) {
        if !core::mem::replace(&mut self.has_value, true) {
            // SAFETY: this is the body, and it has put no value before.
            unsafe { self.cell().put(value) };
        }
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        // SAFETY: this is the body's end, and the value has been put if the flag says so.
        unsafe { self.cell().end(self.has_value) };
    }
}

pin_project! {
    /// The body of a joined task. The future is dropped first, because its field is the first.
    struct Joined<F: Future> {
        #[pin]
        future: F,
        end: End<F::Output>,
    }
}

impl<F: Future> Future for Joined<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let Poll::Ready(value) = this.future.poll(context) else { return Poll::Pending };
        // The value of a body that unwinds is not received, as the operation's is not [C10].
        if unwind::has_begun() {
            drop(value);
        } else {
            this.end.put(value);
        }
        Poll::Ready(())
    }
}

type JoinTask<F, A, X> = Task<JoinCell<<F as Future>::Output>, Infallible<Joined<F>>, A, X>;

/// Spawns a task and returns the handle that receives its value.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`, or the reason why the port refuses the task. The future has
/// been dropped.
pub(crate) fn spawn_join<F, A, X>(port: X, allocator: A, future: F) -> Result<JoinHandle<F::Output>, NTSTATUS>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    A: Allocator + Send + 'static,
    X: Port,
{
    let init = |body: *mut Infallible<Joined<F>>| {
        // SAFETY: the place is in the block, so its address is not null.
        let place = unsafe { NonNull::new_unchecked(body) };
        // SAFETY: this is the place that the spawn gave to its `init`.
        let cell = unsafe { JoinTask::<F, A, X>::prefix_of(place) };
        let joined = Joined { future, end: End { cell, has_value: false } };
        // SAFETY: `body` is the place for the body, which is transparent over the future.
        unsafe { body.cast::<Joined<F>>().write(joined) };
        Ok(())
    };
    // SAFETY: `init` writes the body.
    let spawned = unsafe { JoinTask::<F, A, X>::spawn_on(port, JoinCell::new(), allocator, 1, init) }?;
    // SAFETY: the reference that was asked for keeps the block.
    let task = unsafe { JoinTask::<F, A, X>::task(spawned.block) };
    // SAFETY: this is the one reference of a new task.
    let task = unsafe { CancelHandle::from_reference(task) };
    let handle =
        JoinHandle { task, cell: spawned.block.cast(), wait: 0, received: false, share: Share::new() };
    spawned.refused.map_or(Ok(handle), Err)
}

/// A handle that receives the value of a task
/// ([`TaskBuilder::spawn_join`](crate::TaskBuilder::spawn_join)).
///
/// It is a future, which ends when the body is *gone*. Then the future of the task has been
/// dropped, with all that it owned. It yields `Ok` with the value, or `Err(STATUS_CANCELLED)` if
/// the body was dropped before it returned, or ended unwinding `[C10]`. After `Ok` each poll
/// returns `STATUS_PIPE_BROKEN`.
///
/// Dropping the handle detaches it, and the task goes on. A value that is there is dropped with the
/// handle. A value that comes later is dropped by the task, at the IRQL of its body.
///
/// The handle holds a reference, so it keeps the task's block. A body that nothing else can wake
/// waits for [`abort`](Self::abort), where without a handle it would be cancelled `[C9]`.
///
/// Neither the end of the task nor a wait allocates. IRQL: ≤ DISPATCH_LEVEL.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// use ntcom_exec::{JoinHandle, NTSTATUS, TaskBuilder};
///
/// let sum: JoinHandle<u32> = TaskBuilder::new().spawn_join(async { 3 + 4 }).unwrap();
/// let idle: JoinHandle<()> = TaskBuilder::new().spawn_join(core::future::pending()).unwrap();
/// ntcom_exec::spawn_dpc_task(async {
///     assert_eq!(sum.await, Ok(7));
///     idle.abort();
///     assert_eq!(idle.await, Err(NTSTATUS::CANCELLED)); // its body has been dropped
/// }).unwrap();
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
#[must_use = "dropping the handle detaches the task"]
pub struct JoinHandle<T> {
    /// Keeps the block.
    task: CancelHandle,
    cell: NonNull<JoinCell<T>>,
    /// The number of its wait for the signal.
    wait: usize,
    /// The value has been received.
    received: bool,
    share: Share,
}

// SAFETY: the value may be received on any thread; the rest of the cell may be used by several.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: a shared handle can only cancel and look at the word.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Asks the task to stop, as [`CancelHandle::cancel`] does `[C10]`.
    ///
    /// The cleanups of the body run. The handle's await ends when the body is gone. A body that
    /// returned first, or that took the request and went on, still yields its value.
    /// IRQL: ≤ DISPATCH_LEVEL.
    pub fn abort(&self) {
        self.task.cancel();
    }

    /// Returns another handle that cancels the task. IRQL: ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.task.clone()
    }

    /// Tells whether the body is gone. IRQL: any.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.cell().word.load(Ordering::Acquire) & ENDED != 0
    }

    fn cell(&self) -> &JoinCell<T> {
        // SAFETY: the handle's reference keeps the block.
        unsafe { self.cell.as_ref() }
    }

    fn result(&mut self) -> Poll<Result<T, NTSTATUS>> {
        if self.received {
            return Poll::Ready(Err(NTSTATUS::PIPE_BROKEN));
        }
        let word = self.cell().word.load(Ordering::Acquire);
        if word & ENDED == 0 {
            return Poll::Pending;
        }
        if word & VALUE == 0 {
            return Poll::Ready(Err(NTSTATUS::CANCELLED));
        }
        self.received = true;
        // SAFETY: VALUE has been seen, and this is the first that receives [J2].
        Poll::Ready(Ok(unsafe { self.cell().read() }))
    }

    fn poll_result(&mut self, context: &Context<'_>) -> Poll<Result<T, NTSTATUS>> {
        let result = self.result();
        if result.is_ready() {
            return result;
        }
        // SAFETY: the handle's reference keeps the block.
        let cell = unsafe { self.cell.as_ref() };
        match cell.signal.poll(&mut self.wait, context) {
            // The body has gone since the check above.
            Poll::Ready(()) => self.result(),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut share = core::mem::take(&mut self.share);
        let polled = share.limit(context, |context| self.poll_result(context));
        self.share = share;
        polled
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let cell = self.cell();
        cell.signal.forget(self.wait);
        if cell.word.fetch_or(DETACHED, Ordering::AcqRel) & VALUE != 0 && !self.received {
            // SAFETY: VALUE was set before DETACHED, so the value is this handle's [J2].
            drop(unsafe { cell.read() });
        }
    }
}

impl<T> core::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}
