//! The state of a run of `com`. It holds the clients' references and records the events of each
//! value.
//!
//! Each thread has a world, like the simulated kernel. Code touches it in short pieces and holds no
//! borrow across a call into the runtime or the kernel, because another processor may run there. A
//! stack across such a call owns no memory of the host, because a step that must stop the machine
//! would leak it.

use core::{
    alloc::Layout,
    cell::{Cell, RefCell},
    ffi::c_void,
    ptr::null_mut,
};

use ntcom::{AsyncOperationRaw, NTSTATUS};

use ntcom_fuzz_model::limits::PROCESSORS;

use super::{
    input::ComInput,
    interfaces::{IFACES, NAMES},
    shape::Shape,
};

/// The largest number of values in a run, including the parts of aggregates and the static.
pub(super) const RECORDS: usize = 24;
/// The static's number.
pub(super) const STATIC: usize = 0;
/// The largest number of references of a processor, and the largest number of its operations.
pub(super) const HAND: usize = 24;

/// A value, with its object.
pub(super) struct Record {
    /// The shape of its object. `None` for a part of an aggregate.
    pub(super) shape: Cell<Option<Shape>>,
    /// The aggregate that the value is a part of.
    pub(super) whole: Cell<Option<usize>>,
    /// The primary interface. It is null until the object exists.
    pub(super) this: Cell<*mut c_void>,
    /// The pointers that QueryInterface has returned.
    pub(super) found: [Cell<*mut c_void>; IFACES],
    /// Number of the clients' references.
    pub(super) ledger: Cell<u32>,
    /// How often the value was built, and below it how often it was dropped.
    pub(super) built: Cell<u32>,
    pub(super) drops: Cell<u32>,
    /// Number of living bodies of its methods.
    pub(super) bodies: Cell<u32>,
}

/// A client's reference.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    pub(super) object: usize,
    /// The interface, as an index.
    pub(super) iface: usize,
    pub(super) this: *mut c_void,
}

impl Reference {
    /// Ends the run, because this object breaks this rule.
    pub(super) fn fail(self, rule: &'static str, message: String) -> ! {
        let Self { object, iface, .. } = self;
        ntsim::fail(rule, format!("object {object}, through {}: {message}", NAMES[iface]))
    }
}

/// The result of an operation.
#[derive(Clone, Copy)]
pub(super) enum Yields {
    /// This number.
    Value(u64),
    /// An interface of this object.
    Interface(usize),
}

/// A client's operation. Both kinds of results have the same size.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) raw: *mut AsyncOperationRaw<u64>,
    /// The result, if it has one.
    pub(super) yields: Yields,
    /// The status that it may fail with.
    pub(super) may_fail: Option<NTSTATUS>,
    pub(super) cancelled: bool,
}

/// A block that is allocated, with the number of its pool.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) address: usize,
    pub(super) layout: Layout,
    pub(super) pool: u32,
}

/// The state of a run.
pub(crate) struct ComWorld {
    pub(super) records: [Record; RECORDS],
    pub(super) next: Cell<usize>,
    pub(super) hands: [RefCell<Vec<Reference>>; PROCESSORS],
    pub(super) operations: [RefCell<Vec<Operation>>; PROCESSORS],
    /// Allocated blocks, and below it the number of living pools.
    pub(super) blocks: RefCell<Vec<Block>>,
    pub(super) pools: Cell<u32>,
    pub(super) next_pool: Cell<u32>,
    /// The reason that the current step must stop the machine.
    pub(super) must_stop: Cell<Option<&'static str>>,
    /// The number of processors that are inside a step.
    pub(super) busy: Cell<u32>,
    /// Whether an allocation was told to fail.
    pub(super) starved: Cell<bool>,
    /// For each processor, the IRQL before its program raised it.
    pub(super) raised: [Cell<Option<u8>>; PROCESSORS],
    /// The input that is run. It is here because the programs own nothing.
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

impl ComWorld {
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

    /// The record of a value. A number out of range is a finding, because it comes from memory that
    /// is not a value.
    pub(super) fn record(&self, object: usize) -> &Record {
        self.records.get(object).unwrap_or_else(|| {
            ntsim::fail(
                "this",
                format!("a slot uses memory that is not its object: the object number there is {object:#x}"),
            )
        })
    }

    /// Takes the numbers of a new object, one for each of its values.
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

    /// Whether this processor has room for one more reference.
    pub(super) fn room(&self, processor: usize) -> bool {
        self.hands[processor].borrow().len() < HAND
    }

    /// The n-th of this processor's references, modulo their number.
    pub(super) fn held(&self, processor: usize, n: u8) -> Option<(usize, Reference)> {
        let hand = self.hands[processor].borrow();
        let index = usize::from(n).checked_rem(hand.len())?;
        Some((index, hand[index]))
    }

    /// The n-th of this processor's operations, modulo their number.
    pub(super) fn operation(&self, processor: usize, n: u8) -> Option<(usize, Operation)> {
        let operations = self.operations[processor].borrow();
        let index = usize::from(n).checked_rem(operations.len())?;
        Some((index, operations[index]))
    }

    /// Records a reference that a client has got.
    pub(super) fn take(&self, processor: usize, reference: Reference) {
        let ledger = &self.record(reference.object).ledger;
        ledger.set(ledger.get() + 1);
        self.hands[processor].borrow_mut().push(reference);
    }

    /// Records that a client is about to give up a reference.
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
    static WORLD: ComWorld = const { ComWorld::new() };
}

/// Calls `f` with this thread's world.
pub(crate) fn with<R>(f: impl FnOnce(&ComWorld) -> R) -> R {
    WORLD.with(f)
}
