//! Who holds what in a run of `com`, and what has happened to each value.
//!
//! One per thread, like the simulated kernel, and only touched in short pieces: nothing here is borrowed across a call into the runtime or
//! the kernel, because there another processor may go on. What is on a stack across such a call owns no memory of the host: a machine that
//! is to stop, as some operations here demand, would leak it.

use core::{
    cell::{Cell, RefCell},
    ffi::c_void,
    ptr::null_mut,
};

use ntcom::{AsyncOperationRaw, NTSTATUS};

use super::{
    input::ComInput,
    pool::Block,
    shapes::{IFACES, Shape},
};
use crate::PROCESSORS;

/// How many values there may be in a run, parts of aggregates included, and the static.
pub(super) const RECORDS: usize = 24;
/// The static's number.
pub(super) const STATIC: usize = 0;
/// How much a processor holds of each.
pub(super) const HAND: usize = 24;

/// A value, and the object that it is the value of.
pub(super) struct Record {
    /// Its object's interfaces. None: it is a part of an aggregate.
    pub(super) shape: Cell<Option<Shape>>,
    /// The aggregate that it is a part of.
    pub(super) whole: Cell<Option<usize>>,
    /// The primary interface; null until the object is there.
    pub(super) this: Cell<*mut c_void>,
    /// What QueryInterface has found.
    pub(super) found: [Cell<*mut c_void>; IFACES],
    /// References that clients have.
    pub(super) ledger: Cell<u32>,
    /// How often it was built, and dropped.
    pub(super) built: Cell<u32>,
    pub(super) drops: Cell<u32>,
    /// Bodies of its methods that live.
    pub(super) bodies: Cell<u32>,
}

/// A client's reference.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    pub(super) object: usize,
    /// Which interface.
    pub(super) iface: usize,
    pub(super) this: *mut c_void,
}

/// What an operation yields.
#[derive(Clone, Copy)]
pub(super) enum Yields {
    /// This number.
    Value(u64),
    /// An interface of this object.
    Interface(usize),
}

/// A client's operation. Both kinds of values are of one size.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) raw: *mut AsyncOperationRaw<u64>,
    /// The value, if it has one.
    pub(super) yields: Yields,
    /// The status that it may fail with.
    pub(super) may_fail: Option<NTSTATUS>,
    pub(super) cancelled: bool,
}

/// Everything.
pub(crate) struct World {
    pub(super) records: [Record; RECORDS],
    pub(super) next: Cell<usize>,
    pub(super) hands: [RefCell<Vec<Reference>>; PROCESSORS],
    pub(super) operations: [RefCell<Vec<Operation>>; PROCESSORS],
    /// Blocks that are out, and pools that live.
    pub(super) blocks: RefCell<Vec<Block>>,
    pub(super) pools: Cell<u32>,
    pub(super) next_pool: Cell<u32>,
    /// What is being done must stop the machine: why.
    pub(super) must_stop: Cell<Option<&'static str>>,
    /// How many processors are in the middle of a step.
    pub(super) busy: Cell<u32>,
    /// An allocation was told to fail.
    pub(super) starved: Cell<bool>,
    /// The IRQL that a processor's program has raised from.
    pub(super) raised: [Cell<Option<u8>>; PROCESSORS],
    /// What is run: the programs own nothing.
    pub(super) input: Cell<*const ComInput>,
    pub(crate) steps: Cell<u64>,
    pub(crate) live: Cell<u64>,
}

impl Record {
    const fn new() -> Self {
        Self {
            shape: Cell::new(None),
            whole: Cell::new(None),
            this: Cell::new(null_mut()),
            found: [const { Cell::new(null_mut()) }; IFACES],
            ledger: Cell::new(0),
            built: Cell::new(0),
            drops: Cell::new(0),
            bodies: Cell::new(0),
        }
    }

    fn reset(&self) {
        self.shape.set(None);
        self.whole.set(None);
        self.this.set(null_mut());
        self.found.iter().for_each(|found| found.set(null_mut()));
        self.ledger.set(0);
        self.built.set(0);
        self.drops.set(0);
        self.bodies.set(0);
    }
}

impl World {
    const fn new() -> Self {
        Self {
            records: [const { Record::new() }; RECORDS],
            next: Cell::new(0),
            hands: [const { RefCell::new(Vec::new()) }; PROCESSORS],
            operations: [const { RefCell::new(Vec::new()) }; PROCESSORS],
            blocks: RefCell::new(Vec::new()),
            pools: Cell::new(0),
            next_pool: Cell::new(0),
            must_stop: Cell::new(None),
            busy: Cell::new(0),
            starved: Cell::new(false),
            raised: [const { Cell::new(None) }; PROCESSORS],
            input: Cell::new(core::ptr::null()),
            steps: Cell::new(0),
            live: Cell::new(0),
        }
    }

    /// Forgets the last run.
    pub(crate) fn reset(&self) {
        self.records.iter().take(self.next.get().max(1)).for_each(Record::reset);
        self.next.set(STATIC + 1);
        for processor in 0..PROCESSORS {
            self.hands[processor].borrow_mut().clear();
            self.operations[processor].borrow_mut().clear();
            self.raised[processor].set(None);
        }
        self.blocks.borrow_mut().clear();
        self.pools.set(0);
        self.next_pool.set(0);
        self.must_stop.set(None);
        self.busy.set(0);
        self.starved.set(false);
        self.input.set(core::ptr::null());
        self.steps.set(0);
        self.live.set(0);
    }

    /// The record of this number. Another number comes from memory that is not a value: a finding.
    pub(super) fn record(&self, object: usize) -> &Record {
        self.records.get(object).unwrap_or_else(|| {
            ntsim::fail(
                "this",
                format!("a slot takes for its object what is none: its number is {object:#x}"),
            )
        })
    }

    /// The numbers of a new object of a shape: as many as it has values.
    pub(super) fn number(&self, shape: Shape) -> Option<usize> {
        let (first, values) = (self.next.get(), shape.values());
        if first + values > RECORDS {
            return None;
        }
        self.next.set(first + values);
        for value in first..first + values {
            let whole = (value > first).then_some(first);
            self.records[value].shape.set(whole.is_none().then_some(shape));
            self.records[value].whole.set(whole);
        }
        Some(first)
    }

    /// Has this processor got room for one more reference?
    pub(super) fn room(&self, processor: usize) -> bool {
        self.hands[processor].borrow().len() < HAND
    }

    /// The n-th, modulo their number, of this processor's references.
    pub(super) fn held(&self, processor: usize, n: u8) -> Option<(usize, Reference)> {
        let hand = self.hands[processor].borrow();
        let index = usize::from(n).checked_rem(hand.len())?;
        Some((index, hand[index]))
    }

    /// The n-th, modulo their number, of its operations.
    pub(super) fn operation(&self, processor: usize, n: u8) -> Option<(usize, Operation)> {
        let operations = self.operations[processor].borrow();
        let index = usize::from(n).checked_rem(operations.len())?;
        Some((index, operations[index]))
    }

    /// A client has got a reference.
    pub(super) fn take(&self, processor: usize, reference: Reference) {
        let ledger = &self.record(reference.object).ledger;
        ledger.set(ledger.get() + 1);
        self.hands[processor].borrow_mut().push(reference);
    }

    /// A client is about to give one up.
    pub(super) fn give_up(&self, processor: usize, index: usize) -> Reference {
        let reference = self.hands[processor].borrow_mut().swap_remove(index);
        let ledger = &self.record(reference.object).ledger;
        ledger.set(ledger.get() - 1);
        reference
    }

    pub(super) fn tried(&self) {
        self.steps.set(self.steps.get() + 1);
    }

    pub(super) fn reached(&self) {
        self.live.set(self.live.get() + 1);
    }
}

thread_local! {
    static WORLD: World = const { World::new() };
}

/// Calls `f` with this thread's world.
pub(crate) fn with<R>(f: impl FnOnce(&World) -> R) -> R {
    WORLD.with(f)
}
