//! The other side's operations. Their slots answer as the input says.

use core::{
    cell::{Cell, UnsafeCell},
    ffi::c_void,
    mem::offset_of,
    ptr::null,
};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, IUnknownVtbl, NTSTATUS,
};

use super::{
    input::{Answer, CODES, Slot, Table},
    kind::ForeignKind,
    reply::is_heard,
    thing::YieldedObject,
};

/// The answers of a slot. They are given in turn, and then from the beginning.
#[derive(Default)]
struct Ring {
    answers: Cell<[Option<Answer>; 4]>,
    next: Cell<usize>,
}

impl Ring {
    fn push(&self, answer: Answer) {
        let mut answers = self.answers.get();
        let place = answers.iter().position(Option::is_none).unwrap_or_default();
        answers[place] = Some(answer);
        self.answers.set(answers);
    }

    fn is_empty(&self) -> bool {
        self.answers.get().iter().all(Option::is_none)
    }

    fn take(&self) -> Option<Answer> {
        let answers = self.answers.get();
        let length = answers.iter().flatten().count();
        let next = self.next.get();
        self.next.set(if next + 1 < length { next + 1 } else { 0 });
        answers[next]
    }
}

/// The type of the values of every operation, as far as the tables are concerned.
pub(super) type Anything = c_void;

/// An operation. It begins with the interfaces. The other fields are the harness's.
#[repr(C)]
pub(crate) struct Hostile {
    operation: UnsafeCell<AsyncOperationRaw<Anything>>,
    control: UnsafeCell<AsyncControlRaw>,
    operation_table: UnsafeCell<AsyncOperationVtbl<Anything>>,
    control_table: UnsafeCell<AsyncControlVtbl>,
    pub(super) number: usize,
    pub(crate) kind: ForeignKind,
    /// The interface that it yields, if it yields interfaces.
    pub(super) thing: YieldedObject,
    pub(super) references: Cell<u32>,
    /// Whether references may be lost because there was no slot to release them through.
    pub(crate) leaky: Cell<bool>,
    /// The state that its answers describe if the input gives no other answer.
    pub(crate) state: Cell<i32>,
    answers: [Ring; Slot::ALL.len()],
    /// Whether it keeps the contract from here on, as far as it has slots.
    pub(crate) honest: Cell<bool>,
    pub(super) accepted: Cell<bool>,
}

/// The offset of its control.
pub(super) const CONTROL: usize = offset_of!(Hostile, control);

impl Hostile {
    /// Creates an operation with one reference, which has a copy of each table.
    pub(crate) fn new(
        number: usize,
        kind: ForeignKind,
        operation: AsyncOperationVtbl<Anything>,
        control: AsyncControlVtbl,
    ) -> *mut Self {
        let object = Box::into_raw(Box::new(Self {
            operation: UnsafeCell::new(AsyncOperationRaw { vtbl: null() }),
            control: UnsafeCell::new(AsyncControlRaw { vtbl: null() }),
            operation_table: UnsafeCell::new(operation),
            control_table: UnsafeCell::new(control),
            number,
            kind,
            thing: YieldedObject::new(number),
            references: Cell::new(1),
            leaky: Cell::new(false),
            state: Cell::new(0),
            answers: Default::default(),
            honest: Cell::new(false),
            accepted: Cell::new(false),
        }));
        // SAFETY: the block above just made `object`.
        let this = unsafe { &*object };
        this.operation().vtbl = this.operation_table.get();
        this.control().vtbl = this.control_table.get();
        this.thing.stays();
        object
    }

    #[expect(clippy::mut_from_ref, reason = "no reference to it lives longer than a statement")]
    fn operation(&self) -> &mut AsyncOperationRaw<Anything> {
        // SAFETY: the client reads the interface through its pointer, and keeps no reference. One
        // thread at a time runs.
        unsafe { &mut *self.operation.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "no reference to it lives longer than a statement")]
    fn control(&self) -> &mut AsyncControlRaw {
        // SAFETY: the client reads the interface through its pointer, and keeps no reference. One
        // thread at a time runs.
        unsafe { &mut *self.control.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "no reference to it lives longer than a statement")]
    fn operation_table(&self) -> &mut AsyncOperationVtbl<Anything> {
        // SAFETY: the client copies a slot out of the table before it makes a call, and keeps no
        // reference. One thread at a time runs.
        unsafe { &mut *self.operation_table.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "no reference to it lives longer than a statement")]
    fn control_table(&self) -> &mut AsyncControlVtbl {
        // SAFETY: the client copies a slot out of the table before it makes a call, and keeps no
        // reference. One thread at a time runs.
        unsafe { &mut *self.control_table.get() }
    }

    /// References that have not been given up.
    pub(crate) const fn references(&self) -> u32 {
        self.references.get()
    }

    /// Whether the client can call this slot.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        let (operation, control) = (self.operation_table(), self.control_table());
        let in_operation = !self.operation().vtbl.is_null();
        let in_control = !self.control().vtbl.is_null();
        match slot {
            Slot::Query => in_operation,
            Slot::Status => in_operation && operation.get_status.is_some(),
            Slot::Result => in_operation && operation.get_result.is_some(),
            Slot::Cancel => in_control && control.cancel.is_some(),
            Slot::Error => in_control && control.get_error.is_some(),
            Slot::SetCompleted => in_control && control.set_completed.is_some(),
            Slot::Wait => in_control && control.wait.is_some(),
            Slot::Size => in_control && control.get_result_size.is_some(),
        }
    }

    /// Whether the client can hold its control.
    pub(crate) fn has_control(&self) -> bool {
        let IUnknownVtbl { QueryInterface, AddRef, Release } = self.control_table().base;
        !self.control().vtbl.is_null() && QueryInterface.is_some() && AddRef.is_some() && Release.is_some()
    }

    /// Adds an answer to those that a slot gives.
    pub(crate) fn queue_answer(&self, slot: Slot, answer: Answer) {
        self.answers[slot as usize].push(answer);
    }

    /// Sets slots of a table to null.
    pub(crate) fn remove_slots(&self, table: Table, mask: u8) {
        let bit = |n: u8| mask & 1 << n != 0;
        let (operation, control) = (self.operation_table(), self.control_table());
        match table {
            Table::Operation => {
                operation.get_status.take_if(|_| bit(0));
                operation.get_result.take_if(|_| bit(1));
            }
            Table::Control => {
                control.cancel.take_if(|_| bit(0));
                control.get_error.take_if(|_| bit(1));
                control.set_completed.take_if(|_| bit(2));
                control.wait.take_if(|_| bit(3));
                control.get_result_size.take_if(|_| bit(4));
            }
        }
    }

    /// Sets the pointer of a table to null.
    pub(crate) fn remove_table(&self, table: Table) {
        self.leaky.set(true);
        match table {
            Table::Operation => self.operation().vtbl = null(),
            Table::Control => self.control().vtbl = null(),
        }
    }

    /// Sets a slot of the control's IUnknown to null.
    pub(crate) fn remove_slot(&self, slot: u8) {
        self.leaky.set(true);
        let base = &mut self.control_table().base;
        match slot {
            0 => base.QueryInterface = None,
            1 => base.AddRef = None,
            _ => base.Release = None,
        }
    }

    /// The next answer of a slot. `None` means the truth.
    pub(super) fn next_answer(&self, slot: Slot) -> Option<(NTSTATUS, Answer)> {
        if self.references.get() == 0 {
            ntsim::fail(
                "C3",
                format!("{slot:?} of object {} is called after its last reference was released", self.number),
            );
        }
        if self.honest.get() {
            return None;
        }
        let answer = self.answers[slot as usize].take()?;
        Some((CODES[usize::from(answer.code)], answer))
    }

    /// One of its eight values, in as many bytes as its type has.
    pub(super) fn value(&self, which: u8) -> u128 {
        let (number, which) = (self.number as u128, u128::from(which));
        match self.kind {
            ForeignKind::Unit => 0,
            ForeignKind::U8 => 0x80 | number << 3 | which,
            ForeignKind::Bool => which & 1,
            ForeignKind::U32 => 0xF000_0000 | number << 8 | which,
            ForeignKind::U64 => 0xE000_0000_F000_0000 | number << 8 | which,
            ForeignKind::Wide => {
                0xD000_0000_0000_0000_E000_0000_F000_0000 | number << 72 | number << 8 | which
            }
            ForeignKind::Interface => self.thing.this().addr() as u128,
        }
    }

    /// Whether a value can be one of its values.
    pub(crate) fn may_have_said(&self, value: u128) -> bool {
        let zeros = value == 0 && self.kind != ForeignKind::Interface;
        zeros || (0..8).any(|which| self.value(which) == value)
    }

    /// Whether a reference that goes out now cannot be counted. A client that gets contradictory
    /// answers may lose the reference, and the harness does not record the answers to its tasks.
    pub(super) fn is_uncounted(&self, alone: bool) -> bool {
        let contradicts =
            [Slot::Status, Slot::Result].iter().any(|slot| !self.answers[*slot as usize].is_empty());
        !is_heard() && !self.honest.get() && (contradicts || !alone)
    }

    pub(super) fn stored(&self) -> NTSTATUS {
        match self.state.get() {
            0 => NTSTATUS::PENDING,
            1 => NTSTATUS::SUCCESS,
            2 => NTSTATUS::CANCELLED,
            _ => NTSTATUS::INVALID_PARAMETER,
        }
    }
}
