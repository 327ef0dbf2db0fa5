//! Aggregation, by which one object is made of an outer object and inner objects.
//!
//! An *inner* object has an IUnknown of its own, which counts the inner object itself and is used
//! by its outer object only. The first three slots of its other interfaces belong to the outer
//! object, so a client sees one object. The outer object answers QueryInterface with these
//! interfaces where it has no such interface itself. So every holder of a part, except its outer
//! object, holds the whole aggregate. Such a holder is a client, a body of an async method `[C19]`,
//! or a [`This`](super::This).

use core::{ffi::c_void, marker::PhantomData, mem::offset_of, ptr::NonNull};

use super::{
    ComObject, ComRc, GUID, IUnknown, IUnknownRaw, IUnknownVtbl, Interface, Interfaces,
    block::{self, CountedBy, Front, Itself},
    interface_slot::{InterfaceSlot, ObjectLayout, Standalone, add_ref, query_extra, release},
    interfaces::BuiltTables,
    unknown::{answer_query, call_add_ref, call_release, slots},
};
use crate::{Init, NTSTATUS, NonPaged};

/// The interfaces `S` of an object that aggregates others, with those of its inner objects.
///
/// See [`Aggregates`].
///
/// ```
/// use core::ptr::NonNull;
/// use ntcom::{
///     Aggregates, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, IUnknownRaw, Inner, Outer, alloc::init_with,
///     declare_com_interface,
/// };
///
/// declare_com_interface! {
///     /// The outer object's interface.
///     pub trait IDevice: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a0b);
///         /// The device's number.
///         fn number(&self) -> u32;
///     }
/// }
/// declare_com_interface! {
///     /// The inner object's interface.
///     pub trait IPower: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a0c);
///         /// The power in milliwatts.
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
/// # kernel.run_on(0, || {
/// let make = |outer: NonNull<IUnknownRaw>| init_with(move || {
///     // SAFETY: the device keeps `power`, and drops it with itself.
///     let power = unsafe { ComObject::<_, IPowerRaw>::aggregated_in(outer, GlobalAllocator, init_with(|| Ok(Power))) }?;
///     Ok(Device { power })
/// });
/// let device = ComObject::<Device, Outer<IDeviceRaw>>::init_outer_in(GlobalAllocator, make).unwrap();
/// let power: ComRc<IPowerRaw> = device.query().unwrap();
/// drop(device);
/// assert_eq!(power.power(), Ok(250));
/// let device: ComRc<IDeviceRaw> = power.query().unwrap();
/// assert_eq!(device.number(), Ok(7));
/// # }).unwrap();
/// ```
pub struct Outer<S>(PhantomData<S>);

/// A value with an object that aggregates inner objects. See [`Outer`] for an example of both.
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
    /// Returns the inner object to ask for an interface that the object itself does not have.
    ///
    /// The answer must always be the same for the same IID, because the set of an object's
    /// interfaces never changes `[C2]`. IRQL: that of QueryInterface, ≤ DISPATCH_LEVEL.
    fn inner(&self, iid: &GUID) -> Option<&Inner>;
}

// SAFETY: the tables and answers are those of `S`. Further answers come from inner objects,
// which give out an AddRef'd interface of the aggregate.
unsafe impl<T: Aggregates, S: Interfaces<T>> Interfaces<T> for Outer<S> {
    type Primary = S::Primary;
    type Tables = S::Tables;
    type __BuiltTables<O: ObjectLayout<T>> = S::__BuiltTables<O>;

    fn __index(iid: &GUID) -> Option<usize> {
        S::__index(iid)
    }

    fn __query_extra(value: &T, iid: &GUID) -> Option<*mut c_void> {
        let inner = ntcom_exec::no_unwind(|| value.inner(iid));
        inner.and_then(|inner| inner.interface(iid)).or_else(|| S::__query_extra(value, iid))
    }
}

/// An outer object's reference to its inner object's own IUnknown.
///
/// It is `Send` and `Sync`. Dropping it releases the reference, and the last reference destroys the
/// inner object. See [`Outer`].
#[derive(Debug)]
pub struct Inner(ComRc<IUnknownRaw>);

// SAFETY: the caller of `from_raw` promised that the object may be used on any processor. An object
// from `aggregated_in` may, because `T: IUnknown` is `Send` and `Sync`.
unsafe impl Send for Inner {}
// SAFETY: `Send` has the object's promise: use on any processor, several at once included.
unsafe impl Sync for Inner {}

impl Inner {
    /// Takes over the reference that a foreign factory returned for an outer object of ours. IRQL:
    /// any.
    ///
    /// # Errors
    /// As for [`ComRc::from_raw`].
    ///
    /// # Safety
    /// `raw` is null, or the IUnknown of an inner object, with a reference. The inner object was
    /// made for the outer object that keeps the result, and may be used on any processor.
    pub unsafe fn from_raw(raw: *mut IUnknownRaw) -> Result<Self, NTSTATUS> {
        // SAFETY: the caller passes null, or an inner object's IUnknown with a reference.
        unsafe { ComRc::from_raw(raw) }.map(Self)
    }

    /// Returns the pointer with its reference, for a factory to return to a foreign outer object.
    /// IRQL: any.
    ///
    /// ```
    /// use core::ptr::{NonNull, null_mut};
    /// use ntcom::{ComObject, GlobalAllocator, IUnknownRaw, Inner, pin_init};
    ///
    /// /// Makes a part, and returns null if there is no memory.
    /// ///
    /// /// # Safety
    /// /// `outer` is the IUnknown of the caller, which keeps the result until it is destroyed.
    /// unsafe extern "system" fn part(outer: NonNull<IUnknownRaw>) -> *mut IUnknownRaw {
    ///     // SAFETY: the caller keeps the part, and `outer` is its IUnknown.
    ///     let part = unsafe { ComObject::<u32, IUnknownRaw>::aggregated_in(outer, GlobalAllocator, pin_init!(5)) };
    ///     part.map_or(null_mut(), Inner::into_raw)
    /// }
    /// ```
    #[must_use]
    pub fn into_raw(self) -> *mut IUnknownRaw {
        self.0.into_raw()
    }

    /// Returns an interface of the aggregate, AddRef'd, if this object has it. The object's own
    /// IUnknown is never given to clients.
    fn interface(&self, iid: &GUID) -> Option<*mut c_void> {
        if *iid == IUnknownRaw::IID {
            return None;
        }
        self.0.query_raw(iid).ok().map(NonNull::as_ptr)
    }
}

impl<T, S, A> ComObject<T, S, A> {
    /// Makes an object with an initialiser that takes the object's own IUnknown.
    ///
    /// So the initialiser can make inner objects. IRQL: ≤ DISPATCH_LEVEL, and what the initialiser
    /// needs.
    ///
    /// The pointer carries no reference, and is valid until the object is destroyed. Until this
    /// function has returned, no object stands behind it, so an inner object keeps the pointer and
    /// does not call it.
    ///
    /// # Errors
    /// As for [`init_in`](Self::init_in).
    ///
    /// See [`Outer`] for an example.
    pub fn init_outer_in<I: Init<T, NTSTATUS>>(
        allocator: A,
        make: impl FnOnce(NonNull<IUnknownRaw>) -> I,
    ) -> Result<ComRc<S::Primary>, NTSTATUS>
    where
        T: IUnknown,
        S: Interfaces<T>,
        A: NonPaged + Send + 'static,
    {
        let front = <S::__BuiltTables<Standalone<S>>>::TABLES;
        let init = |block: NonNull<Front<S::Tables, T>>| make(block.cast());
        let object = block::make::<_, _, _, _, Itself>(front, allocator, init)?;
        // SAFETY: `block::make` built an object with these interfaces, the primary one first, and
        // `object` is its one reference.
        unsafe { ComRc::from_raw(object.cast().as_ptr()) }
    }

    /// Makes an inner object for the aggregate with the IUnknown `outer`. IRQL: ≤ DISPATCH_LEVEL,
    /// and what the initialiser needs.
    ///
    /// QueryInterface, AddRef and Release of the inner object's interfaces are the outer object's;
    /// only the result reaches the inner object itself. Each body of its async methods, and each
    /// [`This`](super::This) of it, holds a reference to the outer object `[C19]`. So a body may
    /// also use the outer object, through a pointer that the value keeps, when no other reference
    /// to it is left.
    ///
    /// # Errors
    /// - `STATUS_INSUFFICIENT_RESOURCES`: there is no memory, and nothing has been built.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: the outer object's table, or one of its first three slots,
    ///   is null.
    /// - Otherwise the initialiser's own error.
    ///
    /// # Safety
    /// 1. `outer` is an object's IUnknown, with a table that stays where it is. The pointer is
    ///    valid as long as a reference to an interface of the inner object is left. AddRef and
    ///    Release may be called at DISPATCH_LEVEL, on any processor, because a body is dropped
    ///    there that may have the last reference.
    /// 2. That object, or a part of it, keeps the result until it is destroyed.
    ///
    /// See [`Outer`] for an example.
    ///
    /// A body may release the last reference in a DPC, and the blocks of the aggregate are then
    /// freed there. So an allocator of memory that may be paged out is refused.
    ///
    /// ```compile_fail,E0277
    /// # use core::ptr::NonNull;
    /// # use ntcom::{ComObject, IUnknownRaw, Inner, NTSTATUS, pin_init};
    /// use ntcom_exec::PagedPoolAllocator;
    ///
    /// # unsafe fn part(outer: NonNull<IUnknownRaw>) -> Result<Inner, NTSTATUS> {
    /// let paged = PagedPoolAllocator::with_tag(*b"Part");
    /// # // SAFETY: the caller promises that `outer` keeps the part.
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
        // SAFETY: the caller promises that `outer` is an object's IUnknown.
        unsafe { slots(outer) }.ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR)?;
        let unknown: *const IUnknownVtbl = const { &<InnerUnknown<S> as InterfaceSlot<T>>::UNKNOWN };
        let front = Aggregated { unknown, outer, tables: <S::__BuiltTables<InnerLayout<S>>>::TABLES };
        let init = |_: NonNull<Front<Aggregated<S::Tables>, T>>| init;
        let object = block::make::<_, _, _, _, ByOuter>(front, allocator, init)?;
        // SAFETY: `block::make` built an object that begins with its own IUnknown, and `object` is
        // its one reference.
        unsafe { Inner::from_raw(object.cast().as_ptr()) }
    }
}

/// The front of an inner object's block.
#[repr(C)]
struct Aggregated<Tables> {
    /// The table of its own IUnknown.
    unknown: *const IUnknownVtbl,
    outer: NonNull<IUnknownRaw>,
    tables: Tables,
}

/// The inner object's references are counted by its outer object.
struct ByOuter;

// SAFETY: `outer` stands in the front, and is valid while a reference is left, as the caller of
// `aggregated_in` promised.
unsafe impl<Tables, T> CountedBy<Aggregated<Tables>, T> for ByOuter {
    const WHOLE: Option<usize> =
        Some(offset_of!(Front<Aggregated<Tables>, T>, core) - offset_of!(Aggregated<Tables>, outer));
}

/// The place of the own IUnknown of inner objects with interfaces `S`.
struct InnerUnknown<S>(PhantomData<S>);

// SAFETY: the IUnknown stands at the beginning of the block, so `CORE` is the core's offset. The
// slots take this interface of such an object.
unsafe impl<T: 'static, S: Interfaces<T>> InterfaceSlot<T> for InnerUnknown<S> {
    const CORE: usize = offset_of!(Front<Aggregated<S::Tables>, T>, core);
    const UNKNOWN: IUnknownVtbl = IUnknownVtbl {
        QueryInterface: Some(own_query_interface::<T, S>),
        AddRef: Some(add_ref::<T, Self>),
        Release: Some(release::<T, Self>),
    };
}

/// The layout of inner objects with interfaces `S`.
struct InnerLayout<S>(PhantomData<S>);

impl<T: 'static, S: Interfaces<T>> ObjectLayout<T> for InnerLayout<S> {
    type Slot<const K: usize> = Delegating<S, K>;
}

/// The place of the `K`-th interface of an inner object, with first three slots that call the outer
/// object.
struct Delegating<S, const K: usize>(PhantomData<S>);

/// The offset of the tables in an inner object's block.
const fn tables<Tables>() -> usize {
    offset_of!(Aggregated<Tables>, tables)
}

// SAFETY: the tables stand side by side in the front, so `CORE` is the distance from the `K`-th
// one to the core. The slots take this interface of such an object.
unsafe impl<T: 'static, S: Interfaces<T>, const K: usize> InterfaceSlot<T> for Delegating<S, K> {
    const CORE: usize = offset_of!(Front<Aggregated<S::Tables>, T>, core)
        - tables::<S::Tables>()
        - K * size_of::<*const c_void>();
    const UNKNOWN: IUnknownVtbl = IUnknownVtbl {
        QueryInterface: Some(outer_query_interface::<S::Tables, K>),
        AddRef: Some(outer_add_ref::<S::Tables, K>),
        Release: Some(outer_release::<S::Tables, K>),
    };
}

/// QueryInterface of the inner object itself. Its IUnknown counts the inner object, and its other
/// interfaces count the outer object.
unsafe extern "system" fn own_query_interface<T: 'static, S: Interfaces<T>>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    let interface = |iid: GUID| {
        if iid == IUnknownRaw::IID {
            // SAFETY: the caller of the slot has a reference, and `this` is the object's own
            // IUnknown.
            unsafe { add_ref::<T, InnerUnknown<S>>(this) };
            return Some(this);
        }
        let Some(index) = S::__index(&iid) else {
            // SAFETY: the caller of the slot has a reference, and `this` is the object's own
            // IUnknown.
            return unsafe { query_extra::<T, S, InnerUnknown<S>>(this, &iid) };
        };
        let offset = tables::<S::Tables>() + index * size_of::<*const c_void>();
        // SAFETY: the interface with this index stands at this offset in the block.
        let found = unsafe { this.byte_add(offset) };
        // SAFETY: `this` is the beginning of the block, which starts with its front.
        let outer = unsafe { &*this.cast_const().cast::<Aggregated<S::Tables>>() }.outer;
        // SAFETY: the outer object is alive while its part is used, as the caller of
        // `aggregated_in` promised.
        unsafe { call_add_ref(outer) };
        Some(found)
    };
    // SAFETY: the caller of the slot passes pointers that are null or valid.
    unsafe { answer_query(iid, out, interface) }
}

/// Returns the outer object of the `K`-th interface.
///
/// # Safety
/// `this` is that interface.
unsafe fn outer<Tables, const K: usize>(this: *mut c_void) -> NonNull<IUnknownRaw> {
    let back = tables::<Tables>() + K * size_of::<*const c_void>();
    // SAFETY: the `K`-th interface stands `back` bytes after the beginning of the block.
    let front = unsafe { this.byte_sub(back) };
    // SAFETY: the block begins with its front.
    unsafe { &*front.cast_const().cast::<Aggregated<Tables>>() }.outer
}

unsafe extern "system" fn outer_query_interface<Tables, const K: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface.
    let outer = unsafe { outer::<Tables, K>(this) };
    // SAFETY: the client has a reference to the aggregate.
    match unsafe { slots(outer) }.and_then(|table| table.QueryInterface) {
        // SAFETY: the client's reference keeps `outer` alive. The caller of the slot passes
        // pointers that are null or valid.
        Some(slot) => unsafe { slot(outer.as_ptr().cast(), iid, out) },
        None => ntcom_exec::fail_fast_corrupt_interface(),
    }
}

unsafe extern "system" fn outer_add_ref<Tables, const K: usize>(this: *mut c_void) -> u32 {
    // SAFETY: the caller of the slot passes this interface.
    let outer = unsafe { outer::<Tables, K>(this) };
    // SAFETY: the client has a reference to the aggregate.
    unsafe { call_add_ref(outer) }
}

unsafe extern "system" fn outer_release<Tables, const K: usize>(this: *mut c_void) -> u32 {
    // SAFETY: the caller of the slot passes this interface.
    let outer = unsafe { outer::<Tables, K>(this) };
    // SAFETY: the client gives up its reference to the aggregate.
    unsafe { call_release(outer) }
}
