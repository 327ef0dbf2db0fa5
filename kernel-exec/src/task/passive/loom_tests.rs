//! A task that moves, under loom: who queues it must see where the last poll has left it. Task, word, wakers, runs and the future of
//! `passive` are the shipping code; the two queues are the test's.

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
    CancelHandle, GlobalAllocator, NTSTATUS, passive,
    sync::ThreadLink,
    task::{
        Infallible, Level, Port, Task, TaskPtr,
        loom_tests::queue::{BUDGET, Queue},
        run::{run, run_in_thread},
    },
};

loom::lazy_static! {
    /// DPCs.
    static ref DPCS: Queue = Queue::new();
    /// Work items.
    static ref ITEMS: Queue = Queue::new();
}

struct TwoQueues(ThreadLink);

// SAFETY: `run_all` runs each task once for each time it was queued.
unsafe impl Port for TwoQueues {
    const LEVEL: Level = Level::Moving;

    fn new() -> Self {
        Self(ThreadLink::new())
    }
    unsafe fn launch(task: TaskPtr, port: NonNull<Self>) -> Result<(), NTSTATUS> {
        // SAFETY: scheduled from the start.
        unsafe { Self::schedule(task, port) };
        Ok(())
    }
    unsafe fn schedule(task: TaskPtr, _port: NonNull<Self>) {
        // SAFETY: a step has obliged the caller to queue it: loom sees a poll that writes at the same time.
        let queue: &Queue = if unsafe { task.wants_passive() } { &ITEMS } else { &DPCS };
        queue.push(task);
    }
    unsafe fn defer(task: TaskPtr, port: NonNull<Self>) {
        // SAFETY: as above.
        unsafe { Self::schedule(task, port) };
    }
    unsafe fn ended(_task: TaskPtr, _port: NonNull<Self>) {}
}

fn run_all() {
    loop {
        if let Some(task) = DPCS.pop() {
            // SAFETY: taken out of the queue.
            unsafe { run(task, BUDGET) };
            continue;
        }
        let Some(task) = ITEMS.pop() else { return };
        let link = ThreadLink::new();
        // SAFETY: taken out of the queue; the link is this run's.
        unsafe { run_in_thread(task, Some(NonNull::from(&link)), BUDGET) };
    }
}

/// What a test looks at.
#[derive(Default)]
struct World {
    flag: AtomicUsize,
    away: AtomicUsize,
    back: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;
type Moving = Task<(), Infallible<Body>, GlobalAllocator, TwoQueues>;

/// Goes away, waits there until the flag is set, and comes back.
fn spawn(world: &Arc<World>) -> CancelHandle {
    let inside = Arc::clone(world);
    let body: Body = Box::pin(async move {
        let waits = Arc::clone(&inside);
        let away = poll_fn(move |context| {
            assert!(matches!(super::place(), super::Place::Away(_)));
            waits.away.fetch_add(1, Ordering::Relaxed);
            let old = waits.waker.lock().unwrap().replace(context.waker().clone());
            drop(old);
            if waits.flag.load(Ordering::Relaxed) == 1 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert_eq!(passive(away).await, Ok(()));
        assert!(matches!(super::place(), super::Place::Dispatch(_)));
        inside.back.fetch_add(1, Ordering::Relaxed);
    });
    let init = |slot: *mut Infallible<Body>| {
        // SAFETY: the place for it, which is transparent over it.
        unsafe { slot.cast::<Body>().write(body) };
        Ok(())
    };
    // SAFETY: `init` writes the body.
    let spawned = unsafe { Moving::spawn((), GlobalAllocator, 1, init) }.unwrap();
    assert!(spawned.refused.is_none());
    // SAFETY: the one reference of a new task.
    unsafe { CancelHandle::from_reference(Moving::task(spawned.block)) }
}

fn set(world: &World) {
    world.flag.store(1, Ordering::Relaxed);
    let waker = world.waker.lock().unwrap().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The wake comes while the task goes, is there, or is on its way back; from another processor, which runs it then.
#[test]
fn loom_a_wake_finds_a_moving_task_in_the_right_queue() {
    loom::model(|| {
        let world = Arc::new(World::default());
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
        // The waker that the last poll has left.
        drop(world.waker.lock().unwrap().take());
    });
}

/// A cancel, too, wherever the task is: it ends, and its future is dropped where it was polled.
#[test]
fn loom_a_cancel_finds_a_moving_task_in_the_right_queue() {
    loom::model(|| {
        let world = Arc::new(World::default());
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
