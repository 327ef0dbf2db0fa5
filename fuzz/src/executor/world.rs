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
    types::{_EVENT_TYPE, DEVICE_OBJECT, KEVENT, PDEVICE_OBJECT, PIRP},
};

use super::{
    ACTORS, DEVICES, STORAGES, TASKS,
    ops::TaskKind,
    script::{EVENTS, GATES, SIGNALS},
    task::Task,
};
use crate::harness::{
    gates::Gates,
    held::HeldList,
    world::{CurrentWorld, Pointer, Steps},
};

/// The largest number of processors.
pub const PROCESSORS: usize = 4;

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

/// A drain of a processor's DPCs, since the last clock tick.
#[derive(Clone, Copy, Default)]
pub struct DrainRecord {
    /// The time at which the drain began.
    pub since: u64,
    /// The time of the tick.
    pub tick: u64,
    /// The polls since that tick of tasks that had been polled since it, after the kernel's advice
    /// to end the drain.
    pub late: u32,
}

/// The state of a run.
#[derive(Default)]
pub struct ExecutorWorld {
    /// The tasks, in the order of their spawns.
    pub tasks: [Task; TASKS],
    /// The number of tasks.
    pub count: Cell<usize>,
    /// The gates.
    pub gates: Gates<GATES>,
    /// For each signal, the one task that may wait for it.
    pub claims: [Cell<Option<usize>>; SIGNALS],
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
    pub devices: [Pointer<DEVICE_OBJECT>; DEVICES],
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
    /// The last drain of each processor.
    pub drains: [Cell<DrainRecord>; PROCESSORS],
    /// The threads that poll or drop bodies on work items.
    pub threads: RefCell<Vec<usize>>,
    /// For each actor, the step that it is doing and the task that it does it to.
    pub doing: [Cell<(u8, u8)>; ACTORS],
    /// The steps of the actors.
    pub steps: Steps,
}

impl ExecutorWorld {
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

thread_local! {
    static WORLD: CurrentWorld<ExecutorWorld> = CurrentWorld::default();
}

/// Calls `f` with the world of this thread's run.
pub fn with<R>(f: impl FnOnce(&ExecutorWorld) -> R) -> R {
    WORLD.with(|world| world.with(f))
}

/// Begins a run with a new world.
pub fn begin() {
    WORLD.with(CurrentWorld::begin);
}

/// Ends a run. Returns its steps, and those of them that reached something.
pub fn end(stopped: bool) -> (u64, u64) {
    let steps = with(|world| world.steps.counts());
    if stopped {
        WORLD.with(CurrentWorld::forget);
    }
    steps
}
