//! The world of one run. It holds the tasks, the objects that they wait for, and the objects that
//! actors keep of them.
//!
//! Each thread has a world, like the simulated kernel. Code touches it in short pieces and holds no
//! borrow across a call into the executor or the kernel, because another processor may run there.

use core::{
    cell::{Cell, RefCell, UnsafeCell},
    task::Waker,
};

use ntcom::AsyncOperation;
use ntcom_exec::{CancelHandle, Sender, Signal, Sleep, TaskStorage};
use ntsim::{
    ddi::KeInitializeEvent,
    trace::MarkKind,
    types::{_EVENT_TYPE, KEVENT, PDEVICE_OBJECT, PIRP},
};

use super::{
    ACTORS, DEVICES, STORAGES, TASKS,
    ops::TaskKind,
    script::{EVENTS, GATES, SIGNALS},
    task::{Task, marked},
};

/// The largest number of wakers, handles, timers and senders, of each.
pub const HELD: usize = 12;
/// The largest number of processors.
pub const PROCESSORS: usize = 4;

/// A shelf of objects that actors and bodies keep, each with its task.
pub type HeldList<T> = RefCell<Vec<(usize, T)>>;

/// A gate, which lets one Await pass each time it is opened.
#[derive(Default)]
pub struct Gate {
    /// Whether the next Await passes.
    pub open: bool,
    /// The waiting tasks with their wakers.
    pub waiters: Vec<(usize, Waker)>,
}

/// The statics of the driver.
#[derive(Default)]
pub struct Statics {
    signals: [Signal; SIGNALS],
    storages: [Storage; STORAGES],
    events: UnsafeCell<[KEVENT; EVENTS]>,
}

/// The driver's own memory for a task.
pub type Storage = TaskStorage<2048>;

/// A value that is sent. The world counts them.
#[derive(Debug)]
pub struct Token(());

impl Token {
    /// Creates a value.
    #[must_use]
    pub fn new(world: &ExecutorWorld) -> Self {
        world.tokens.set(world.tokens.get() + 1);
        Self(())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        with(|world| world.tokens.set(world.tokens.get() - 1));
    }
}

/// The state of a run.
pub struct ExecutorWorld {
    /// The tasks, in the order of their spawns.
    pub tasks: [Task; TASKS],
    /// The number of tasks.
    pub count: Cell<usize>,
    /// The gates.
    pub gates: RefCell<[Gate; GATES]>,
    /// For each signal, the one task that may wait for it.
    pub claims: [Cell<Option<usize>>; SIGNALS],
    /// Whether waits for gates, signals and values end at once, as at the end of a run.
    pub all_open: Cell<bool>,
    /// Wakers that actors and bodies wake or drop.
    pub stash: HeldList<Waker>,
    /// Cancel handles.
    pub handles: HeldList<CancelHandle>,
    /// Timers that bodies have given away.
    pub timers: HeldList<Sleep>,
    /// Senders, with the tasks that wait for their values.
    pub senders: HeldList<Sender<Token>>,
    /// Operations, with their tasks.
    pub operations: HeldList<AsyncOperation<u32>>,
    /// IRPs that tasks serve. They stay until the end.
    pub irps: HeldList<PIRP>,
    /// Values that have been made and not been dropped.
    pub tokens: Cell<i32>,
    /// The driver's devices.
    pub devices: [Cell<PDEVICE_OBJECT>; DEVICES],
    /// Whether each device has been deleted.
    pub deleted: [Cell<bool>; DEVICES],
    /// For each storage, the number of spawns into it that have begun.
    pub used: [Cell<u32>; STORAGES],
    /// The number of processors.
    pub processors: Cell<usize>,
    /// How many calls of `cancel_all` are running.
    pub asking: Cell<u32>,
    /// Whether `close` has returned.
    pub closed: Cell<bool>,
    /// Whether `close` has been called.
    pub closing: Cell<bool>,
    /// Whether allocations may fail, or may have failed.
    pub starved: Cell<bool>,
    /// For each actor, the IRQL before the actor raised it.
    pub raised: [Cell<Option<u8>>; ACTORS],
    /// The threads of the actors.
    pub actors: [Cell<usize>; ACTORS],
    /// For each processor, the task that it polls or drops in a DPC.
    pub in_body: [Cell<Option<usize>>; PROCESSORS],
    /// For each processor, the start of its last drain, and the number of polls in that drain since
    /// the kernel advised to end it.
    pub drains: [Cell<(u64, u32)>; PROCESSORS],
    /// The threads that poll or drop bodies on work items.
    pub threads: RefCell<Vec<usize>>,
    /// For each actor, the step that it is doing and the task that it does it to.
    pub doing: [Cell<(u8, u8)>; ACTORS],
    /// Steps that were tried.
    pub steps: Cell<u64>,
    /// Steps that reached something.
    pub live: Cell<u64>,
}

impl ExecutorWorld {
    const fn new() -> Self {
        Self {
            tasks: [const { Task::new() }; TASKS],
            count: Cell::new(0),
            gates: RefCell::new([const { Gate { open: false, waiters: Vec::new() } }; GATES]),
            claims: [const { Cell::new(None) }; SIGNALS],
            all_open: Cell::new(false),
            stash: RefCell::new(Vec::new()),
            handles: RefCell::new(Vec::new()),
            timers: RefCell::new(Vec::new()),
            senders: RefCell::new(Vec::new()),
            operations: RefCell::new(Vec::new()),
            irps: RefCell::new(Vec::new()),
            tokens: Cell::new(0),
            devices: [const { Cell::new(core::ptr::null_mut()) }; DEVICES],
            deleted: [const { Cell::new(false) }; DEVICES],
            used: [const { Cell::new(0) }; STORAGES],
            processors: Cell::new(1),
            asking: Cell::new(0),
            closed: Cell::new(false),
            closing: Cell::new(false),
            starved: Cell::new(false),
            raised: [const { Cell::new(None) }; ACTORS],
            actors: [const { Cell::new(0) }; ACTORS],
            in_body: [const { Cell::new(None) }; PROCESSORS],
            drains: [const { Cell::new((0, 0)) }; PROCESSORS],
            threads: RefCell::new(Vec::new()),
            doing: [const { Cell::new((0, 0)) }; ACTORS],
            steps: Cell::new(0),
            live: Cell::new(0),
        }
    }

    /// Forgets the last run. After a bug check the remains of the run are leaked, because none of
    /// its code may be called any more.
    pub fn reset(&self) {
        self.tasks.iter().take(self.count.replace(0)).for_each(Task::reset);
        for gate in self.gates.borrow_mut().iter_mut() {
            gate.open = false;
            gate.waiters.drain(..).for_each(leak);
        }
        self.claims.iter().for_each(|claim| claim.set(None));
        self.all_open.set(false);
        self.stash.borrow_mut().drain(..).for_each(leak);
        self.handles.borrow_mut().drain(..).for_each(leak);
        self.timers.borrow_mut().drain(..).for_each(leak);
        self.senders.borrow_mut().drain(..).for_each(leak);
        self.operations.borrow_mut().drain(..).for_each(leak);
        self.irps.borrow_mut().clear();
        self.tokens.set(0);
        self.devices.iter().for_each(|device| device.set(core::ptr::null_mut()));
        self.deleted.iter().for_each(|deleted| deleted.set(false));
        self.used.iter().for_each(|used| used.set(0));
        self.asking.set(0);
        self.closed.set(false);
        self.closing.set(false);
        self.starved.set(false);
        self.raised.iter().for_each(|raised| raised.set(None));
        self.actors.iter().for_each(|actor| actor.set(0));
        self.in_body.iter().for_each(|body| body.set(None));
        self.drains.iter().for_each(|drain| drain.set((0, 0)));
        self.threads.borrow_mut().clear();
        self.doing.iter().for_each(|doing| doing.set((0, 0)));
        self.steps.set(0);
        self.live.set(0);
    }

    /// The task with this number. A number out of range is a finding, because it comes from a body
    /// in memory that has been overwritten.
    #[must_use]
    pub fn task(&self, task: usize) -> &Task {
        self.tasks.get(task).unwrap_or_else(|| {
            ntsim::fail(
                "C8",
                format!("memory that is not a body is polled or dropped: its task number is {task:#x}"),
            )
        })
    }

    /// The tasks that have not ended.
    pub fn unfinished(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count.get()).filter(|task| self.tasks[*task].is_unfinished())
    }

    /// The device that a task of this kind is spawned for. Null if there is none.
    pub(super) fn device(&self, kind: TaskKind) -> PDEVICE_OBJECT {
        match kind {
            TaskKind::WorkItem(Some(number)) | TaskKind::Moving(Some(number)) => {
                self.devices[usize::from(number)].get()
            }
            _ => core::ptr::null_mut(),
        }
    }

    /// Tries to pass an Await. True if it passes.
    #[must_use]
    pub fn pass_gate(&self, gate: usize) -> bool {
        self.all_open.get() || core::mem::take(&mut self.gates.borrow_mut()[gate].open)
    }

    /// Waits at a gate. Returns an earlier waker of the same task, for the caller to drop.
    #[must_use]
    pub fn wait_at_gate(&self, gate: usize, task: usize, waker: Waker) -> Option<Waker> {
        let waiters = &mut self.gates.borrow_mut()[gate].waiters;
        match waiters.iter_mut().find(|(waiting, _)| *waiting == task) {
            Some((_, old)) => Some(core::mem::replace(old, waker)),
            None => {
                waiters.push((task, waker));
                None
            }
        }
    }

    /// Opens a gate and wakes all that wait there.
    pub fn open_gate(&self, gate: usize) {
        let mut waiters = {
            let gate = &mut self.gates.borrow_mut()[gate];
            gate.open = true;
            core::mem::take(&mut gate.waiters)
        };
        for (task, waker) in waiters.drain(..) {
            marked(MarkKind::Wake, task, "a gate opens");
            waker.wake();
        }
        // Put the list back to reuse its memory, unless a task waits there already.
        let now = &mut self.gates.borrow_mut()[gate].waiters;
        if now.is_empty() {
            *now = waiters;
        }
    }

    /// Counts a step that was tried, and whether it reached something.
    pub fn tried(&self, reached: bool) {
        self.steps.set(self.steps.get() + 1);
        self.live.set(self.live.get() + u64::from(reached));
    }
}

/// The statics of the simulated image. They exist until the simulation is reset. By then every
/// borrow has ended or has been leaked.
fn statics() -> &'static Statics {
    let statics = ntsim::image_state::<Statics>();
    // SAFETY: the call above made the statics, and the simulation keeps them until its reset. By
    // then no borrow is in use.
    unsafe { &*statics }
}

/// A signal of the driver.
#[must_use]
pub fn signal(number: usize) -> &'static Signal {
    &statics().signals[number % SIGNALS]
}

/// An event of the driver.
pub(super) fn event(number: usize) -> *mut KEVENT {
    statics().events.get().cast::<KEVENT>().wrapping_add(number % EVENTS)
}

/// Initialises the events, one of each type, in the state "not set".
pub(super) fn init_events() {
    for (number, kind) in
        [_EVENT_TYPE::NotificationEvent, _EVENT_TYPE::SynchronizationEvent].into_iter().enumerate()
    {
        // SAFETY: the event is a static of the driver, and no task waits for it yet.
        unsafe { KeInitializeEvent(event(number), kind, 0) };
    }
}

/// A storage for a task.
#[must_use]
pub fn storage(number: usize) -> &'static Storage {
    &statics().storages[number % STORAGES]
}

/// Puts an object onto a shelf. Drops it if there is no room.
pub fn put<T>(shelf: &HeldList<T>, task: usize, thing: T) {
    let mut things = shelf.borrow_mut();
    if things.len() < HELD {
        things.push((task, thing));
    } else {
        drop(things);
        drop(thing);
    }
}

/// Takes the n-th object from a shelf, modulo their number.
#[must_use]
pub fn take<T>(shelf: &HeldList<T>, n: u8) -> Option<(usize, T)> {
    let mut things = shelf.borrow_mut();
    let index = usize::from(n).checked_rem(things.len())?;
    Some(things.remove(index))
}

pub(super) fn leak<T>(value: T) {
    let _leaked = core::mem::ManuallyDrop::new(value);
}

thread_local! {
    static WORLD: ExecutorWorld = const { ExecutorWorld::new() };
}

/// Calls `f` with this thread's world.
pub fn with<R>(f: impl FnOnce(&ExecutorWorld) -> R) -> R {
    WORLD.with(f)
}
