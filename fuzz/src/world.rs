//! The world of one run: the operations and their clients, gates and wakers, and what has happened to each body.
//!
//! It is one per thread, like the simulated kernel, and is only touched in short pieces: nothing here is borrowed across a call
//! into the runtime or the kernel, because there another processor may go on.

use core::{cell::Cell, cell::RefCell, ffi::c_void, task::Waker};

use ntcom::CancelHandle;
use ntsim::trace::MarkKind;

use crate::{OPERATIONS, PROCESSORS, body::marked, declared::OBJECTS, script::GATES, value::Kind};

/// How many wakers the stash holds.
pub const STASH: usize = 12;
/// How many handles there may be.
pub const HANDLES: usize = 12;

/// Why a body is not being polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// It has not been polled, or is not waiting.
    Nothing,
    /// For a gate.
    Gate,
    /// For nothing: it has kept no waker.
    Parked,
    /// For its own wake.
    Itself,
    /// For a timer.
    Timer,
}

/// What has happened to a body.
pub struct BodyRecord {
    /// How often it was polled.
    pub polls: Cell<u32>,
    /// How often it was dropped.
    pub drops: Cell<u32>,
    /// The processor that polls it now.
    pub polling: Cell<Option<usize>>,
    /// It has returned Ready.
    pub ready: Cell<bool>,
    /// What its last Pending waits for.
    pub waiting: Cell<Waiting>,
    /// What it has seen of cancellation and of its link, as a hash.
    pub log: Cell<u64>,
    /// It was handed to spawn and has not come back.
    pub spawning: Cell<bool>,
    /// The operation that it holds a reference to.
    pub link: Cell<Option<usize>>,
    /// The object whose method it is the body of.
    pub object: Cell<Option<usize>>,
    /// Its own waker.
    pub kept: Cell<Option<Waker>>,
    /// Somebody has asked for its cancellation, and it has neither been polled since nor acted on a request.
    pub asked: Cell<bool>,
    /// Somebody has ever asked for its cancellation.
    pub ever_asked: Cell<bool>,
    /// Everybody is asked, or was at a time at which it may have been there: it may have been asked, and need not have been.
    pub maybe_asked: Cell<bool>,
    /// It has taken a request.
    pub took: Cell<bool>,
    /// A `try_finally` or an `on_cancel` of its has yielded `None`.
    pub unwound: Cell<bool>,
    /// A bit for each part that has been polled, and, four bits up, for each that has ended.
    pub parts: Cell<u8>,
}

/// An operation, as its clients see it.
pub struct Slot {
    /// The first interface; null until the spawn has returned.
    pub operation: Cell<*mut c_void>,
    /// The second one, once somebody has asked for it.
    pub control: Cell<*mut c_void>,
    /// Its value's type.
    pub kind: Cell<Kind>,
    /// Client references, by processor.
    pub references: [Cell<u32>; PROCESSORS],
    /// References that calls have made and not given up, whoever has them: kept by `call`, independently of the tables.
    pub ledger: Cell<u32>,
    /// The constant operation, or one without a body.
    pub bodyless: Cell<bool>,
    /// A terminal status that somebody has seen.
    pub ended: Cell<i32>,
    /// How often its completion handler has run.
    pub handled: Cell<u32>,
    /// The status that it was told.
    pub told: Cell<i32>,
    /// Handlers accepted.
    pub handlers: Cell<u32>,
    /// A handler was refused because there is one.
    pub refused: Cell<bool>,
    /// The object whose method made it.
    pub object: Cell<Option<usize>>,
    /// The status that its body may fail with by itself.
    pub may_fail: Cell<Option<u32>>,
    /// What happened to the body.
    pub body: BodyRecord,
}

/// An object with declared methods, as its clients see it.
pub struct Object {
    /// Its interface; null until it has been made.
    pub this: Cell<*mut c_void>,
    /// Client references, by processor.
    pub references: [Cell<u32>; PROCESSORS],
    /// References that calls have made and not given up.
    pub ledger: Cell<u32>,
    /// Releases that have been begun, and have not returned: the ledger does not have their references any more, and the object may.
    pub leaving: Cell<u32>,
    /// How often its value was dropped.
    pub drops: Cell<u32>,
    /// Somebody is making it.
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

    /// A processor has got, or given up, client references.
    pub fn own(&self, processor: usize, by: i32) {
        let count = &self.references[processor];
        count.set(count.get().saturating_add_signed(by));
    }
}

/// A gate: an event that lets one Await pass each time it is opened.
#[derive(Default)]
pub struct Gate {
    /// The next Await passes.
    pub open: bool,
    /// Who waits: operation and waker.
    pub waiters: Vec<(usize, Waker)>,
}

/// Everything.
pub struct World {
    /// The operations, in the order of their spawns.
    pub slots: [Slot; OPERATIONS],
    /// The objects with declared methods.
    pub objects: [Object; OBJECTS],
    /// How many operations there are.
    pub spawned: Cell<usize>,
    /// The gates.
    pub gates: RefCell<[Gate; GATES]>,
    /// Every Await passes: the end of a run.
    pub all_open: Cell<bool>,
    /// Wakers that clients wake or drop: operation and waker.
    pub stash: RefCell<Vec<(usize, Waker)>>,
    /// Cancel handles.
    pub handles: RefCell<Vec<(usize, CancelHandle)>>,
    /// The processor's IRQL was raised by its program, from this level.
    pub raised: [Cell<Option<u8>>; PROCESSORS],
    /// Slot calls and executor commands that were tried.
    pub steps: Cell<u64>,
    /// Those that reached a live object.
    pub live: Cell<u64>,
    /// Everything that has happened to bodies and handlers, as a number that does not depend on the order.
    pub digest: Cell<u64>,
    /// By processor: a bit for each operation that it has a reference to.
    held: [Cell<u32>; PROCESSORS],
    /// There is one processor.
    pub alone: Cell<bool>,
    /// Bodies that park, or wait for a gate, may wait for a timer instead.
    pub timers: Cell<bool>,
    /// How many ask everybody to stop just now.
    pub asking: Cell<u32>,
    /// By processor: what it is in the middle of, and on which operation.
    pub doing: [Cell<(u8, u8)>; PROCESSORS],
}

/// What can happen to an operation, for the digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Its body is polled.
    Polled,
    /// Its body is dropped.
    Dropped,
    /// Its body has seen something.
    Saw(u64),
    /// Its completion handler is told this status.
    Handled(i32),
}

/// The digest after an event.
#[must_use]
pub fn digest(digest: u64, operation: usize, event: Event) -> u64 {
    let (kind, value) = match event {
        Event::Polled => (1, 0),
        Event::Dropped => (2, 0),
        Event::Saw(log) => (3, log),
        Event::Handled(status) => (4, u64::from(status.cast_unsigned())),
    };
    let mixed = (value ^ (operation as u64) << 8 ^ kind).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    digest.wrapping_add(mixed ^ mixed >> 32 | 1)
}

impl Slot {
    const fn new() -> Self {
        Self {
            operation: Cell::new(core::ptr::null_mut()),
            control: Cell::new(core::ptr::null_mut()),
            kind: Cell::new(Kind::Unit),
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
    /// Somebody is about to ask for its cancellation.
    pub fn ask(&self) {
        self.asked.set(true);
        self.ever_asked.set(true);
    }

    /// Nobody can have asked for its cancellation.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        !self.ever_asked.get() && !self.maybe_asked.get()
    }
}

impl World {
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

    /// Forgets the last run. What it left behind after a bug check is leaked: nobody may be called any more.
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

    /// An operation whose body is a method's of this object, and lives.
    #[must_use]
    pub fn body_of(&self, object: usize) -> Option<usize> {
        (0..self.spawned.get()).find(|operation| self.slots[*operation].body.object.get() == Some(object))
    }

    /// Nobody holds this object any more, as far as can be told: no client, and no operation but those that are known to have ended.
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

    /// Something has happened to an operation, or, numbered after these, to an object.
    pub fn happened(&self, operation: usize, event: Event) {
        self.digest.set(digest(self.digest.get(), operation, event));
    }

    /// A processor has got, or given up, client references. An operation is there for it once its pointer is.
    pub fn own(&self, operation: usize, processor: usize, by: i32) {
        let count = &self.slots[operation].references[processor];
        count.set(count.get().saturating_add_signed(by));
        let (held, bit) = (&self.held[processor], 1 << operation);
        held.set(if count.get() > 0 { held.get() | bit } else { held.get() & !bit });
    }

    /// The slot of this operation. Another number comes from a body whose memory is not its own any more: a finding.
    #[must_use]
    pub fn slot(&self, operation: usize) -> &Slot {
        self.slots.get(operation).unwrap_or_else(|| {
            ntsim::fail(
                "C8",
                format!("what is polled or dropped as a body is none: operation {operation:#x}"),
            )
        })
    }

    /// Counts a step that was tried.
    pub fn tried(&self) {
        self.steps.set(self.steps.get() + 1);
    }

    /// Counts one that reached a live object.
    pub fn reached(&self) {
        self.live.set(self.live.get() + 1);
    }

    /// The n-th, modulo their number, of the operations that this processor has a reference to.
    #[must_use]
    pub fn held(&self, processor: usize, n: u8) -> Option<usize> {
        nth_bit(self.held[processor].get(), n)
    }

    /// Gives a waker to the stash, or back if it is full.
    #[must_use]
    pub fn stash(&self, operation: usize, waker: Waker) -> Option<Waker> {
        let mut stash = self.stash.borrow_mut();
        if stash.len() >= STASH {
            return Some(waker);
        }
        stash.push((operation, waker));
        None
    }

    /// Takes the n-th waker, modulo their number, out of the stash.
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

    /// Gives a handle back, or a new one; drops it if there is no room.
    pub fn put_handle(&self, operation: usize, handle: CancelHandle) {
        let mut handles = self.handles.borrow_mut();
        if handles.len() < HANDLES {
            handles.push((operation, handle));
        } else {
            drop(handles);
            drop(handle);
        }
    }

    /// An Await: true if it passes.
    #[must_use]
    pub fn pass_gate(&self, gate: usize) -> bool {
        self.all_open.get() || core::mem::take(&mut self.gates.borrow_mut()[gate].open)
    }

    /// Waits at a gate; an earlier waker of the same operation is returned, to be dropped.
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

    /// Opens a gate and wakes whoever waits there.
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
        // The list's memory is used again, unless somebody waits already.
        let now = &mut self.gates.borrow_mut()[gate].waiters;
        if now.is_empty() {
            *now = waiters;
        }
    }
}

/// The number of the n-th bit, modulo their number, that is set.
#[must_use]
pub fn nth_bit(bits: u32, n: u8) -> Option<usize> {
    let skip = u32::from(n).checked_rem(bits.count_ones())?;
    let mut rest = bits;
    for _ in 0..skip {
        rest &= rest - 1;
    }
    Some(rest.trailing_zeros() as usize)
}

fn leak<T>(value: T) {
    let _leaked = core::mem::ManuallyDrop::new(value);
}

thread_local! {
    static WORLD: World = const { World::new() };
}

/// Calls `f` with this thread's world.
pub fn with<R>(f: impl FnOnce(&World) -> R) -> R {
    WORLD.with(f)
}
