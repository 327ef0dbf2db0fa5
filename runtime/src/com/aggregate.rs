//! Aggregation: an object whose interfaces belong to another one.
//!
//! An *inner* object has an IUnknown of its own, which counts it and is its outer object's alone, and interfaces whose first three slots are
//! the outer object's: for a client there is one object. The outer one answers QueryInterface with them where it has no such interface itself.
//! So whatever holds a part but its outer object holds the whole: a client, a body of an async method `[C19]`, a [`This`](super::This).

use core::{ffi::c_void, marker::PhantomData, mem::offset_of, ptr::NonNull};

use super::{
    ComObject, ComRc, GUID, IUnknown, IUnknownRaw, IUnknownVtbl, Interface, Interfaces,
    block::{self, CountedBy, Front, Itself},
    interfaces::Made,
    place::{Alone, Kind, Place, add_ref, beyond, release},
    unknown::answer_query,
};
use crate::{Init, NTSTATUS, NonPaged};

/// The interfaces `S` of an object that aggregates others: those of its inner objects, too. See [`Aggregates`].
///
/// ```
/// use core::ptr::NonNull;
/// use ntcom::{
///     Aggregates, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, IUnknownRaw, Inner, Outer, alloc::init_with,
///     declare_com_interface,
/// };
///
/// declare_com_interface! {
///     /// The outer object's.
///     pub trait IDevice: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a0b);
///         /// Its number.
///         fn number(&self) -> u32;
///     }
/// }
/// declare_com_interface! {
///     /// The inner object's.
///     pub trait IPower: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a0c);
///         /// In milliwatts.
///         fn power(&self) -> u32;
///     }
/// }
/// struct Power;
/// impl IPower for Power {
///     fn power(&self) -> u32 { 250 }
/// }
/// struct Device { power: Inner }
/// impl IDevice for Device {
///     fn number(&self) -> u32 { 7 }
/// }
/// impl Aggregates for Device {
///     fn inner(&self, _iid: &GUID) -> Option<&Inner> { Some(&self.power) }
/// }
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let make = |outer: NonNull<IUnknownRaw>| init_with(move || {
///     // SAFETY: the device keeps it, and drops it with itself.
///     let power = unsafe { ComObject::<_, IPowerRaw>::aggregated_in(outer, GlobalAllocator, init_with(|| Ok(Power))) }?;
///     Ok(Device { power })
/// });
/// let device = ComObject::<Device, Outer<IDeviceRaw>>::init_outer_in(GlobalAllocator, make).unwrap();
/// let power: ComRc<IPowerRaw> = device.query().unwrap();
/// drop(device);
/// assert_eq!(power.power(), Ok(250));
/// let device: ComRc<IDeviceRaw> = power.query().unwrap();
/// assert_eq!(device.number(), Ok(7));
/// # }))]).unwrap();
/// ```
pub struct Outer<S>(PhantomData<S>);

/// A value whose object is made of others, too.
///
/// ```
/// use ntcom::{Aggregates, GUID, Inner};
///
/// struct Device { power: Inner, clock: Inner, clock_iid: GUID }
/// impl Aggregates for Device {
///     fn inner(&self, iid: &GUID) -> Option<&Inner> {
///         Some(if *iid == self.clock_iid { &self.clock } else { &self.power })
///     }
/// }
/// ```
pub trait Aggregates: IUnknown {
    /// The inner object to be asked for an interface that the object itself does not have. Always the same answer for the same IID: what an
    /// object has never changes `[C2]`. IRQL: QueryInterface's, ≤ DISPATCH_LEVEL.
    fn inner(&self, iid: &GUID) -> Option<&Inner>;
}

// SAFETY: the tables and answers of `S`, and beyond them what inner objects answer for.
unsafe impl<T: Aggregates, S: Interfaces<T>> Interfaces<T> for Outer<S> {
    type Primary = S::Primary;
    type Tables = S::Tables;
    type __Made<O: Kind<T>> = S::__Made<O>;

    fn __index(iid: &GUID) -> Option<usize> {
        S::__index(iid)
    }

    fn __beyond(value: &T, iid: &GUID) -> Option<*mut c_void> {
        let inner = ntcom_exec::no_unwind(|| value.inner(iid));
        inner.and_then(|inner| inner.interface(iid)).or_else(|| S::__beyond(value, iid))
    }
}

/// The inner object of an aggregate, as its outer object holds it: one reference to its own IUnknown.
///
/// `Send` and `Sync`. Dropping it releases the reference, and with the last one the inner object goes. See [`Outer`].
///
/// ```
/// fn kept_by_any_processor<T: Send + Sync>() {}
/// kept_by_any_processor::<ntcom::Inner>();
/// ```
#[derive(Debug)]
pub struct Inner(ComRc<IUnknownRaw>);

// SAFETY: the duty of whoever made it.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Inner {
    /// Takes over the reference that a factory of somebody else's returned for an outer object of ours.
    ///
    /// # Errors
    /// As for [`ComRc::from_raw`].
    ///
    /// # Safety
    /// Null, or the IUnknown of an object that was made for the outer object which keeps the result, with a reference; it may be used on any
    /// processor.
    ///
    /// ```
    /// use ntcom::{IUnknownRaw, Inner, NTSTATUS};
    ///
    /// /// What a factory in C has made.
    /// ///
    /// /// # Safety
    /// /// Null, or an inner object with a reference.
    /// unsafe fn take(made: *mut IUnknownRaw) -> Result<Inner, NTSTATUS> {
    ///     // SAFETY: this function's contract.
    ///     unsafe { Inner::from_raw(made) }
    /// }
    /// # // SAFETY: null is allowed.
    /// # assert!(unsafe { take(core::ptr::null_mut()) }.is_err());
    /// ```
    pub unsafe fn from_raw(raw: *mut IUnknownRaw) -> Result<Self, NTSTATUS> {
        // SAFETY: this function's contract.
        unsafe { ComRc::from_raw(raw) }.map(Self)
    }

    /// Gives the reference out: what a factory returns to an outer object of somebody else's. IRQL: any.
    ///
    /// ```
    /// use core::ptr::{NonNull, null_mut};
    /// use ntcom::{ComObject, GlobalAllocator, IUnknownRaw, Inner, pin_init};
    ///
    /// /// Makes a part; null: there is no memory.
    /// ///
    /// /// # Safety
    /// /// `outer` is the caller's IUnknown, which keeps the result until it is destroyed.
    /// unsafe extern "system" fn part(outer: NonNull<IUnknownRaw>) -> *mut IUnknownRaw {
    ///     // SAFETY: this function's contract.
    ///     let part = unsafe { ComObject::<u32, IUnknownRaw>::aggregated_in(outer, GlobalAllocator, pin_init!(5)) };
    ///     part.map_or(null_mut(), Inner::into_raw)
    /// }
    /// ```
    #[must_use]
    pub fn into_raw(self) -> *mut IUnknownRaw {
        self.0.into_raw()
    }

    /// An interface of the aggregate, AddRef'd, if this object has it. Its own IUnknown is not for clients.
    fn interface(&self, iid: &GUID) -> Option<*mut c_void> {
        if *iid == IUnknownRaw::IID {
            return None;
        }
        self.0.query_raw(iid).ok().map(NonNull::as_ptr)
    }
}

impl<T, S, A> ComObject<T, S, A> {
    /// An object whose initialiser is made from the object's own IUnknown: for one that makes inner objects. IRQL: ≤ DISPATCH_LEVEL, and what
    /// the initialiser needs.
    ///
    /// The pointer is without a reference, and good until the object is destroyed; but until this function has returned there is no object behind
    /// it, so an inner object keeps it and does not call it.
    ///
    /// # Errors
    /// As for [`init_in`](Self::init_in).
    ///
    /// See [`Outer`] for an example.
    ///
    /// ```
    /// # use ntcom::{ComObject, GlobalAllocator, IUnknownRaw, alloc::init_with};
    /// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
    /// # kernel.run(vec![(0, Box::new(|| {
    /// /// Knows where it is.
    /// struct Located(usize);
    /// let make = |this: core::ptr::NonNull<IUnknownRaw>| init_with(move || Ok(Located(this.addr().get())));
    /// let object = ComObject::<Located, IUnknownRaw>::init_outer_in(GlobalAllocator, make);
    /// # assert!(object.is_ok());
    /// # }))]).unwrap();
    /// ```
    pub fn init_outer_in<I: Init<T, NTSTATUS>>(
        allocator: A,
        make: impl FnOnce(NonNull<IUnknownRaw>) -> I,
    ) -> Result<ComRc<S::Primary>, NTSTATUS>
    where
        T: IUnknown,
        S: Interfaces<T>,
        A: NonPaged + Send + 'static,
    {
        let front = <S::__Made<Alone<S>>>::TABLES;
        let init = |block: NonNull<Front<S::Tables, T>>| make(block.cast());
        let object = block::make::<_, _, _, _, Itself>(front, allocator, init)?;
        // SAFETY: a new object of these interfaces, whose one reference this is; it begins with the primary one.
        unsafe { ComRc::from_raw(object.cast().as_ptr()) }
    }

    /// An inner object, for the aggregate whose IUnknown is `outer`. IRQL: ≤ DISPATCH_LEVEL, and what the initialiser needs.
    ///
    /// QueryInterface, AddRef and Release of its interfaces are the outer object's; what is returned is the only way to itself. Each body of its async
    /// methods, and each [`This`](super::This) of it, has a reference to the outer object `[C19]`: so a body may use that, too, through a pointer that the value keeps,
    /// though nobody else holds it any more.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory, and nothing has been built; `STATUS_DRIVER_INTERNAL_ERROR`: the outer object's
    /// table, or one of its first three slots, is null; else what the initialiser says.
    ///
    /// # Safety
    /// 1. `outer` is an object's IUnknown, whose table stays where it is; the pointer is good as long as anybody has an interface of the inner object.
    ///    AddRef and Release may be called at DISPATCH_LEVEL, on any processor: there a body is dropped that may have the last reference.
    /// 2. Who keeps the result is that object, or a part of it, until it is destroyed.
    ///
    /// See [`Outer`] for an example.
    ///
    /// ```
    /// use core::ptr::NonNull;
    /// use ntcom::{ComObject, GlobalAllocator, IUnknownRaw, Inner, NTSTATUS, pin_init};
    ///
    /// /// A part of an aggregate that only has IUnknown.
    /// ///
    /// /// # Safety
    /// /// `outer` keeps it.
    /// unsafe fn part(outer: NonNull<IUnknownRaw>) -> Result<Inner, NTSTATUS> {
    ///     // SAFETY: this function's contract.
    ///     unsafe { ComObject::<u32, IUnknownRaw>::aggregated_in(outer, GlobalAllocator, pin_init!(5)) }
    /// }
    /// ```
    ///
    /// The last reference may go in a DPC, a body's, and the blocks of the aggregate with it: an allocator of memory that may be paged out is refused.
    ///
    /// ```compile_fail,E0277
    /// # use core::ptr::NonNull;
    /// # use ntcom::{ComObject, IUnknownRaw, Inner, NTSTATUS, pin_init};
    /// use ntcom_exec::PagedPoolAllocator;
    ///
    /// # unsafe fn part(outer: NonNull<IUnknownRaw>) -> Result<Inner, NTSTATUS> {
    /// let paged = PagedPoolAllocator::with_tag(*b"Part");
    /// # // SAFETY: this function's contract.
    /// unsafe { ComObject::<u32, IUnknownRaw, _>::aggregated_in(outer, paged, pin_init!(5)) }
    /// # }
    /// ```
    pub unsafe fn aggregated_in(
        outer: NonNull<IUnknownRaw>,
        allocator: A,
        init: impl Init<T, NTSTATUS>,
    ) -> Result<Inner, NTSTATUS>
    where
        T: IUnknown,
        S: Interfaces<T>,
        A: NonPaged + Send + 'static,
    {
        // SAFETY: this function's contract.
        unsafe { slots(outer) }.ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR)?;
        let unknown: *const IUnknownVtbl = const { &<Own<S> as Place<T>>::UNKNOWN };
        let front = Aggregated { unknown, outer, tables: <S::__Made<Inside<S>>>::TABLES };
        let init = |_: NonNull<Front<Aggregated<S::Tables>, T>>| init;
        let object = block::make::<_, _, _, _, ByOuter>(front, allocator, init)?;
        // SAFETY: a new object, which begins with its own IUnknown, and whose one reference this is.
        unsafe { Inner::from_raw(object.cast().as_ptr()) }
    }
}

/// The front of an inner object.
#[repr(C)]
struct Aggregated<Tables> {
    /// The table of its own IUnknown.
    unknown: *const IUnknownVtbl,
    outer: NonNull<IUnknownRaw>,
    tables: Tables,
}

/// Its outer object counts it.
struct ByOuter;

// SAFETY: the pointer stands there, and is good as long as somebody has a reference: `aggregated_in`'s caller has promised it.
unsafe impl<Tables, T> CountedBy<Aggregated<Tables>, T> for ByOuter {
    const WHOLE: Option<usize> =
        Some(offset_of!(Front<Aggregated<Tables>, T>, core) - offset_of!(Aggregated<Tables>, outer));
}

/// The first three slots of the outer object, if they are there: QueryInterface, AddRef, Release.
///
/// # Safety
/// It lives.
unsafe fn slots(outer: NonNull<IUnknownRaw>) -> Option<IUnknownVtbl> {
    // SAFETY: this function's contract.
    let table = unsafe { outer.as_ref() }.vtbl;
    // SAFETY: null, or its table.
    let table = unsafe { table.as_ref() }.copied()?;
    let complete = table.QueryInterface.is_some() && table.AddRef.is_some() && table.Release.is_some();
    complete.then_some(table)
}

/// The own IUnknown of inner objects with interfaces `S`.
struct Own<S>(PhantomData<S>);

// SAFETY: it stands at the beginning of the block, and the core after the front; the slots undo that.
unsafe impl<T: 'static, S: Interfaces<T>> Place<T> for Own<S> {
    const CORE: usize = offset_of!(Front<Aggregated<S::Tables>, T>, core);
    const UNKNOWN: IUnknownVtbl = IUnknownVtbl {
        QueryInterface: Some(own_query_interface::<T, S>),
        AddRef: Some(add_ref::<T, Self>),
        Release: Some(release::<T, Self>),
    };
}

/// Inner objects with interfaces `S`.
struct Inside<S>(PhantomData<S>);

impl<T: 'static, S: Interfaces<T>> Kind<T> for Inside<S> {
    type At<const K: usize> = Delegating<S, K>;
}

/// The `K`-th interface of an inner object.
struct Delegating<S, const K: usize>(PhantomData<S>);

/// Where the tables of an inner object stand in its block.
const fn tables<Tables>() -> usize {
    offset_of!(Aggregated<Tables>, tables)
}

// SAFETY: the tables stand side by side in the front, and the core after it; the slots undo that.
unsafe impl<T: 'static, S: Interfaces<T>, const K: usize> Place<T> for Delegating<S, K> {
    const CORE: usize = offset_of!(Front<Aggregated<S::Tables>, T>, core)
        - tables::<S::Tables>()
        - K * size_of::<*const c_void>();
    const UNKNOWN: IUnknownVtbl = IUnknownVtbl {
        QueryInterface: Some(outer_query_interface::<S::Tables, K>),
        AddRef: Some(outer_add_ref::<S::Tables, K>),
        Release: Some(outer_release::<S::Tables, K>),
    };
}

/// QueryInterface of the inner object itself: its IUnknown counts it, and its other interfaces the outer object.
unsafe extern "system" fn own_query_interface<T: 'static, S: Interfaces<T>>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    let interface = |iid: GUID| {
        if iid == IUnknownRaw::IID {
            // SAFETY: a slot's contract.
            unsafe { add_ref::<T, Own<S>>(this) };
            return Some(this);
        }
        let Some(index) = S::__index(&iid) else {
            // SAFETY: a slot's contract.
            return unsafe { beyond::<T, S, Own<S>>(this, &iid) };
        };
        let offset = tables::<S::Tables>() + index * size_of::<*const c_void>();
        // SAFETY: the interface stands there in the block.
        let found = unsafe { this.byte_add(offset) };
        // SAFETY: as above: the block begins with its front.
        let outer = unsafe { &*this.cast_const().cast::<Aggregated<S::Tables>>() }.outer;
        // SAFETY: the outer object lives while its part is used.
        unsafe { call_add_ref(outer) };
        Some(found)
    };
    // SAFETY: a slot's contract.
    unsafe { answer_query(iid, out, interface) }
}

/// The outer object of the `K`-th interface.
///
/// # Safety
/// `this` is that interface.
unsafe fn outer<Tables, const K: usize>(this: *mut c_void) -> NonNull<IUnknownRaw> {
    let back = tables::<Tables>() + K * size_of::<*const c_void>();
    // SAFETY: the interface stands there in the block.
    let front = unsafe { this.byte_sub(back) };
    // SAFETY: as above.
    unsafe { &*front.cast_const().cast::<Aggregated<Tables>>() }.outer
}

/// AddRef of the outer object.
///
/// # Safety
/// It lives.
pub(super) unsafe fn call_add_ref(outer: NonNull<IUnknownRaw>) -> u32 {
    // SAFETY: this function's contract.
    match unsafe { slots(outer) }.and_then(|table| table.AddRef) {
        // SAFETY: as above.
        Some(slot) => unsafe { slot(outer.as_ptr().cast()) },
        // It was there when this object was made: the other side corrupts its own tables.
        None => ntcom_exec::fail_fast_corrupt_interface(),
    }
}

/// Release of the outer object.
///
/// # Safety
/// The caller has a reference to it, which is gone afterwards.
pub(super) unsafe fn call_release(outer: NonNull<IUnknownRaw>) -> u32 {
    // SAFETY: this function's contract.
    match unsafe { slots(outer) }.and_then(|table| table.Release) {
        // SAFETY: as above.
        Some(slot) => unsafe { slot(outer.as_ptr().cast()) },
        None => ntcom_exec::fail_fast_corrupt_interface(),
    }
}

unsafe extern "system" fn outer_query_interface<Tables, const K: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let outer = unsafe { outer::<Tables, K>(this) };
    // SAFETY: the client has a reference to the aggregate.
    match unsafe { slots(outer) }.and_then(|table| table.QueryInterface) {
        // SAFETY: as above; the rest is a slot's contract.
        Some(slot) => unsafe { slot(outer.as_ptr().cast(), iid, out) },
        None => ntcom_exec::fail_fast_corrupt_interface(),
    }
}

unsafe extern "system" fn outer_add_ref<Tables, const K: usize>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let outer = unsafe { outer::<Tables, K>(this) };
    // SAFETY: the client has a reference to the aggregate.
    unsafe { call_add_ref(outer) }
}

unsafe extern "system" fn outer_release<Tables, const K: usize>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let outer = unsafe { outer::<Tables, K>(this) };
    // SAFETY: the client's reference, which is gone afterwards.
    unsafe { call_release(outer) }
}
