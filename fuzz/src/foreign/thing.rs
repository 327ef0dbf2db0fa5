//! The interface that an operation yields. Its object belongs to the other side, and is as little
//! to be trusted.

use core::{
    cell::{Cell, UnsafeCell},
    ffi::c_void,
    ptr::{null, null_mut, without_provenance_mut},
};

use ntcom::{GUID, IUnknown, IUnknownRaw, IUnknownVtbl, Interface as _, NTSTATUS, declare_com_interface};

use super::{
    input::{CODES, Defect},
    reply::Reply,
    world,
};

declare_com_interface! {
    /// The interface of the yielded object.
    pub trait IThing: IUnknown {
        const IID: GUID = GUID::from_u128(0x5eed_0200);
        /// The number of the operation that yields it.
        fn number(&self) -> u32;
    }
}

/// The yielded object. It stays until the run is over.
#[repr(C)]
pub(crate) struct YieldedObject {
    interface: UnsafeCell<IThingRaw>,
    table: UnsafeCell<IThingVtbl>,
    number: usize,
    references: Cell<u32>,
    /// References that the client has lost, as the contract allows.
    lost: Cell<u32>,
    /// Whether references may be lost that cannot be counted.
    leaky: Cell<bool>,
    /// The status that QueryInterface answers instead of the truth.
    lies: Cell<Option<NTSTATUS>>,
}

impl YieldedObject {
    /// Creates the object without a reference. It is not yet at its final address.
    pub(super) fn new(number: usize) -> Self {
        let base =
            IUnknownVtbl { QueryInterface: Some(query), AddRef: Some(add_ref), Release: Some(release) };
        Self {
            interface: UnsafeCell::new(IThingRaw { vtbl: null() }),
            table: UnsafeCell::new(IThingVtbl { base, number: Some(slot_number) }),
            number,
            references: Cell::new(0),
            lost: Cell::new(0),
            leaky: Cell::new(false),
            lies: Cell::new(None),
        }
    }

    /// Sets the table pointer, once the object is at its final address.
    pub(super) fn stays(&self) {
        self.interface().vtbl = self.table.get();
    }

    #[expect(clippy::mut_from_ref, reason = "no reference to it lives longer than a statement")]
    fn interface(&self) -> &mut IThingRaw {
        // SAFETY: the client reads the interface through its pointer, and keeps no reference. One
        // thread at a time runs.
        unsafe { &mut *self.interface.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "no reference to it lives longer than a statement")]
    fn table(&self) -> &mut IThingVtbl {
        // SAFETY: the client copies a slot out of the table before it makes a call, and keeps no
        // reference. One thread at a time runs.
        unsafe { &mut *self.table.get() }
    }

    /// The pointer to its interface.
    pub(super) fn this(&self) -> *mut c_void {
        self.interface.get().cast()
    }

    /// Adds a reference, which goes with the pointer to the client.
    pub(super) fn give(&self) -> *mut c_void {
        self.references.set(self.references.get() + 1);
        self.this()
    }

    /// Whether the client can hold it.
    pub(super) fn is_whole(&self) -> bool {
        let IUnknownVtbl { QueryInterface, AddRef, Release } = self.table().base;
        self.has_table() && QueryInterface.is_some() && AddRef.is_some() && Release.is_some()
    }

    fn has_table(&self) -> bool {
        !self.interface().vtbl.is_null()
    }

    /// Whether the client can query it.
    pub(super) fn can_be_asked(&self) -> bool {
        self.has_table() && self.table().base.QueryInterface.is_some()
    }

    /// The answer of its method. `None` if there is no slot.
    pub(super) fn answers(&self) -> Option<u32> {
        (self.has_table() && self.table().number.is_some()).then_some(self.number as u32)
    }

    /// Gives it a defect, from now on.
    pub(super) fn has(&self, defect: Defect) {
        let table = self.table();
        match defect {
            Defect::Vanished => self.interface().vtbl = null(),
            Defect::NoQuery => table.base.QueryInterface = None,
            Defect::NoAddRef => table.base.AddRef = None,
            Defect::NoRelease => table.base.Release = None,
            Defect::NoMethod => table.number = None,
            Defect::Lies(code) => return self.lies.set(Some(CODES[usize::from(code)])),
        }
        if defect != Defect::NoMethod {
            self.may_be_lost();
        }
    }

    /// Counts a reference that the client lost, because it came with a breach of the contract.
    pub(super) fn lose(&self) {
        self.lost.set(self.lost.get() + 1);
    }

    /// Allows the client to lose references from now on.
    pub(super) fn may_be_lost(&self) {
        self.leaky.set(true);
    }

    /// The references that have not been given up or lost.
    pub(super) fn left(&self) -> u32 {
        let left = self.references.get().saturating_sub(self.lost.get());
        if self.leaky.get() { 0 } else { left }
    }
}

/// # Safety
/// `this` is the interface of such an object.
unsafe fn thing<'a>(this: *mut c_void) -> &'a YieldedObject {
    // SAFETY: the caller passes the interface of a `YieldedObject`, which begins with it and stays
    // until the run is over.
    let thing = unsafe { &*this.cast_const().cast::<YieldedObject>() };
    if thing.references.get() == 0 {
        ntsim::fail(
            "C3",
            format!("the thing of object {} is used after its last reference was released", thing.number),
        );
    }
    thing
}

unsafe extern "system" fn query(this: *mut c_void, iid: *const GUID, out: *mut *mut c_void) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let thing = unsafe { thing(this) };
    // SAFETY: a client's `iid` is readable.
    let known = matches!(unsafe { iid.read() }, IUnknownRaw::IID | IThingRaw::IID);
    let (code, found) = match thing.lies.get() {
        None if known => (NTSTATUS::SUCCESS, thing.give()),
        None => (NTSTATUS::NOINTERFACE, null_mut()),
        Some(NTSTATUS::SUCCESS) => (NTSTATUS::SUCCESS, null_mut()),
        // With any other status the client must not use the pointer, so it may be invalid.
        Some(code) => (code, without_provenance_mut(1)),
    };
    let gives = code == NTSTATUS::SUCCESS && !found.is_null();
    world::with(|world| world.record(Reply::Query(code, gives)));
    // SAFETY: a client's `out` is writable.
    unsafe { out.write(found) };
    code
}

unsafe extern "system" fn add_ref(this: *mut c_void) -> u32 {
    // SAFETY: a client calls a slot with its own interface.
    let thing = unsafe { thing(this) };
    thing.give();
    thing.references.get()
}

unsafe extern "system" fn release(this: *mut c_void) -> u32 {
    // SAFETY: a client calls a slot with its own interface.
    let thing = unsafe { thing(this) };
    if thing.references.get() <= thing.lost.get() {
        ntsim::fail("C3", format!("the thing of object {} is released too often", thing.number));
    }
    thing.references.set(thing.references.get() - 1);
    thing.references.get()
}

unsafe extern "system" fn slot_number(this: *mut c_void) -> u32 {
    // SAFETY: a client calls a slot with its own interface.
    unsafe { thing(this) }.number as u32
}
