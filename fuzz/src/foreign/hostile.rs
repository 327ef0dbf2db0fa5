//! The other side: an operation that says what its input has it say.

use core::{
    cell::{Cell, UnsafeCell},
    ffi::c_void,
    mem::offset_of,
    ptr::{null, null_mut, without_provenance_mut},
};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus, GUID, IUnknownRaw,
    IUnknownVtbl, Interface, NTSTATUS, async_com::CompletedHandler,
};

use super::{
    expect::{Gift, Said},
    input::{Answer, CODES, SIZES, STATUSES, Slot, Table},
    kind::Kind,
    thing::Thing,
    world::{self, Given, World},
};

/// The answers that a slot gives, one after the other, and again.
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

/// As far as its tables are concerned, an operation of values of any type.
type Anything = c_void;

/// An operation. The interfaces are at its beginning; the rest is the harness's.
#[repr(C)]
pub(crate) struct Hostile {
    operation: UnsafeCell<AsyncOperationRaw<Anything>>,
    control: UnsafeCell<AsyncControlRaw>,
    operation_table: UnsafeCell<AsyncOperationVtbl<Anything>>,
    control_table: UnsafeCell<AsyncControlVtbl>,
    number: usize,
    pub(crate) kind: Kind,
    /// What it yields, if it yields interfaces.
    pub(super) thing: Thing,
    references: Cell<u32>,
    /// References may be lost: there was no slot to release them through.
    pub(crate) leaky: Cell<bool>,
    /// What it says where it has nothing else in mind.
    pub(crate) state: Cell<i32>,
    minds: [Ring; Slot::ALL.len()],
    /// From here on it keeps the contract, as far as it has slots.
    pub(crate) honest: Cell<bool>,
    accepted: Cell<bool>,
}

const CONTROL: usize = offset_of!(Hostile, control);

impl Hostile {
    /// With one reference.
    pub(crate) fn new(number: usize, kind: Kind) -> *mut Self {
        let object = Box::into_raw(Box::new(Self {
            operation: UnsafeCell::new(AsyncOperationRaw { vtbl: null() }),
            control: UnsafeCell::new(AsyncControlRaw { vtbl: null() }),
            operation_table: UnsafeCell::new(AsyncOperationVtbl {
                base: unknown::<0>(),
                get_status: Some(get_status),
                get_result: Some(get_result),
            }),
            control_table: UnsafeCell::new(AsyncControlVtbl {
                base: unknown::<CONTROL>(),
                cancel: Some(cancel),
                get_error: Some(get_error),
                set_completed: Some(set_completed),
                wait: Some(wait),
                get_result_size: Some(get_result_size),
            }),
            number,
            kind,
            thing: Thing::new(number),
            references: Cell::new(1),
            leaky: Cell::new(false),
            state: Cell::new(0),
            minds: Default::default(),
            honest: Cell::new(false),
            accepted: Cell::new(false),
        }));
        // SAFETY: just made.
        let this = unsafe { &*object };
        this.operation().vtbl = this.operation_table.get();
        this.control().vtbl = this.control_table.get();
        this.thing.stays();
        object
    }

    #[expect(clippy::mut_from_ref, reason = "nobody has a reference to it for longer than a statement")]
    fn operation(&self) -> &mut AsyncOperationRaw<Anything> {
        // SAFETY: the client reads it through its pointer, and keeps no reference; one thread at a time runs.
        unsafe { &mut *self.operation.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn control(&self) -> &mut AsyncControlRaw {
        // SAFETY: as above.
        unsafe { &mut *self.control.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn operation_table(&self) -> &mut AsyncOperationVtbl<Anything> {
        // SAFETY: as above: the client copies a slot out before it calls anybody.
        unsafe { &mut *self.operation_table.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn control_table(&self) -> &mut AsyncControlVtbl {
        // SAFETY: as above.
        unsafe { &mut *self.control_table.get() }
    }

    /// References that nobody has given up.
    pub(crate) const fn references(&self) -> u32 {
        self.references.get()
    }

    /// The client can call this slot.
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

    /// The client can hold its control.
    pub(crate) fn has_control(&self) -> bool {
        let IUnknownVtbl { QueryInterface, AddRef, Release } = self.control_table().base;
        !self.control().vtbl.is_null() && QueryInterface.is_some() && AddRef.is_some() && Release.is_some()
    }

    /// Once more in its mind.
    pub(crate) fn has_in_mind(&self, slot: Slot, answer: Answer) {
        self.minds[slot as usize].push(answer);
    }

    /// Slots are null now.
    pub(crate) fn open_holes(&self, table: Table, mask: u8) {
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

    /// A table is null now.
    pub(crate) fn vanish(&self, table: Table) {
        self.leaky.set(true);
        match table {
            Table::Operation => self.operation().vtbl = null(),
            Table::Control => self.control().vtbl = null(),
        }
    }

    /// A slot of IUnknown of the control is null now.
    pub(crate) fn behead(&self, slot: u8) {
        self.leaky.set(true);
        let base = &mut self.control_table().base;
        match slot {
            0 => base.QueryInterface = None,
            1 => base.AddRef = None,
            _ => base.Release = None,
        }
    }

    /// What a slot is to say; none: the truth.
    fn mind(&self, slot: Slot) -> Option<(NTSTATUS, Answer)> {
        if self.references.get() == 0 {
            ntsim::fail(
                "C3",
                format!("{slot:?} of object {} is called after its last reference went", self.number),
            );
        }
        if self.honest.get() {
            return None;
        }
        let answer = self.minds[slot as usize].take()?;
        Some((CODES[usize::from(answer.code)], answer))
    }

    /// The value that it yields, of eight that it has, in as many bytes as its type has.
    fn value(&self, which: u8) -> u128 {
        let (number, which) = (self.number as u128, u128::from(which));
        match self.kind {
            Kind::Unit => 0,
            Kind::U8 => 0x80 | number << 3 | which,
            Kind::Bool => which & 1,
            Kind::U32 => 0xF000_0000 | number << 8 | which,
            Kind::U64 => 0xE000_0000_F000_0000 | number << 8 | which,
            Kind::Wide => 0xD000_0000_0000_0000_E000_0000_F000_0000 | number << 72 | number << 8 | which,
            Kind::Interface => self.thing.this().addr() as u128,
        }
    }

    /// Whether a value can be one of its.
    pub(crate) fn may_have_said(&self, value: u128) -> bool {
        let zeros = value == 0 && self.kind != Kind::Interface;
        zeros || (0..8).any(|which| self.value(which) == value)
    }

    /// A client that is told contradictions may lose the reference that comes with them, and here nobody hears of it.
    fn nobody_counts(&self, world: &World) -> bool {
        let contradicts =
            [Slot::Status, Slot::Result].iter().any(|slot| !self.minds[*slot as usize].is_empty());
        !is_heard() && !self.honest.get() && (contradicts || !world.alone.get())
    }

    fn stored(&self) -> NTSTATUS {
        match self.state.get() {
            0 => NTSTATUS::PENDING,
            1 => NTSTATUS::SUCCESS,
            2 => NTSTATUS::CANCELLED,
            _ => NTSTATUS::INVALID_PARAMETER,
        }
    }
}

/// It is the client's program that asks, and not one of its tasks.
fn is_heard() -> bool {
    ntsim::current_processor() == 0 && ntsim::irql() == 0
}

/// Notes what the client was told, if it is its program.
pub(super) fn say(world: &World, said: Said) {
    if is_heard() {
        world.said.borrow_mut().push(said);
    }
}

const fn unknown<const AT: usize>() -> IUnknownVtbl {
    IUnknownVtbl {
        QueryInterface: Some(query::<AT>),
        AddRef: Some(add_ref::<AT>),
        Release: Some(release::<AT>),
    }
}

/// # Safety
/// `this` is the interface at `AT` of an object; objects stay until the run is over.
unsafe fn object<'a, const AT: usize>(this: *mut c_void) -> &'a Hostile {
    // SAFETY: this function's contract.
    let start = unsafe { this.byte_sub(AT) };
    // SAFETY: as above.
    unsafe { &*start.cast::<Hostile>() }
}

unsafe extern "system" fn query<const AT: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<AT>(this) };
    // SAFETY: a client's `iid` is readable.
    let iid = unsafe { iid.read() };
    // SAFETY: the start of the object.
    let start = unsafe { this.byte_sub(AT) };
    let right = match iid {
        // SAFETY: inside the object.
        AsyncControlRaw::IID => unsafe { start.byte_add(CONTROL) },
        // All types of operations have one IID.
        IUnknownRaw::IID | AsyncOperationRaw::<Anything>::IID => start,
        _ => null_mut(),
    };
    let honest = if right.is_null() { NTSTATUS::NOINTERFACE } else { NTSTATUS::SUCCESS };
    let (code, found) = match object.mind(Slot::Query) {
        None => (honest, right),
        Some((code, Answer { silent: true, .. })) => (code, null_mut()),
        Some((NTSTATUS::SUCCESS, answer)) => {
            (NTSTATUS::SUCCESS, if answer.value == 0 { null_mut() } else { right })
        }
        // With any other answer it is no pointer, whatever is there.
        Some((code, answer)) => (code, without_provenance_mut(usize::from(answer.value))),
    };
    let gives = code == NTSTATUS::SUCCESS && !found.is_null();
    if gives {
        object.references.set(object.references.get() + 1);
    }
    world::with(|world| say(world, Said::Query(code, gives)));
    // SAFETY: a client's `out` is writable.
    unsafe { out.write(found) };
    code
}

unsafe extern "system" fn add_ref<const AT: usize>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<AT>(this) };
    let references = object.references.get();
    if references == 0 {
        ntsim::fail("C3", format!("object {} is revived", object.number));
    }
    object.references.set(references + 1);
    references + 1
}

unsafe extern "system" fn release<const AT: usize>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<AT>(this) };
    let Some(left) = object.references.get().checked_sub(1) else {
        ntsim::fail("C3", format!("object {} is released too often", object.number));
    };
    object.references.set(left);
    left
}

unsafe extern "system" fn get_status(this: *mut c_void, out: *mut AsyncStatus) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<0>(this) };
    let (code, status) = match object.mind(Slot::Status) {
        None => (NTSTATUS::SUCCESS, Some(object.state.get())),
        Some((code, answer)) => (code, (!answer.silent).then(|| STATUSES[usize::from(answer.value)])),
    };
    if let Some(status) = status {
        // SAFETY: a client's `out` is writable.
        unsafe { out.write(AsyncStatus(status)) };
    }
    world::with(|world| say(world, Said::Status(code, status)));
    code
}

unsafe extern "system" fn get_result(this: *mut c_void, out: *mut Anything) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<0>(this) };
    if object.kind == Kind::Interface {
        // SAFETY: this operation's values are pointers.
        return unsafe { get_interface(object, out.cast()) };
    }
    let (code, value) = match object.mind(Slot::Result) {
        None if object.state.get() == 1 => (NTSTATUS::SUCCESS, Some(object.value(0))),
        None => (object.stored(), Some(0)),
        Some((code, answer)) => (code, (!answer.silent).then(|| object.value(answer.value))),
    };
    if let Some(value) = value {
        let bytes = value.to_le_bytes();
        // SAFETY: a client's `out` has room for a value, which is not larger than this.
        unsafe { out.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), object.kind.size()) };
    }
    world::with(|world| say(world, Said::Result(code, value, Gift::None)));
    code
}

/// The same where the values are interfaces: with each goes a reference.
///
/// # Safety
/// A client's `out`.
unsafe fn get_interface(object: &Hostile, out: *mut *mut c_void) -> NTSTATUS {
    let thing = &object.thing;
    let (code, pointer) = match object.mind(Slot::Result) {
        None if object.state.get() == 1 => (NTSTATUS::SUCCESS, Some(thing.give())),
        None => (object.stored(), Some(null_mut())),
        Some((code, Answer { silent: true, .. })) => (code, None),
        Some((NTSTATUS::SUCCESS, answer)) => {
            (NTSTATUS::SUCCESS, Some(if answer.value == 0 { null_mut() } else { thing.give() }))
        }
        // With any other answer it is no pointer, whatever is there.
        Some((code, answer)) => (code, Some(without_provenance_mut(usize::from(answer.value)))),
    };
    if let Some(pointer) = pointer {
        // SAFETY: this function's contract.
        unsafe { out.write(pointer) };
    }
    let gift = match pointer {
        Some(pointer) if pointer == thing.this() && thing.is_whole() => Gift::Whole,
        Some(pointer) if pointer == thing.this() => Gift::Broken,
        _ => Gift::None,
    };
    world::with(|world| {
        if gift != Gift::None && object.nobody_counts(world) {
            thing.may_be_lost();
        }
        say(world, Said::Result(code, pointer.map(|pointer| pointer.addr() as u128), gift));
    });
    code
}

unsafe extern "system" fn cancel(this: *mut c_void) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL>(this) };
    let code = object.mind(Slot::Cancel).map_or(NTSTATUS::SUCCESS, |(code, _)| code);
    world::with(|world| say(world, Said::Cancel(code)));
    code
}

unsafe extern "system" fn get_error(this: *mut c_void, out: *mut NTSTATUS) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL>(this) };
    let (code, error) = match object.mind(Slot::Error) {
        None => (NTSTATUS::SUCCESS, Some(object.stored())),
        Some((code, answer)) => {
            let error = CODES[usize::from((answer.value * 2) | (answer.code & 1))];
            (code, (!answer.silent).then_some(error))
        }
    };
    if let Some(error) = error {
        // SAFETY: a client's `out` is writable.
        unsafe { out.write(error) };
    }
    world::with(|world| say(world, Said::Error(code, error)));
    code
}

unsafe extern "system" fn set_completed(
    this: *mut c_void,
    handler: Option<CompletedHandler>,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL>(this) };
    let Some(handler) = handler else { ntsim::fail("C14", "the client sets no handler".into()) };
    let given = Given { object: object.number, handler, context: context.addr() };
    let ended = object.state.get() != 0;
    let (code, calls) = match object.mind(Slot::SetCompleted) {
        None if object.accepted.replace(true) => (NTSTATUS::INVALID_DEVICE_STATE, 0),
        None => (NTSTATUS::SUCCESS, usize::from(ended)),
        Some((code, answer)) => (code, usize::from(answer.value & 3).min(2)),
    };
    world::with(|world| {
        world.given.borrow_mut().push(given);
        if ntsim::current_processor() == 0 && ntsim::irql() == 0 {
            world.registered.set(Some(given.context));
        }
        for _ in 0..calls {
            call_back(world, given, object.state.get());
        }
        say(world, Said::SetCompleted(code));
    });
    code
}

/// The other side calls a handler.
pub(crate) fn call_back(world: &World, given: Given, status: i32) {
    world.called.borrow_mut().push(given.context);
    // SAFETY: the handler is the client's, which says that it may be called with anything; a ticket is a number.
    unsafe { (given.handler)(without_provenance_mut(given.context), AsyncStatus(status)) };
}

unsafe extern "system" fn wait(this: *mut c_void, _timeout: *const i64) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL>(this) };
    let honest = if object.state.get() == 0 { NTSTATUS::TIMEOUT } else { NTSTATUS::SUCCESS };
    let code = object.mind(Slot::Wait).map_or(honest, |(code, _)| code);
    world::with(|world| say(world, Said::Wait(code)));
    code
}

unsafe extern "system" fn get_result_size(this: *mut c_void, size: *mut u32) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL>(this) };
    let (code, value) = match object.mind(Slot::Size) {
        None => (NTSTATUS::SUCCESS, Some(object.kind.size() as u32)),
        Some((code, answer)) => (code, (!answer.silent).then(|| SIZES[usize::from(answer.value)])),
    };
    if let Some(value) = value {
        // SAFETY: a client's `size` is writable.
        unsafe { size.write(value) };
    }
    world::with(|world| say(world, Said::Size(code, value)));
    code
}
