//! The tracker and its drain under loom. Tasks, word, list and waiters are the shipping code; lock
//! and event are loom's, and the queue is the test's.

use core::{
    future::Future,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};
use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{DrainError, Link, TaskTracker, default_tracker};
use crate::{
    alloc::GlobalAllocator,
    status::NTSTATUS,
    task::{
        CancelHandle, Infallible, Port, Task, TaskPtr,
        loom_tests::queue::{BUDGET, Queue},
        run,
    },
};

loom::lazy_static! {
    /// The one queue.
    static ref QUEUE: Queue = Queue::new();
}

/// A port that inserts its task into the tracker at launch and removes it at the end, as the
/// shipping ports do.
struct TrackedPort(Link);

// SAFETY: `run_queue` runs each task once for each time it was queued; the link is touched only
// under the tracker's lock.
unsafe impl Port for TrackedPort {
    fn new() -> Self {
        Self(Link::new())
    }
    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: the link is the task's own, and no other code has it yet.
        default_tracker(|tracker| unsafe { tracker.insert(&port.as_ref().0, task) })?;
        QUEUE.push(task);
        Ok(())
    }
    unsafe fn schedule(task: TaskPtr, _port: NonNull<Self>) {
        QUEUE.push(task);
    }
    unsafe fn defer(task: TaskPtr, _port: NonNull<Self>) {
        QUEUE.push(task);
    }
    unsafe fn ended(_task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: `launch` inserted the link.
        default_tracker(|tracker| unsafe { tracker.remove(&port.as_ref().0) });
    }
}

fn run_queue() {
    while let Some(task) = QUEUE.pop() {
        // SAFETY: the task was taken out of its queue, so this owns the queue's reference.
        unsafe { run(task, BUDGET) };
    }
}

/// A body that ends at once, or when it is asked to stop. It counts how many of its kind are left.
struct Body {
    left: Arc<AtomicUsize>,
    at_once: bool,
}

impl Future for Body {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if self.at_once { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // Relaxed is enough, because the drain makes it visible.
        self.left.fetch_sub(1, Ordering::Relaxed);
    }
}

type Tracked = Task<(), Infallible<Body>, GlobalAllocator, TrackedPort>;

/// Makes a new task, which counts itself in `left`. Returns `None` if the tracker refuses it.
fn spawn(left: &Arc<AtomicUsize>, at_once: bool) -> Option<CancelHandle> {
    left.fetch_add(1, Ordering::Relaxed);
    let body = Body { left: Arc::clone(left), at_once };
    let init = |slot: *mut Infallible<Body>| {
        // SAFETY: `slot` is the place for the body, which is transparent over the future.
        unsafe { slot.cast::<Body>().write(body) };
        Ok(())
    };
    // SAFETY: `init` writes the body.
    let spawned = unsafe { Tracked::spawn((), GlobalAllocator, 1, init) }.unwrap();
    // SAFETY: this is the one reference of a new task.
    let handle = unsafe { CancelHandle::from_reference(Tracked::task(spawned.block)) };
    spawned.refused.is_none().then_some(handle)
}

fn close_and_drain(left: &AtomicUsize) {
    default_tracker(TaskTracker::close);
    default_tracker(TaskTracker::cancel_all);
    assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
    assert_eq!(left.load(Ordering::Relaxed), 0, "every body has been dropped, and its drop is seen");
}

/// Another processor ends the task. The event that it sets has not gone, and the drain does not
/// miss it.
#[test]
fn loom_a_drain_meets_the_last_end() {
    loom::model(|| {
        let left = Arc::new(AtomicUsize::new(0));
        let handle = spawn(&left, true);
        let runner = thread::spawn(run_queue);
        close_and_drain(&left);
        runner.join().unwrap();
        drop(handle);
    });
}

/// `cancel_all` reaches an idle task, on whatever processor it runs then.
#[test]
fn loom_an_idle_task_is_drained() {
    loom::model(|| {
        let left = Arc::new(AtomicUsize::new(0));
        let handle = spawn(&left, false);
        run_queue();
        let runner = thread::spawn(|| {
            // The request may come before or after.
            run_queue();
        });
        default_tracker(TaskTracker::close);
        default_tracker(TaskTracker::cancel_all);
        runner.join().unwrap();
        run_queue();
        close_and_drain(&left);
        drop(handle);
    });
}

/// Two threads drain at once, and one node leaves the list while the other is in it.
#[test]
fn loom_two_drains_meet_the_last_end() {
    loom::model(|| {
        let left = Arc::new(AtomicUsize::new(0));
        let handle = spawn(&left, true);
        let seen = Arc::clone(&left);
        let other = thread::spawn(move || close_and_drain(&seen));
        let runner = thread::spawn(run_queue);
        close_and_drain(&left);
        other.join().unwrap();
        runner.join().unwrap();
        drop(handle);
    });
}

/// A drain that gives up removes its event from the list, while the end comes at that moment.
#[test]
fn loom_a_drain_that_gives_up_meets_the_end() {
    loom::model(|| {
        let left = Arc::new(AtomicUsize::new(0));
        let handle = spawn(&left, true);
        let runner = thread::spawn(run_queue);
        let limit = Some(core::time::Duration::ZERO);
        match default_tracker(|tracker| tracker.drain(limit)) {
            Ok(()) => assert_eq!(left.load(Ordering::Relaxed), 0),
            Err(stuck) => assert_eq!(stuck, DrainError::Stuck { tasks: 1, timers: 0, handlers: 0 }),
        }
        runner.join().unwrap();
        close_and_drain(&left);
        drop(handle);
    });
}

/// A spawn that meets the close is refused, or drained.
#[test]
fn loom_a_spawn_meets_the_close() {
    loom::model(|| {
        let left = Arc::new(AtomicUsize::new(0));
        let spawner_left = Arc::clone(&left);
        let spawner = thread::spawn(move || {
            let handle = spawn(&spawner_left, false);
            run_queue();
            handle
        });
        default_tracker(TaskTracker::close);
        default_tracker(TaskTracker::cancel_all);
        let handle = spawner.join().unwrap();
        run_queue();
        // The task may have been spawned after `cancel_all`, but before the close.
        close_and_drain_running(&left);
        drop(handle);
        assert!(spawn(&left, true).is_none(), "closed");
        assert_eq!(left.load(Ordering::Relaxed), 0, "a refused body has been dropped");
    });
}

/// Cancels, runs the tasks on this processor as well, and then does the work of
/// [`close_and_drain`].
fn close_and_drain_running(left: &AtomicUsize) {
    default_tracker(TaskTracker::cancel_all);
    run_queue();
    close_and_drain(left);
}

/// A timer may outlive the task that set it. Its end is then the last one, and the drain does not
/// miss it.
#[test]
fn loom_a_drain_meets_the_end_of_a_timer() {
    loom::model(|| {
        let left = Arc::new(AtomicUsize::new(0));
        let handle = spawn(&left, true);
        default_tracker(TaskTracker::begin_timer).unwrap();
        let timer = thread::spawn(|| default_tracker(TaskTracker::end_timer));
        run_queue();
        close_and_drain(&left);
        timer.join().unwrap();
        assert_eq!(default_tracker(TaskTracker::begin_timer), Err(NTSTATUS::DELETE_PENDING));
        drop(handle);
    });
}
