//! A cell that detects overlapping accesses.

use core::cell::Cell;

use super::atomic::check_outside;
use crate::{
    engine::machine::{Machine, active},
    statics::own,
    trace::event::What,
    verifier::memory::Use,
};

/// Memory that several threads may access, with loom's interface.
///
/// An access begins, is at a preemption point, runs the closure, and ends. If another processor's
/// access overlaps it and one of the two is mutable, the run ends with a failure of oracle
/// `data race`. If both accesses are this processor's, the oracle is `aliasing`. Such accesses are
/// those of a DPC or another of its threads on top of a thread, or of a closure in a closure.
/// Outside runs nothing is checked, and an access costs nothing.
#[derive(Debug, Default)]
pub struct UnsafeCell<T> {
    state: State,
    value: core::cell::UnsafeCell<T>,
}

/// The accesses in progress.
#[derive(Debug, Default)]
struct State {
    /// A bit for each processor that reads. It is only a hint, because it is cleared when one of
    /// several threads of the processor ends its access.
    readers: Cell<u64>,
    /// The simulation to which the state belongs. State of an earlier simulation does not count.
    epoch: Cell<u32>,
    /// The number of reads in progress.
    reads: Cell<u16>,
    /// The processor that writes, plus one.
    writer: Cell<u8>,
}

/// An access in progress, which ends when this is dropped.
struct Access<'a> {
    state: &'a State,
    /// The reader's bit, or 0 if it was set already.
    reader: u64,
    reads: bool,
    writer: bool,
}

impl Drop for Access<'_> {
    fn drop(&mut self) {
        self.state.readers.set(self.state.readers.get() & !self.reader);
        if self.reads {
            self.state.reads.set(self.state.reads.get().saturating_sub(1));
        }
        if self.writer {
            self.state.writer.set(0);
        }
    }
}

/// Records the beginning of an access, out of line.
#[cold]
#[inline(never)]
fn began(machine: &Machine, address: usize, mutable: bool) {
    let object = machine.name(address);
    machine.record(What::Cell { object, mutable });
}

#[cold]
#[inline(never)]
fn ended(machine: &Machine, address: usize, mutable: bool) {
    let object = machine.name(address);
    machine.record(What::CellEnd { object, mutable });
}

impl State {
    /// Begins an access, and returns the reader's bit if it has set it. Arguments and result are
    /// numbers, because under AddressSanitizer a copied struct costs as much as the rest.
    #[inline]
    fn begin(&self, machine: &Machine, address: usize, mutable: bool) -> u64 {
        if self.epoch.replace(machine.epoch.get()) != machine.epoch.get() {
            self.readers.set(0);
            self.reads.set(0);
            self.writer.set(0);
        }
        if let Err(violation) = machine.check_memory(address, Use::Cell) {
            machine.bug_check(violation);
        }
        let me = machine.current.get();
        let (readers, bit) = (self.readers.get(), 1_u64 << me);
        if self.writer.get() != 0 || mutable && (readers & !bit != 0 || self.reads.get() != 0) {
            self.overlaps(machine, address, mutable);
        }
        let set = if mutable {
            self.writer.set(me as u8 + 1);
            0
        } else {
            self.readers.set(readers | bit);
            self.reads.set(self.reads.get().saturating_add(1));
            bit & !readers
        };
        if machine.tracing.get() {
            began(machine, address, mutable);
        }
        machine.point();
        set
    }

    /// Reports an overlap that was detected, with the processor that the access overlaps.
    #[cold]
    fn overlaps(&self, machine: &Machine, address: usize, mutable: bool) -> ! {
        let me = machine.current.get();
        let others = self.readers.get() & !(1_u64 << me);
        let (other, access) = match self.writer.get().checked_sub(1) {
            Some(writer) => (writer.into(), "with_mut"),
            None if others != 0 => (others.trailing_zeros() as usize, "with"),
            None => (me, "with"),
        };
        overlap(machine, address, mutable, other, access)
    }
}

#[cold]
fn overlap(machine: &Machine, address: usize, mutable: bool, other: usize, access: &str) -> ! {
    let (me, name) = (machine.current.get(), machine.name(address));
    let mine = if mutable { "with_mut" } else { "with" };
    if me == other {
        machine
            .fail("aliasing", std::format!("cell {name}: {mine} on processor {me} inside its own {access}"));
    }
    let is_other = |what: &What| matches!(what, What::Cell { object, .. } if *object == name);
    let place = machine.place_of(|event| event.processor == other && is_other(&event.what));
    machine.fail(
        "data race",
        std::format!("cell {name}: {mine} on processor {me} while processor {other} is in {access}{place}"),
    );
}

impl<T> UnsafeCell<T> {
    /// A new cell.
    pub const fn new(value: T) -> Self {
        Self {
            state: State {
                readers: Cell::new(0),
                epoch: Cell::new(0),
                reads: Cell::new(0),
                writer: Cell::new(0),
            },
            value: core::cell::UnsafeCell::new(value),
        }
    }

    /// The content.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// The cell. For a static, the copy of the calling thread's simulated kernel.
    #[inline(always)]
    fn own(&self) -> &Self {
        // SAFETY: every use of the cell is made through this function, and its value is accessed by
        // raw pointers only.
        unsafe { own(self) }
    }

    #[inline(always)]
    fn access<R>(&self, mutable: bool, f: impl FnOnce(*mut T) -> R) -> R {
        let cell = self.own();
        let Some(machine) = active() else {
            check_outside(cell.value.get().addr());
            return f(cell.value.get());
        };
        machine.count_stack();
        // A value of no bytes may have the address at which the next block begins. The address of
        // the state then stands for the cell.
        let address =
            if size_of::<T>() == 0 { (&raw const self.state).addr() } else { self.value.get().addr() };
        let reader = cell.state.begin(machine, address, mutable);
        let access = Access { state: &cell.state, reader, reads: !mutable, writer: mutable };
        let result = f(cell.value.get());
        drop(access);
        if machine.tracing.get() {
            ended(machine, address, mutable);
        }
        machine.point_after();
        result
    }

    /// Reads the content for the duration of the closure.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.access(false, |value| f(value))
    }

    /// Writes the content for the duration of the closure, which is a mutable access.
    #[inline]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.access(true, f)
    }

    /// The content's address. Access through it is neither a preemption point nor checked.
    #[inline]
    pub fn get(&self) -> *mut T {
        self.own().value.get()
    }

    /// The content, to which the caller has exclusive access.
    #[inline]
    pub const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}
