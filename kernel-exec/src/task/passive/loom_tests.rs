//! A task that migrates, under loom.
//!
//! The code that queues it must see the count that the last poll left. Task, word, wakers, runs and
//! the future of `passive` are the shipping code; the two queues are the test's.

use core::{
    future::{Future, poll_fn},
    pin::Pin,
    ptr::NonNull,
    task::{Poll, Waker},
};
use std::sync::Arc;

use loom::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    alloc::GlobalAllocator,
    passive::passive,
    status::NTSTATUS,
    sync::ThreadLink,
    task::{
        CancelHandle, Infallible, Level, Port, Task, TaskPtr,
        loom_tests::queue::{BUDGET, Queue},
        run::{run, run_in_thread},
    },
};

loom::lazy_static! {
    /// The queue of DPCs.
    static ref DPCS: Queue = Queue::new();
    /// The queue of work items.
    static ref ITEMS: Queue = Queue::new();
}

struct TwoQueues(ThreadLink);

// SAFETY: `run_all` runs each task once for each time it was queued.
unsafe impl Port for TwoQueues {
    const LEVEL: Level = Level::Migrating;

    fn new() -> Self {
        Self(ThreadLink::new())
    }
    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: the task is scheduled from the start.
        unsafe { Self::schedule(task, port) };
        Ok(())
    }
    unsafe fn schedule(task: TaskPtr, _port: NonNull<Self>) {
        // SAFETY: a step has obliged the caller to queue the task; loom detects a poll that writes
        // at the same time.
        let queue: &Queue = if unsafe { task.wants_passive() } { &ITEMS } else { &DPCS };
        queue.push(task);
    }
    unsafe fn defer(task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: the caller must queue the task, which is in no queue [T3].
        unsafe { Self::schedule(task, port) };
    }
    unsafe fn ended(_task: TaskPtr, _port: NonNull<Self>) {}
}

fn run_all() {
    loop {
        if let Some(task) = DPCS.pop() {
            // SAFETY: the task was taken out of its queue, so this owns the queue's reference.
            unsafe { run(task, BUDGET) };
            continue;
        }
        let Some(task) = ITEMS.pop() else { return };
        let link = ThreadLink::new();
        // SAFETY: the task was taken out of its queue, so this owns the queue's reference; the link
        // is this run's alone.
        unsafe { run_in_thread(task, Some(NonNull::from(&link)), BUDGET) };
    }
}

/// The state that a test checks.
#[derive(Default)]
struct MigrationWorld {
    flag: AtomicUsize,
    away: AtomicUsize,
    back: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;
type Migrating = Task<(), Infallible<Body>, GlobalAllocator, TwoQueues>;

/// Spawns a task that migrates to PASSIVE_LEVEL, waits there until the flag is set, and migrates
/// back.
fn spawn(world: &Arc<MigrationWorld>) -> CancelHandle {
    let inside = Arc::clone(world);
    let body: Body = Box::pin(async move {
        let waits = Arc::clone(&inside);
        let away = poll_fn(move |context| {
            assert!(matches!(super::run_level(), super::RunLevel::Migrated(_)));
            waits.away.fetch_add(1, Ordering::Relaxed);
            let old = waits.waker.lock().unwrap().replace(context.waker().clone());
            drop(old);
            if waits.flag.load(Ordering::Relaxed) == 1 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert_eq!(passive(away).await, Ok(()));
        assert!(matches!(super::run_level(), super::RunLevel::Dispatch(_)));
        inside.back.fetch_add(1, Ordering::Relaxed);
    });
    let init = |slot: *mut Infallible<Body>| {
        // SAFETY: `slot` is the run_level for the body, which is transparent over the future.
        unsafe { slot.cast::<Body>().write(body) };
        Ok(())
    };
    // SAFETY: `init` writes the body.
    let spawned = unsafe { Migrating::spawn((), GlobalAllocator, 1, init) }.unwrap();
    assert!(spawned.refused.is_none());
    // SAFETY: this is the one reference of a new task.
    unsafe { CancelHandle::from_reference(Migrating::task(spawned.block)) }
}

fn set(world: &MigrationWorld) {
    world.flag.store(1, Ordering::Relaxed);
    let waker = world.waker.lock().unwrap().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A wake comes while the task migrates away, is away, or is on its way back. It comes from another
/// processor, which then runs the task.
#[test]
fn loom_a_wake_finds_a_migrating_task_in_the_right_queue() {
    loom::model(|| {
        let world = Arc::new(MigrationWorld::default());
        let handle = spawn(&world);
        let other = Arc::clone(&world);
        let setter = thread::spawn(move || {
            set(&other);
            run_all();
        });
        run_all();
        setter.join().unwrap();
        run_all();
        assert_eq!(world.back.load(Ordering::Relaxed), 1);
        drop(handle);
        // Drops the waker that the last poll left.
        drop(world.waker.lock().unwrap().take());
    });
}

/// A cancel comes at each run_level of the task, too. The task ends, and its future is dropped
/// where it was polled.
#[test]
fn loom_a_cancel_finds_a_migrating_task_in_the_right_queue() {
    loom::model(|| {
        let world = Arc::new(MigrationWorld::default());
        let handle = spawn(&world);
        let canceler = thread::spawn(move || {
            handle.cancel();
            run_all();
        });
        run_all();
        canceler.join().unwrap();
        run_all();
        assert_eq!(world.back.load(Ordering::Relaxed), 0);
        drop(world.waker.lock().unwrap().take());
        run_all();
        assert_eq!(Arc::strong_count(&world), 1, "the body has been dropped");
    });
}
