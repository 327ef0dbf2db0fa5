//! The state of a run of `foreign`. It has the objects, the client's references, futures, tasks and
//! wakers, and the answers.

use core::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use std::{sync::Arc, task::Wake};

use ntcom::{CancelHandle, ComRc, NTSTATUS, async_com::CompletedHandler};

use super::{
    held::{Awaiting, Held},
    hostile::Hostile,
    input::How,
    reply::{Awaited, Reply, is_heard},
    thing::IThingRaw,
};

/// The largest number of objects.
pub const OBJECTS: usize = 6;
/// The largest number of futures.
pub const FUTURES: usize = 6;
/// The largest number of tasks.
pub const TASKS: usize = 4;
/// The largest number of interfaces that the client keeps.
pub const THINGS: usize = 6;
/// The number of wakers.
pub const WAKERS: usize = 4;

/// A waker that counts its wakes.
#[derive(Default, Debug)]
pub struct Count(AtomicU32);

impl Count {
    /// The number of wakes.
    pub fn wakes(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A future of the client.
pub(crate) struct Future {
    pub(crate) future: Awaiting,
    pub(crate) object: usize,
    pub(crate) how: How,
    pub(crate) awaited: Awaited,
    /// The waker of its last poll, if that poll was pending, and the number of its wakes before the
    /// poll.
    pub(crate) waits: Option<(usize, u32)>,
}

/// A task of the client.
#[derive(Default)]
pub(crate) struct Task {
    pub(crate) object: Cell<usize>,
    pub(crate) handle: RefCell<Option<CancelHandle>>,
    pub(crate) spawned: Cell<bool>,
    pub(crate) canceled: Cell<bool>,
    pub(crate) result: Cell<Option<Result<u128, NTSTATUS>>>,
}

/// A handler that the other side was given, with its object and context.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    pub(crate) object: usize,
    pub(crate) handler: CompletedHandler,
    pub(crate) context: usize,
}

/// The world of this thread.
#[derive(Default)]
pub struct ForeignWorld {
    pub(crate) objects: RefCell<Vec<*mut Hostile>>,
    pub(crate) held: RefCell<Vec<Vec<Box<dyn Held>>>>,
    /// The interfaces that the client was handed out.
    pub(crate) kept: RefCell<Vec<ComRc<IThingRaw>>>,
    pub(crate) futures: RefCell<Vec<Option<Future>>>,
    pub(crate) tasks: [Task; TASKS],
    pub(crate) wakers: RefCell<Vec<Arc<Count>>>,
    pub(crate) given: RefCell<Vec<Given>>,
    /// The contexts with which handlers have been called.
    pub(crate) called: RefCell<Vec<usize>>,
    /// The answers that the client has got in its current call.
    pub(crate) said: RefCell<Vec<Reply>>,
    /// The context that the client registered in its current call.
    pub(crate) registered: Cell<Option<usize>>,
    /// Whether one processor runs, so that each object is as it said last.
    pub(crate) alone: Cell<bool>,
    /// Whether the second processor's program is over.
    pub(crate) said_all: Cell<bool>,
    /// An allocation may have failed.
    pub(crate) starved: Cell<bool>,
    /// Number of steps done.
    pub steps: Cell<u64>,
    /// Number of steps done on live objects.
    pub live: Cell<u64>,
}

impl ForeignWorld {
    /// Resets the world for a new run.
    pub(crate) fn reset(&self, processors: usize) {
        self.free();
        let mut wakers = self.wakers.borrow_mut();
        wakers.clear();
        wakers.resize_with(WAKERS, Arc::default);
        self.alone.set(processors == 1);
        self.said_all.set(false);
        self.starved.set(false);
        self.steps.set(0);
        self.live.set(0);
    }

    /// Frees the other side's objects. No reference to them is left.
    fn free(&self) {
        self.futures.borrow_mut().clear();
        self.held.borrow_mut().clear();
        self.kept.borrow_mut().clear();
        for object in self.objects.borrow_mut().drain(..) {
            // SAFETY: the object came from `Box::into_raw`, and the run that used it is over.
            drop(unsafe { Box::from_raw(object) });
        }
        for task in &self.tasks {
            task.handle.take();
            task.spawned.set(false);
            task.canceled.set(false);
            task.result.set(None);
        }
        self.given.borrow_mut().clear();
        self.called.borrow_mut().clear();
        self.said.borrow_mut().clear();
        self.registered.set(None);
    }

    /// The object with this number.
    pub(crate) fn object(&self, number: usize) -> &Hostile {
        let object = self.objects.borrow()[number];
        // SAFETY: objects stay until the next run.
        unsafe { &*object }
    }

    /// Records an answer, if the client's program gets it.
    pub(super) fn record(&self, said: Reply) {
        if is_heard() {
            self.said.borrow_mut().push(said);
        }
    }

    /// The number of wakes of each waker.
    pub(crate) fn wakes(&self) -> [u32; WAKERS] {
        let wakers = self.wakers.borrow();
        core::array::from_fn(|waker| wakers[waker].wakes())
    }
}

thread_local! {
    static WORLD: Cell<&'static ForeignWorld> = Cell::new(Box::leak(Box::default()));
}

/// Calls `f` with this thread's world.
pub fn with<R>(f: impl FnOnce(&ForeignWorld) -> R) -> R {
    f(WORLD.get())
}

/// Replaces this thread's world. The machine has stopped, so the old world stays in use for ever.
pub(crate) fn forget() {
    WORLD.set(Box::leak(Box::default()));
}
