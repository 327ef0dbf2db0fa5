//! The task protocol under loom, in every interleaving of two or three processors, weak memory
//! included.
//!
//! The task, its word, its wakers and its runs are the shipping code; only the executor's queue is
//! the test's. Each "processor" is a thread that does its own work and then runs the queued tasks.
//! loom's `UnsafeCell` reports two polls at once, a value read while it is written, and the like.

pub(crate) mod queue;

use core::{
    alloc::Layout,
    ffi::c_void,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll, Waker},
};
use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{Completion, Infallible, Port, Status, Task, TaskPtr, run, waker};
use crate::{alloc::Allocator, status::NTSTATUS};

use queue::{BUDGET, Queue};

loom::lazy_static! {
    /// The one DPC queue.
    static ref QUEUE: Queue = Queue::new();
}

struct QueuePort;

// SAFETY: `drain` runs each task once for each time it was queued.
unsafe impl Port for QueuePort {
    fn new() -> Self {
        Self
    }
    unsafe fn launch(task: TaskPtr, _port: NonNull<Self>) -> Result<(), NTSTATUS> {
        QUEUE.push(task);
        Ok(())
    }
    unsafe fn schedule(task: TaskPtr, _port: NonNull<Self>) {
        QUEUE.push(task);
    }
    unsafe fn defer(task: TaskPtr, _port: NonNull<Self>) {
        QUEUE.push(task);
    }
    unsafe fn ended(_task: TaskPtr, _port: NonNull<Self>) {}
}

/// Runs the queued tasks, as a processor does when its IRQL drops.
pub(super) fn drain() {
    while let Some(task) = QUEUE.pop() {
        // SAFETY: the task was taken out of its queue, so this owns the queue's reference.
        unsafe { run(task, BUDGET) };
    }
}

/// The state that a test checks, with flags for the body and counts of drops, frees and handler
/// calls.
#[derive(Default)]
pub(super) struct TaskWorld {
    pub(super) flags: [AtomicUsize; 2],
    dropped: AtomicUsize,
    freed: AtomicUsize,
    pub(super) handled: AtomicUsize,
    pub(super) handled_status: AtomicUsize,
}

struct Counting(Arc<TaskWorld>);

// SAFETY: the memory is the host's.
unsafe impl Allocator for Counting {
    const NON_PAGED: bool = true;
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: a block is not empty.
        NonNull::new(unsafe { std::alloc::alloc(layout) })
    }
    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
        self.0.freed.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the memory is from `allocate`, with this layout.
        unsafe { std::alloc::dealloc(memory.as_ptr(), layout) }
    }
}

/// A body that is ready with 7 once `needs` flags are set.
///
/// The flags are read Relaxed, so only the wake makes them visible. With `needs` of [`ASKING`] the
/// body relies on the cancel request alone to make one flag visible.
struct Body {
    world: Arc<TaskWorld>,
    needs: usize,
}

/// The value of [`Body::needs`] for a body that relies on a cancel request.
const ASKING: usize = usize::MAX;

impl Future for Body {
    type Output = u32;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<u32> {
        if self.needs == ASKING {
            if crate::is_cancellation_requested() {
                assert_eq!(
                    self.world.flags[0].load(Ordering::Relaxed),
                    1,
                    "the flag was set before the request, but the body does not see it"
                );
            }
            return Poll::Pending;
        }
        let set = self.world.flags.iter().filter(|flag| flag.load(Ordering::Relaxed) == 1).count();
        if set >= self.needs { Poll::Ready(7) } else { Poll::Pending }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.world.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

type TestTask = Task<(), Infallible<Body>, Counting, QueuePort>;

/// A reference that crosses threads.
pub(super) struct Reference(NonNull<TestTask>);
// SAFETY: references may cross threads.
unsafe impl Send for Reference {}

impl Reference {
    pub(super) fn task(&self) -> TaskPtr {
        // SAFETY: this reference keeps the block.
        unsafe { TestTask::task(self.0) }
    }
    pub(super) fn again(&self) -> Self {
        // SAFETY: this reference keeps the block.
        unsafe { self.task().add_reference() };
        Self(self.0)
    }
    fn waker(&self) -> Waker {
        // SAFETY: this reference keeps the block.
        unsafe { self.task().add_reference() };
        waker::owned(self.task())
    }
    fn status(&self) -> Status {
        // SAFETY: this reference keeps the block.
        unsafe { self.task().status() }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: this owns a reference, which is given up here.
        unsafe { self.task().release() };
    }
}

pub(super) fn spawn(world: &Arc<TaskWorld>, needs: usize) -> Reference {
    let body = Body { world: Arc::clone(world), needs };
    let init = |slot: *mut Infallible<Body>| {
        // SAFETY: `slot` is the place for the body, which is transparent over the future.
        unsafe { slot.cast::<Body>().write(body) };
        Ok(())
    };
    // SAFETY: `init` writes the body.
    let spawned = unsafe { TestTask::spawn((), Counting(Arc::clone(world)), 1, init) }.unwrap();
    assert!(spawned.refused.is_none());
    Reference(spawned.block)
}

pub(super) fn check_gone(world: &TaskWorld) {
    assert_eq!(world.dropped.load(Ordering::Relaxed), 1, "the body is dropped once");
    assert_eq!(world.freed.load(Ordering::Relaxed), 1, "the block is freed once");
}

pub(super) fn check_value(operation: &Reference) {
    assert_eq!(operation.status(), Status::Completed);
    // SAFETY: the caller's reference keeps the block, and Completed has been seen.
    assert_eq!(unsafe { TestTask::value(operation.0) }, 7);
}

/// Z03. A wake that finds the task already scheduled changes nothing, but the data written before
/// it must still be seen.
#[test]
fn loom_a_wake_that_finds_already_notified_still_publishes() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let operation = spawn(&world, 1);
        let (waker, other) = (operation.waker(), Arc::clone(&world));
        let thread = thread::spawn(move || {
            other.flags[0].store(1, Ordering::Relaxed);
            waker.wake_by_ref();
            drain();
        });
        drain();
        thread.join().unwrap();
        drain();
        check_value(&operation);
        drop(operation);
        drain();
        check_gone(&world);
    });
}

#[test]
fn loom_cancel_meets_completion() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let operation = spawn(&world, 1);
        drain();
        let (waker, other) = (operation.waker(), Arc::clone(&world));
        let waking = thread::spawn(move || {
            other.flags[0].store(1, Ordering::Relaxed);
            waker.wake();
            drain();
        });
        // SAFETY: our reference keeps the block.
        unsafe { operation.task().cancel() };
        drain();
        waking.join().unwrap();
        drain();
        let status = operation.status();
        match status {
            Status::Completed => check_value(&operation),
            // SAFETY: our reference keeps the block, and the end has been seen.
            Status::Canceled => unsafe {
                assert_eq!(operation.task().stored_status(), NTSTATUS::CANCELLED);
            },
            other => panic!("{other:?}"),
        }
        drop(operation);
        check_gone(&world);
    });
}

/// A write before a cancel request is seen by the poll that sees the request, also in the middle of
/// a poll.
#[test]
fn loom_a_request_publishes_what_came_before_it() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let operation = spawn(&world, ASKING);
        let (canceller, shared) = (operation.again(), Arc::clone(&world));
        let thread = thread::spawn(move || {
            shared.flags[0].store(1, Ordering::Relaxed);
            // SAFETY: this reference keeps the block.
            unsafe { canceller.task().cancel() };
            drop(canceller);
            drain();
        });
        drain();
        thread.join().unwrap();
        drain();
        assert_eq!(operation.status(), Status::Canceled);
        drop(operation);
        check_gone(&world);
    });
}

/// Z04. A reader that sees Completed sees the value.
#[test]
fn loom_a_terminal_status_makes_the_value_visible() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        world.flags[0].store(1, Ordering::Relaxed);
        let operation = spawn(&world, 1);
        let reader = operation.again();
        let thread = thread::spawn(move || {
            if reader.status() != Status::Started {
                check_value(&reader);
            }
        });
        drain();
        thread.join().unwrap();
        drop(operation);
        check_gone(&world);
    });
}

#[test]
fn loom_wake_meets_completion() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let operation = spawn(&world, 1);
        world.flags[0].store(1, Ordering::Relaxed);
        let waker = operation.waker();
        let thread = thread::spawn(move || {
            waker.wake();
            drain();
        });
        drain();
        drop(operation);
        thread.join().unwrap();
        drain();
        check_gone(&world);
    });
}

/// Rule `[C9]`. The last reference but the waker's goes while the waker wakes.
#[test]
fn loom_last_release_meets_wake() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let operation = spawn(&world, 1);
        drain();
        let waker = operation.waker();
        let thread = thread::spawn(move || {
            waker.wake();
            drain();
        });
        drop(operation);
        drain();
        thread.join().unwrap();
        drain();
        check_gone(&world);
    });
}

/// Rule `[C9]`. Both references go without a wake.
#[test]
fn loom_last_release_meets_waker_drop() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let operation = spawn(&world, 1);
        drain();
        let waker = operation.waker();
        let thread = thread::spawn(move || {
            drop(waker);
            drain();
        });
        drop(operation);
        drain();
        thread.join().unwrap();
        drain();
        check_gone(&world);
    });
}

#[test]
fn loom_two_wakers() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let operation = spawn(&world, 2);
        drain();
        let threads: Vec<_> = (0..2)
            .map(|flag| {
                let (waker, world) = (operation.waker(), Arc::clone(&world));
                thread::spawn(move || {
                    world.flags[flag].store(1, Ordering::Relaxed);
                    waker.wake();
                    drain();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        drain();
        check_value(&operation);
        drop(operation);
        check_gone(&world);
    });
}

/// Z02. A run ends only when no other processor can have begun one. Otherwise the stage's cell
/// would report two polls at once.
#[test]
fn loom_two_processors_and_one_body() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        let operation = spawn(&world, 1);
        let waker = operation.waker();
        let thread = thread::spawn(move || {
            waker.wake_by_ref();
            drain();
            drop(waker);
            drain();
        });
        drain();
        thread.join().unwrap();
        drop(operation);
        drain();
        check_gone(&world);
    });
}

unsafe extern "system" fn handler(context: *mut c_void, status: i32) {
    // SAFETY: the context is the test's world, which outlives the run.
    let world = unsafe { &*context.cast::<TaskWorld>() };
    world.handled_status.store(status as usize, Ordering::Relaxed);
    world.handled.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn set_handler(operation: &Reference, world: &Arc<TaskWorld>) -> Result<(), NTSTATUS> {
    let completion = Completion { function: handler, context: Arc::as_ptr(world).cast_mut().cast() };
    // SAFETY: the reference keeps the block, and the world outlives the run.
    unsafe { operation.task().set_completion(completion) }
}

#[test]
fn loom_handler_claim_meets_completion() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        world.flags[0].store(1, Ordering::Relaxed);
        let operation = spawn(&world, 1);
        let (other, context) = (operation.again(), Arc::clone(&world));
        let thread = thread::spawn(move || {
            let completion =
                Completion { function: handler, context: Arc::as_ptr(&context).cast_mut().cast() };
            // SAFETY: our reference keeps the block, and the world outlives the run.
            unsafe { other.task().set_completion(completion) }.unwrap();
        });
        drain();
        thread.join().unwrap();
        assert_eq!(world.handled.load(Ordering::Relaxed), 1, "the handler runs once");
        assert_eq!(world.handled_status.load(Ordering::Relaxed), Status::Completed as usize);
        drop(operation);
        check_gone(&world);
    });
}

/// Rule `[C14]`. Of two setters one is refused, and the other's handler runs.
#[test]
fn loom_two_handlers() {
    loom::model(|| {
        let world = Arc::new(TaskWorld::default());
        world.flags[0].store(1, Ordering::Relaxed);
        let operation = spawn(&world, 1);
        let (other, context) = (operation.again(), Arc::clone(&world));
        let thread = thread::spawn(move || set_handler(&other, &context));
        let mine = set_handler(&operation, &world);
        drain();
        let other = thread.join().unwrap();
        assert!(mine.is_ok() != other.is_ok(), "{mine:?} {other:?}");
        assert_eq!(mine.and(other), Err(NTSTATUS::INVALID_DEVICE_STATE));
        assert_eq!(world.handled.load(Ordering::Relaxed), 1);
        drop(operation);
        check_gone(&world);
    });
}
