//! The world of one run. It holds the operations and their clients, gates and wakers, and records
//! what has happened to each body.
//!
//! Each thread has a world, like the simulated kernel. Code touches it in short pieces and holds no
//! borrow across a call into the runtime or the kernel, because another processor may run there.

use core::{cell::Cell, cell::RefCell, ffi::c_void, task::Waker};

use ntcom::CancelHandle;
use ntcom_fuzz_model::{
    event::{Event, digest},
    limits::{HANDLES, OBJECTS, OPERATIONS, PROCESSORS, STASH},
    ops::nth_bit,
    script::GATES,
    value::ValueKind,
};
use ntsim::trace::MarkKind;

use super::body::marked;

/// Why a body is not being polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// It has not been polled, or is not waiting.
    Nothing,
    /// For a gate.
    Gate,
    /// It is parked and has kept no waker.
    Parked,
    /// For its own wake.
    Itself,
    /// For a timer.
    Timer,
}

/// The events of one body, recorded while it is polled and dropped.
pub struct BodyRecord {
    /// Number of polls.
    pub polls: Cell<u32>,
    /// Number of drops.
    pub drops: Cell<u32>,
    /// The processor that polls it now.
    pub polling: Cell<Option<usize>>,
    /// Whether it has returned Ready.
    pub ready: Cell<bool>,
    /// The reason for its last Pending.
    pub waiting: Cell<Waiting>,
    /// A hash of its observations of cancellation and of its link.
    pub log: Cell<u64>,
    /// Whether it is inside a call of spawn.
    pub spawning: Cell<bool>,
    /// The operation that the body holds a reference to.
    pub link: Cell<Option<usize>>,
    /// The object that this body's method belongs to.
    pub object: Cell<Option<usize>>,
    /// The body's own waker, if it keeps one.
    pub kept: Cell<Option<Waker>>,
    /// A client has asked for its cancellation, and since then the body has neither been polled nor
    /// acted on a request.
    pub asked: Cell<bool>,
    /// A client has asked for its cancellation at some time.
    pub ever_asked: Cell<bool>,
    /// A request to all tasks may have reached the body, because it was perhaps there at the time.
    pub maybe_asked: Cell<bool>,
    /// Whether the body has taken a request.
    pub took: Cell<bool>,
    /// Whether a `try_finally` or an `on_cancel` of the body has yielded `None`.
    pub unwound: Cell<bool>,
    /// A bit for each part that has been polled, and, four bits up, for each that has ended.
    pub parts: Cell<u8>,
}

/// An operation from its clients' view.
pub struct Slot {
    /// The first interface. It is null until the spawn has returned.
    pub operation: Cell<*mut c_void>,
    /// The second interface, once a client has asked for it.
    pub control: Cell<*mut c_void>,
    /// The type of the operation's value.
    pub kind: Cell<ValueKind>,
    /// Client references, by processor.
    pub references: [Cell<u32>; PROCESSORS],
    /// References that calls have made and not given up, over all holders. `call` keeps it
    /// independently of the tables.
    pub ledger: Cell<u32>,
    /// Whether this is the constant operation, or one without a body.
    pub bodyless: Cell<bool>,
    /// A terminal status that a client has seen, or 0.
    pub ended: Cell<i32>,
    /// How often the completion handler has run.
    pub handled: Cell<u32>,
    /// The status that the completion handler was told.
    pub told: Cell<i32>,
    /// Number of handlers that `set_completed` accepted.
    pub handlers: Cell<u32>,
    /// Whether a handler was refused because there is one already.
    pub refused: Cell<bool>,
    /// The object that made the operation by one of its methods.
    pub object: Cell<Option<usize>>,
    /// The status with which the body may fail by itself.
    pub may_fail: Cell<Option<u32>>,
    /// The events of the body.
    pub body: BodyRecord,
}

/// An object with declared methods, from its clients' view.
pub struct Object {
    /// The object's interface. It is null until the object has been made.
    pub this: Cell<*mut c_void>,
    /// Client references, by processor.
    pub references: [Cell<u32>; PROCESSORS],
    /// References that calls have made and not given up.
    pub ledger: Cell<u32>,
    /// Releases that have begun and have not returned. Their references have left the ledger but
    /// perhaps not the object.
    pub leaving: Cell<u32>,
    /// How often the object's value was dropped.
    pub drops: Cell<u32>,
    /// Whether a processor is making the object.
    pub making: Cell<bool>,
}

impl Object {
    const fn new() -> Self {
        Self {
            this: Cell::new(core::ptr::null_mut()),
            references: [const { Cell::new(0) }; PROCESSORS],
            ledger: Cell::new(0),
            leaving: Cell::new(0),
            drops: Cell::new(0),
            making: Cell::new(false),
        }
    }

    /// Records that a processor has gained or given up client references.
    pub fn own(&self, processor: usize, by: i32) {
        let count = &self.references[processor];
        count.set(count.get().saturating_add_signed(by));
    }
}

/// A gate, which lets one Await pass each time it is opened.
#[derive(Default)]
pub struct Gate {
    /// Whether the next Await passes.
    pub open: bool,
    /// The waiting operations with their wakers.
    pub waiters: Vec<(usize, Waker)>,
}

/// The state of a run.
pub struct OperationWorld {
    /// The operations, in the order of their spawns.
    pub slots: [Slot; OPERATIONS],
    /// The objects with declared methods.
    pub objects: [Object; OBJECTS],
    /// The number of operations.
    pub spawned: Cell<usize>,
    /// The gates.
    pub gates: RefCell<[Gate; GATES]>,
    /// Whether every Await passes, as at the end of a run.
    pub all_open: Cell<bool>,
    /// Wakers that clients wake or drop, with their operations.
    pub stash: RefCell<Vec<(usize, Waker)>>,
    /// Cancel handles.
    pub handles: RefCell<Vec<(usize, CancelHandle)>>,
    /// For each processor, the IRQL before its program raised it.
    pub raised: [Cell<Option<u8>>; PROCESSORS],
    /// Slot calls and executor commands that were tried.
    pub steps: Cell<u64>,
    /// Slot calls and executor commands that reached a live object.
    pub live: Cell<u64>,
    /// A hash of all events of bodies and handlers. It does not depend on their order.
    pub digest: Cell<u64>,
    /// For each processor, a bit for each operation that it has a reference to.
    held: [Cell<u32>; PROCESSORS],
    /// Whether there is one processor.
    pub alone: Cell<bool>,
    /// Whether bodies that park, or wait for a gate, may wait for a timer instead.
    pub timers: Cell<bool>,
    /// How many calls of `cancel_all` are running.
    pub asking: Cell<u32>,
    /// For each processor, the step that it is doing and the operation that it does it to.
    pub doing: [Cell<(u8, u8)>; PROCESSORS],
}

impl Slot {
    const fn new() -> Self {
        Self {
            operation: Cell::new(core::ptr::null_mut()),
            control: Cell::new(core::ptr::null_mut()),
            kind: Cell::new(ValueKind::Unit),
            references: [const { Cell::new(0) }; PROCESSORS],
            ledger: Cell::new(0),
            bodyless: Cell::new(false),
            ended: Cell::new(0),
            handled: Cell::new(0),
            told: Cell::new(0),
            handlers: Cell::new(0),
            refused: Cell::new(false),
            object: Cell::new(None),
            may_fail: Cell::new(None),
            body: BodyRecord {
                polls: Cell::new(0),
                drops: Cell::new(0),
                polling: Cell::new(None),
                ready: Cell::new(false),
                waiting: Cell::new(Waiting::Nothing),
                log: Cell::new(0),
                spawning: Cell::new(false),
                link: Cell::new(None),
                object: Cell::new(None),
                kept: Cell::new(None),
                asked: Cell::new(false),
                ever_asked: Cell::new(false),
                maybe_asked: Cell::new(false),
                took: Cell::new(false),
                unwound: Cell::new(false),
                parts: Cell::new(0),
            },
        }
    }
}

impl BodyRecord {
    /// Records that a client is about to ask for the body's cancellation.
    pub fn ask(&self) {
        self.asked.set(true);
        self.ever_asked.set(true);
    }

    /// Whether no client can have asked for the body's cancellation.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        !self.ever_asked.get() && !self.maybe_asked.get()
    }
}

impl OperationWorld {
    const fn new() -> Self {
        Self {
            slots: [const { Slot::new() }; OPERATIONS],
            objects: [const { Object::new() }; OBJECTS],
            spawned: Cell::new(0),
            gates: RefCell::new([const { Gate { open: false, waiters: Vec::new() } }; GATES]),
            all_open: Cell::new(false),
            stash: RefCell::new(Vec::new()),
            handles: RefCell::new(Vec::new()),
            raised: [const { Cell::new(None) }; PROCESSORS],
            steps: Cell::new(0),
            live: Cell::new(0),
            digest: Cell::new(0),
            held: [const { Cell::new(0) }; PROCESSORS],
            alone: Cell::new(false),
            timers: Cell::new(false),
            asking: Cell::new(0),
            doing: [const { Cell::new((0, 0)) }; PROCESSORS],
        }
    }

    /// Forgets the last run. After a bug check the remains of the run are leaked, because none of
    /// its code may be called any more.
    pub fn reset(&self) {
        for slot in self.slots.iter().take(self.spawned.get()) {
            slot.operation.set(core::ptr::null_mut());
            slot.control.set(core::ptr::null_mut());
            slot.references.iter().for_each(|count| count.set(0));
            slot.ledger.set(0);
            slot.bodyless.set(false);
            slot.ended.set(0);
            slot.handled.set(0);
            slot.told.set(0);
            slot.handlers.set(0);
            slot.refused.set(false);
            slot.object.set(None);
            slot.may_fail.set(None);
            let body = &slot.body;
            body.polls.set(0);
            body.drops.set(0);
            body.polling.set(None);
            body.ready.set(false);
            body.waiting.set(Waiting::Nothing);
            body.log.set(0);
            body.spawning.set(false);
            body.link.set(None);
            body.object.set(None);
            leak(body.kept.take());
            body.asked.set(false);
            body.ever_asked.set(false);
            body.maybe_asked.set(false);
            body.took.set(false);
            body.unwound.set(false);
            body.parts.set(0);
        }
        for object in self.objects.iter().filter(|object| !object.this.get().is_null() || object.making.get())
        {
            object.making.set(false);
            object.this.set(core::ptr::null_mut());
            object.references.iter().for_each(|count| count.set(0));
            object.ledger.set(0);
            object.leaving.set(0);
            object.drops.set(0);
        }
        self.spawned.set(0);
        for gate in self.gates.borrow_mut().iter_mut() {
            gate.open = false;
            gate.waiters.drain(..).for_each(leak);
        }
        self.all_open.set(false);
        self.stash.borrow_mut().drain(..).for_each(leak);
        self.handles.borrow_mut().drain(..).for_each(leak);
        self.raised.iter().for_each(|raised| raised.set(None));
        self.steps.set(0);
        self.live.set(0);
        self.digest.set(0);
        self.timers.set(false);
        self.asking.set(0);
        self.held.iter().for_each(|held| held.set(0));
        self.doing.iter().for_each(|doing| doing.set((0, 0)));
    }

    /// An operation with a living body of a method of this object.
    #[must_use]
    pub fn body_of(&self, object: usize) -> Option<usize> {
        (0..self.spawned.get()).find(|operation| self.slots[*operation].body.object.get() == Some(object))
    }

    /// Whether no reference to this object is known. No client holds one, and neither does an
    /// operation, except those that are known to have ended.
    #[must_use]
    pub fn is_let_go(&self, object: usize, ended: usize) -> bool {
        let over = |(operation, slot): (usize, &Slot)| {
            slot.object.get() != Some(object)
                || operation == ended
                || slot.bodyless.get()
                || slot.ended.get() != 0
                || slot.handled.get() > 0
        };
        self.objects[object].ledger.get() == 0
            && self.objects[object].leaving.get() == 0
            && self.slots.iter().take(self.spawned.get()).enumerate().all(over)
    }

    /// Records an event of an operation. Objects are numbered after the operations.
    pub fn happened(&self, operation: usize, event: Event) {
        self.digest.set(digest(self.digest.get(), operation, event));
    }

    /// Records that a processor has gained or given up client references. A processor can choose an
    /// operation only while it holds a reference.
    pub fn own(&self, operation: usize, processor: usize, by: i32) {
        let count = &self.slots[operation].references[processor];
        count.set(count.get().saturating_add_signed(by));
        let (held, bit) = (&self.held[processor], 1 << operation);
        held.set(if count.get() > 0 { held.get() | bit } else { held.get() & !bit });
    }

    /// Whether a terminal status of each operation has been seen.
    pub fn seen_to_have_ended(&self) -> [bool; OPERATIONS] {
        core::array::from_fn(|operation| self.slots.get(operation).is_some_and(|slot| slot.ended.get() != 0))
    }

    /// The slot of an operation. A number out of range is a finding, because it comes from a body
    /// in memory that has been overwritten.
    #[must_use]
    pub fn slot(&self, operation: usize) -> &Slot {
        self.slots.get(operation).unwrap_or_else(|| {
            ntsim::fail(
                "C8",
                format!(
                    "memory that is not a body is polled or dropped: its operation number is {operation:#x}"
                ),
            )
        })
    }

    /// Counts a step that was tried.
    pub fn tried(&self) {
        self.steps.set(self.steps.get() + 1);
    }

    /// Counts a step that reached a live object.
    pub fn reached(&self) {
        self.live.set(self.live.get() + 1);
    }

    /// The n-th of the operations that this processor has a reference to, modulo their number.
    #[must_use]
    pub fn held(&self, processor: usize, n: u8) -> Option<usize> {
        nth_bit(self.held[processor].get(), n)
    }

    /// Puts a waker into the stash. Returns it if the stash is full.
    #[must_use]
    pub fn stash(&self, operation: usize, waker: Waker) -> Option<Waker> {
        let mut stash = self.stash.borrow_mut();
        if stash.len() >= STASH {
            return Some(waker);
        }
        stash.push((operation, waker));
        None
    }

    /// Takes the n-th waker out of the stash, modulo their number.
    #[must_use]
    pub fn take_stashed(&self, n: u8) -> Option<(usize, Waker)> {
        let mut stash = self.stash.borrow_mut();
        let index = usize::from(n).checked_rem(stash.len())?;
        Some(stash.remove(index))
    }

    /// Takes the n-th handle, modulo their number.
    #[must_use]
    pub fn take_handle(&self, n: u8) -> Option<(usize, CancelHandle)> {
        let mut handles = self.handles.borrow_mut();
        let index = usize::from(n).checked_rem(handles.len())?;
        Some(handles.remove(index))
    }

    /// Stores a handle. Drops it if there is no room.
    pub fn put_handle(&self, operation: usize, handle: CancelHandle) {
        let mut handles = self.handles.borrow_mut();
        if handles.len() < HANDLES {
            handles.push((operation, handle));
        } else {
            drop(handles);
            drop(handle);
        }
    }

    /// Tries to pass an Await. True if it passes.
    #[must_use]
    pub fn pass_gate(&self, gate: usize) -> bool {
        self.all_open.get() || core::mem::take(&mut self.gates.borrow_mut()[gate].open)
    }

    /// Waits at a gate. Returns an earlier waker of the same operation, for the caller to drop.
    #[must_use]
    pub fn wait_at_gate(&self, gate: usize, operation: usize, waker: Waker) -> Option<Waker> {
        let waiters = &mut self.gates.borrow_mut()[gate].waiters;
        match waiters.iter_mut().find(|(waiting, _)| *waiting == operation) {
            Some((_, old)) => Some(core::mem::replace(old, waker)),
            None => {
                waiters.push((operation, waker));
                None
            }
        }
    }

    /// Opens a gate and wakes all that wait there.
    pub fn open_gate(&self, gate: usize) {
        let waiters = {
            let gate = &mut self.gates.borrow_mut()[gate];
            gate.open = true;
            core::mem::take(&mut gate.waiters)
        };
        let mut waiters = waiters;
        for (operation, waker) in waiters.drain(..) {
            marked(MarkKind::Wake, operation, "a gate opens");
            waker.wake();
        }
        // Put the list back to reuse its memory, unless an operation waits there already.
        let now = &mut self.gates.borrow_mut()[gate].waiters;
        if now.is_empty() {
            *now = waiters;
        }
    }
}

fn leak<T>(value: T) {
    let _leaked = core::mem::ManuallyDrop::new(value);
}

thread_local! {
    static WORLD: OperationWorld = const { OperationWorld::new() };
}

/// Calls `f` with this thread's world.
pub fn with<R>(f: impl FnOnce(&OperationWorld) -> R) -> R {
    WORLD.with(f)
}

/// The steps of the run that has ended, and those of them that reached a live object. The remains
/// of a run that was stopped refer to a kernel that has stopped. They are forgotten here, where
/// they are certain to be this run's.
pub(crate) fn steps(stopped: bool) -> (u64, u64) {
    with(|world| {
        let numbers = (world.steps.get(), world.live.get());
        if stopped {
            world.reset();
        }
        numbers
    })
}
