//! What an operation that yields an interface hands out: an object of the other side's, which is as little to be trusted.

use core::{
    cell::{Cell, UnsafeCell},
    ffi::c_void,
    ptr::{null, null_mut, without_provenance_mut},
};

use ntcom::{GUID, IUnknown, IUnknownRaw, IUnknownVtbl, Interface as _, NTSTATUS, declare_com_interface};

use super::{
    expect::Said,
    input::{CODES, Flaw},
    slots::say,
    world,
};

declare_com_interface! {
    /// What it is.
    pub trait IThing: IUnknown {
        const IID: GUID = GUID::from_u128(0x5eed_0200);
        /// The number of the operation that it is of.
        fn number(&self) -> u32;
    }
}

/// It. It stays until the run is over.
#[repr(C)]
pub(crate) struct Thing {
    interface: UnsafeCell<IThingRaw>,
    table: UnsafeCell<IThingVtbl>,
    number: usize,
    references: Cell<u32>,
    /// References that the client has lost, as it may.
    lost: Cell<u32>,
    /// References may be lost that nobody can count.
    leaky: Cell<bool>,
    /// What QueryInterface says instead of the truth.
    lies: Cell<Option<NTSTATUS>>,
}

impl Thing {
    /// Without a reference, and not yet where it is to stay.
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

    /// It is where it stays.
    pub(super) fn stays(&self) {
        self.interface().vtbl = self.table.get();
    }

    #[expect(clippy::mut_from_ref, reason = "nobody has a reference to it for longer than a statement")]
    fn interface(&self) -> &mut IThingRaw {
        // SAFETY: the client reads it through its pointer, and keeps no reference; one thread at a time runs.
        unsafe { &mut *self.interface.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "as above")]
    fn table(&self) -> &mut IThingVtbl {
        // SAFETY: as above: the client copies a slot out before it calls anybody.
        unsafe { &mut *self.table.get() }
    }

    /// Its interface.
    pub(super) fn this(&self) -> *mut c_void {
        self.interface.get().cast()
    }

    /// One more reference, which goes with a pointer to the client.
    pub(super) fn give(&self) -> *mut c_void {
        self.references.set(self.references.get() + 1);
        self.this()
    }

    /// The client can hold it.
    pub(super) fn is_whole(&self) -> bool {
        let IUnknownVtbl { QueryInterface, AddRef, Release } = self.table().base;
        self.has_table() && QueryInterface.is_some() && AddRef.is_some() && Release.is_some()
    }

    fn has_table(&self) -> bool {
        !self.interface().vtbl.is_null()
    }

    /// The client can ask it.
    pub(super) fn can_be_asked(&self) -> bool {
        self.has_table() && self.table().base.QueryInterface.is_some()
    }

    /// What its method answers; none: there is no slot.
    pub(super) fn answers(&self) -> Option<u32> {
        (self.has_table() && self.table().number.is_some()).then_some(self.number as u32)
    }

    /// Something is wrong with it from now on.
    pub(super) fn has(&self, flaw: Flaw) {
        let table = self.table();
        match flaw {
            Flaw::Vanished => self.interface().vtbl = null(),
            Flaw::NoQuery => table.base.QueryInterface = None,
            Flaw::NoAddRef => table.base.AddRef = None,
            Flaw::NoRelease => table.base.Release = None,
            Flaw::NoMethod => table.number = None,
            Flaw::Lies(code) => return self.lies.set(Some(CODES[usize::from(code)])),
        }
        if flaw != Flaw::NoMethod {
            self.may_be_lost();
        }
    }

    /// The client has lost a reference: it came with a breach of the contract.
    pub(super) fn lose(&self) {
        self.lost.set(self.lost.get() + 1);
    }

    /// The client may lose references from now on.
    pub(super) fn may_be_lost(&self) {
        self.leaky.set(true);
    }

    /// References that nobody has given up, and nobody has lost.
    pub(super) fn left(&self) -> u32 {
        let left = self.references.get().saturating_sub(self.lost.get());
        if self.leaky.get() { 0 } else { left }
    }
}

/// # Safety
/// `this` is the interface of one of these.
unsafe fn thing<'a>(this: *mut c_void) -> &'a Thing {
    // SAFETY: this function's contract: things stay until the run is over, and begin with their interface.
    let thing = unsafe { &*this.cast_const().cast::<Thing>() };
    if thing.references.get() == 0 {
        ntsim::fail(
            "C3",
            format!("the thing of object {} is used after its last reference went", thing.number),
        );
    }
    thing
}

unsafe extern "system" fn query(this: *mut c_void, iid: *const GUID, out: *mut *mut c_void) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let thing = unsafe { thing(this) };
    // SAFETY: a client's `iid` is readable.
    let known = matches!(unsafe { iid.read() }, IUnknownRaw::IID | IThingRaw::IID);
    let (code, found) = match thing.lies.get() {
        None if known => (NTSTATUS::SUCCESS, thing.give()),
        None => (NTSTATUS::NOINTERFACE, null_mut()),
        Some(NTSTATUS::SUCCESS) => (NTSTATUS::SUCCESS, null_mut()),
        // With any other answer it is no pointer, whatever is there.
        Some(code) => (code, without_provenance_mut(1)),
    };
    let gives = code == NTSTATUS::SUCCESS && !found.is_null();
    world::with(|world| say(world, Said::Query(code, gives)));
    // SAFETY: a client's `out` is writable.
    unsafe { out.write(found) };
    code
}

unsafe extern "system" fn add_ref(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let thing = unsafe { thing(this) };
    thing.give();
    thing.references.get()
}

unsafe extern "system" fn release(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let thing = unsafe { thing(this) };
    if thing.references.get() <= thing.lost.get() {
        ntsim::fail("C3", format!("the thing of object {} is released too often", thing.number));
    }
    thing.references.set(thing.references.get() - 1);
    thing.references.get()
}

unsafe extern "system" fn slot_number(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    unsafe { thing(this) }.number as u32
}
