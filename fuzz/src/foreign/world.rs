//! What a run of `foreign` has: objects, what the client holds of them, futures, tasks, wakers, and what was said.

use core::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use std::{sync::Arc, task::Wake};

use ntcom::{CancelHandle, ComRc, NTSTATUS, async_com::CompletedHandler};

use super::{
    expect::{Awaited, Said},
    hostile::Hostile,
    input::How,
    kind::{Awaiting, Held},
    thing::IThingRaw,
};

/// At most this many objects, futures, tasks, and wakers.
pub const OBJECTS: usize = 6;
/// See [`OBJECTS`].
pub const FUTURES: usize = 6;
/// See [`OBJECTS`].
pub const TASKS: usize = 4;
/// See [`OBJECTS`]: interfaces that it keeps.
pub const THINGS: usize = 6;
/// See [`OBJECTS`].
pub const WAKERS: usize = 4;

/// Counts its wakes.
#[derive(Default, Debug)]
pub struct Count(AtomicU32);

impl Count {
    /// How often it was woken.
    pub fn wakes(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A future of the client's.
pub(crate) struct Future {
    pub(crate) future: Awaiting,
    pub(crate) object: usize,
    pub(crate) how: How,
    pub(crate) awaited: Awaited,
    /// The waker of its last poll, if that was pending, and how often it had been woken then.
    pub(crate) waits: Option<(usize, u32)>,
}

/// A task of the client's.
#[derive(Default)]
pub(crate) struct Task {
    pub(crate) object: Cell<usize>,
    pub(crate) handle: RefCell<Option<CancelHandle>>,
    pub(crate) spawned: Cell<bool>,
    pub(crate) canceled: Cell<bool>,
    pub(crate) result: Cell<Option<Result<u128, NTSTATUS>>>,
}

/// A handler that the other side was given: by whom, and what to call.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    pub(crate) object: usize,
    pub(crate) handler: CompletedHandler,
    pub(crate) context: usize,
}

/// The one world of this thread.
#[derive(Default)]
pub struct World {
    pub(crate) objects: RefCell<Vec<*mut Hostile>>,
    pub(crate) held: RefCell<Vec<Vec<Box<dyn Held>>>>,
    /// The interfaces that it was handed out.
    pub(crate) kept: RefCell<Vec<ComRc<IThingRaw>>>,
    pub(crate) futures: RefCell<Vec<Option<Future>>>,
    pub(crate) tasks: [Task; TASKS],
    pub(crate) wakers: RefCell<Vec<Arc<Count>>>,
    pub(crate) given: RefCell<Vec<Given>>,
    /// The contexts that have been called.
    pub(crate) called: RefCell<Vec<usize>>,
    /// What the client was told in the call that it makes.
    pub(crate) said: RefCell<Vec<Said>>,
    /// The context that it gave away in that.
    pub(crate) registered: Cell<Option<usize>>,
    /// There is one processor: everything is as it was said last.
    pub(crate) alone: Cell<bool>,
    /// The second processor's program is over.
    pub(crate) said_all: Cell<bool>,
    /// An allocation may have failed.
    pub(crate) starved: Cell<bool>,
    /// Steps done, and those on live objects.
    pub steps: Cell<u64>,
    /// See `steps`.
    pub live: Cell<u64>,
}

impl World {
    /// A new run.
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

    /// The other side's objects, which nobody refers to any more.
    fn free(&self) {
        self.futures.borrow_mut().clear();
        self.held.borrow_mut().clear();
        self.kept.borrow_mut().clear();
        for object in self.objects.borrow_mut().drain(..) {
            // SAFETY: from `Box::into_raw`, and the run that used it is over.
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

    /// An object.
    pub(crate) fn object(&self, number: usize) -> &Hostile {
        let object = self.objects.borrow()[number];
        // SAFETY: objects stay until the next run.
        unsafe { &*object }
    }

    /// How often each waker has been woken.
    pub(crate) fn wakes(&self) -> [u32; WAKERS] {
        let wakers = self.wakers.borrow();
        core::array::from_fn(|waker| wakers[waker].wakes())
    }
}

thread_local! {
    static WORLD: Cell<&'static World> = Cell::new(Box::leak(Box::default()));
}

/// Calls `f` with this thread's world.
pub fn with<R>(f: impl FnOnce(&World) -> R) -> R {
    f(WORLD.get())
}

/// The machine has stopped: whatever is in its world is in use for ever, and the next run gets another one.
pub(crate) fn forget() {
    WORLD.set(Box::leak(Box::default()));
}
