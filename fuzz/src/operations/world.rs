//! The world of one run. It holds the operations and their clients, gates and wakers, and records
//! what has happened to each body.
//!
//! Each thread has a world, like the simulated kernel. Code touches it in short pieces and holds no
//! borrow across a call into the runtime or the kernel, because another processor may run there.

use core::{cell::Cell, ffi::c_void, task::Waker};

use ntcom::CancelHandle;
use ntcom_fuzz_model::{
    event::{Event, digest},
    limits::{OBJECTS, OPERATIONS, PROCESSORS},
    ops::nth_bit,
    script::GATES,
    value::ValueKind,
};

use crate::harness::{
    body::BodyRecord,
    gates::Gates,
    held::HeldList,
    world::{CurrentWorld, Pointer, Steps},
};

/// An operation from its clients' view.
#[derive(Default)]
pub struct Slot {
    /// The first interface. It is null until the spawn has returned.
    pub operation: Pointer<c_void>,
    /// The second interface, once a client has asked for it.
    pub control: Pointer<c_void>,
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
    /// A hash of the body's observations of cancellation and of its link.
    pub log: Cell<u64>,
    /// Whether the body is inside a call of spawn.
    pub spawning: Cell<bool>,
    /// The operation that the body holds a reference to.
    pub link: Cell<Option<usize>>,
    /// The object that holds the method of the living body.
    pub body_object: Cell<Option<usize>>,
}

/// An object with declared methods, from its clients' view.
#[derive(Default)]
pub struct Object {
    /// The object's interface. It is null until the object has been made.
    pub this: Pointer<c_void>,
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
    /// Records that a processor has gained or given up client references.
    pub fn own(&self, processor: usize, by: i32) {
        let count = &self.references[processor];
        count.set(count.get().saturating_add_signed(by));
    }
}

/// The state of a run.
#[derive(Default)]
pub struct OperationWorld {
    /// The operations, in the order of their spawns.
    pub slots: [Slot; OPERATIONS],
    /// The objects with declared methods.
    pub objects: [Object; OBJECTS],
    /// The number of operations.
    pub spawned: Cell<usize>,
    /// The gates.
    pub gates: Gates<GATES>,
    /// Wakers that clients wake or drop, with their operations.
    pub stash: HeldList<Waker>,
    /// Cancel handles.
    pub handles: HeldList<CancelHandle>,
    /// For each processor, the IRQL before its program raised it.
    pub raised: [Cell<Option<u8>>; PROCESSORS],
    /// Slot calls and executor commands.
    pub steps: Steps,
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

impl OperationWorld {
    /// An operation with a living body of a method of this object.
    #[must_use]
    pub fn body_of(&self, object: usize) -> Option<usize> {
        (0..self.spawned.get()).find(|operation| self.slots[*operation].body_object.get() == Some(object))
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

    /// The n-th of the operations that this processor has a reference to, modulo their number.
    #[must_use]
    pub fn held(&self, processor: usize, n: u8) -> Option<usize> {
        nth_bit(self.held[processor].get(), n)
    }
}

thread_local! {
    static WORLD: CurrentWorld<OperationWorld> = CurrentWorld::default();
}

/// Calls `f` with the world of this thread's run.
pub fn with<R>(f: impl FnOnce(&OperationWorld) -> R) -> R {
    WORLD.with(|world| world.with(f))
}

/// Begins a run with a new world.
pub fn begin() {
    WORLD.with(CurrentWorld::begin);
}

/// Ends a run. Returns its steps, and those of them that reached a live object.
pub fn end(stopped: bool) -> (u64, u64) {
    let steps = with(|world| world.steps.counts());
    if stopped {
        WORLD.with(CurrentWorld::forget);
    }
    steps
}
