//! `IUnknown`, the three slots that every interface begins with.

use core::{ffi::c_void, ptr::NonNull};

use super::{
    ComRc, GUID,
    interface_slot::{InterfaceAt, InterfaceOf, InterfaceSlot, TableAt},
};
use crate::NTSTATUS;

/// The status 0x80004002, which an object that speaks HRESULT answers for an unknown interface.
///
/// An object that speaks NTSTATUS answers `STATUS_NOINTERFACE` there, and the client converts to
/// it.
pub const E_NOINTERFACE: NTSTATUS = NTSTATUS::from_u32(0x8000_4002);

/// A COM interface.
///
/// # Safety
/// The type is `repr(C)` and its first field, at offset 0, is a pointer to a table that begins with
/// the slots of [`IUnknownVtbl`]. `IID` belongs to that interface, and to no other one in the image
/// ([`iid!`](crate::iid) has the linker check that).
///
/// ```
/// use ntcom::{GUID, IUnknownVtbl, Interface, iid};
///
/// #[repr(C)]
/// struct IClockRaw { vtbl: *const IClockVtbl }
/// #[repr(C)]
/// struct IClockVtbl {
///     base: IUnknownVtbl,
///     ticks: Option<unsafe extern "system" fn(this: *mut core::ffi::c_void) -> u64>,
/// }
/// // SAFETY: the layout is as required, and this is the interface's IID.
/// unsafe impl Interface for IClockRaw {
///     const IID: GUID = iid!("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a01");
/// }
/// ```
pub unsafe trait Interface {
    /// The interface's identifier.
    const IID: GUID;

    /// Tells whether a pointer to this interface is also one to the interface with this IID.
    ///
    /// The interface itself, its bases, and IUnknown are such interfaces.
    #[must_use]
    fn answers(iid: &GUID) -> bool {
        *iid == Self::IID || *iid == IUnknownRaw::IID
    }

    /// Checks that an object's answer for this IID is of this type. Types that share an IID
    /// implement it.
    #[doc(hidden)]
    fn __check(_found: &ComRc<Self>) -> Result<(), NTSTATUS>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// An interface that its IID describes completely.
///
/// So safe code may use any object's answer for it. [`ComRc::query`] takes such interfaces.
///
/// Every interface is `Queryable` except some operations. All operations have one IID, so a query
/// for an operation of `T` may find one that yields another type of `T`'s size. That is harmless if
/// the bytes are checked when they are read (`bytemuck::CheckedBitPattern`), because every byte of
/// a value is initialised (`AsyncValueType`). Other operations, such as an operation of interfaces,
/// come only from the method that declares them.
///
/// # Safety
/// An answer of QueryInterface for the IID with `STATUS_SUCCESS` is a pointer to this interface, in
/// everything that safe code can do with it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be asked for by its IID",
    label = "the IID alone does not identify this type",
    note = "all operations have one IID, so a query takes only operations with a type that can be checked (`bytemuck::CheckedBitPattern`); \
            get others from the method that returns them, or with `ComRc::from_raw`",
    note = "for a handwritten interface, write `unsafe impl Queryable`"
)]
pub unsafe trait Queryable: Interface {}

/// An interface with a base.
///
/// Its table begins with the base's slots, so a pointer to it is also a pointer to the base.
///
/// # Safety
/// The table begins with the slots of `Base`.
pub unsafe trait Derived: Interface {
    /// The base.
    type Base: Interface;
}

/// An interface with a pointer type, `Ref`, that has the interface's methods.
///
/// Its [`ComRc`] derefs to `Ref`, and `Ref` derefs to that of the base. `declare_com_interface!`
/// implements it; an interface that is written by hand may have such a type, too.
///
/// A `&Ref` borrows a counted pointer, so the object is alive as long as it is used.
///
/// # Safety
/// `Ref` is `#[repr(transparent)]` over `ComRc<Self>`.
///
/// ```
/// use ntcom::{ComObject, ComRc, GUID, IUnknown, NTSTATUS, declare_com_interface};
///
/// declare_com_interface! {
///     /// Answers.
///     pub trait IAnswer: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a14);
///         /// The answer.
///         fn answer(&self) -> u32;
///     }
/// }
/// declare_com_interface! {
///     /// Answers, and says why.
///     pub trait IReason: IAnswer {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a15);
///         /// The reason.
///         fn reason(&self) -> u32;
///     }
/// }
/// struct Deep;
/// impl IAnswer for Deep {
///     fn answer(&self) -> u32 { 42 }
/// }
/// impl IReason for Deep {
///     fn reason(&self) -> u32 { 7 }
/// }
///
/// /// Takes a pointer to this interface, or to one that is derived from it.
/// fn ask(object: &IAnswerRef) -> Result<u32, NTSTATUS> {
///     object.answer()
/// }
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let deep: ComRc<IReasonRaw> = ComObject::<_, IReasonRaw>::new(Deep).unwrap();
/// assert_eq!((deep.reason(), deep.answer(), ask(&deep)), (Ok(7), Ok(42), Ok(42)));
/// # }).unwrap();
/// ```
pub unsafe trait Callable: Interface + Sized {
    /// The pointer type.
    type Ref;
}

/// A pointer to any declared interface, as one to IUnknown.
///
/// The pointer types of all declared interfaces deref to it.
///
/// ```
/// use ntcom::{ComRc, NTSTATUS, Queryable, com::IUnknownRef};
///
/// /// Returns whether an object has an interface.
/// fn has<I: Queryable>(object: &IUnknownRef) -> bool {
///     object.query::<I>().is_ok()
/// }
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub struct IUnknownRef(ComRc<IUnknownRaw>);

impl IUnknownRef {
    /// Returns another interface of the same object, as [`ComRc::query`] does.
    ///
    /// # Errors
    /// As for [`ComRc::query`].
    pub fn query<J: Queryable>(&self) -> Result<ComRc<J>, NTSTATUS> {
        self.0.query()
    }
}

/// The base of every declared interface.
///
/// It is implemented for all `Send + Sync + 'static` types, because any value that may be used and
/// dropped on any processor can be an object.
pub trait IUnknown: Send + Sync + 'static {}

impl<T: Send + Sync + 'static> IUnknown for T {}

/// The table of `IUnknown`, with slots at offsets 0, 8 and 16 on 64-bit.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(non_snake_case, reason = "slots keep their ABI names")]
pub struct IUnknownVtbl {
    /// Slot 0 `[C1]`: QueryInterface returns another interface of the same object, AddRef'd.
    ///
    /// A null `iid` or `out` is `STATUS_INVALID_PARAMETER`, an unknown interface
    /// `STATUS_NOINTERFACE`. On every failure a non-null `out` receives NULL. IRQL
    /// ≤ DISPATCH_LEVEL.
    pub QueryInterface: Option<
        unsafe extern "system" fn(this: *mut c_void, iid: *const GUID, out: *mut *mut c_void) -> NTSTATUS,
    >,
    /// Slot 1 `[C3]`: AddRef adds a reference. IRQL ≤ DISPATCH_LEVEL.
    pub AddRef: Option<unsafe extern "system" fn(this: *mut c_void) -> u32>,
    /// Slot 2 `[C3]`: Release gives up a reference, and returns 0 only if the object is gone. IRQL
    /// ≤ DISPATCH_LEVEL.
    pub Release: Option<unsafe extern "system" fn(this: *mut c_void) -> u32>,
}

/// The interface `IUnknown`, which is one pointer to its table.
#[repr(C)]
#[derive(Debug)]
pub struct IUnknownRaw {
    /// The table.
    pub vtbl: *const IUnknownVtbl,
}

// SAFETY: `repr(C)` with the table's pointer first; the IID is IUnknown's.
unsafe impl Interface for IUnknownRaw {
    const IID: GUID = GUID::from_u128(0x00000000_0000_0000_C000_000000000046);
}

// SAFETY: every object has IUnknown, and its slots are the same for all objects.
unsafe impl Queryable for IUnknownRaw {}

// SAFETY: `IUnknownRef` is `repr(transparent)` over this `ComRc`.
unsafe impl Callable for IUnknownRaw {
    type Ref = IUnknownRef;
}

// SAFETY: the tables consist of IUnknown's slots for place `P`.
unsafe impl<T: IUnknown> InterfaceOf<T> for IUnknownRaw {
    type __Table<P: InterfaceSlot<T>> = TableAt<Self, T, P>;
}

// SAFETY: the table consists of IUnknown's slots for place `P`.
unsafe impl<T: IUnknown, P: InterfaceSlot<T>> InterfaceAt<T, P> for IUnknownRaw {
    const VTBL: *const c_void = core::ptr::from_ref::<IUnknownVtbl>(const { &P::UNKNOWN }).cast();
}

impl IUnknownVtbl {
    /// Returns the slots of an object's interface.
    #[doc(hidden)]
    #[must_use]
    pub const fn __of<T: IUnknown, P: InterfaceSlot<T>>() -> Self {
        P::UNKNOWN
    }

    /// Tells whether IUnknown has a method of this name. It answers false, because the declaration
    /// checks IUnknown's names itself.
    #[doc(hidden)]
    #[must_use]
    pub const fn __has(_name: &str) -> bool {
        false
    }
}

/// Converts a count to the number that AddRef and Release return `[C3]`. It saturates, and is 0
/// only for 0.
pub(crate) fn visible_count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Answers QueryInterface `[C1]`. `interface` returns the pointer for an IID, AddRef'd.
///
/// # Safety
/// `iid` is null or readable, `out` null or writable.
pub(crate) unsafe fn answer_query(
    iid: *const GUID,
    out: *mut *mut c_void,
    interface: impl FnOnce(GUID) -> Option<*mut c_void>,
) -> NTSTATUS {
    if out.is_null() {
        return NTSTATUS::INVALID_PARAMETER;
    }
    // SAFETY: `out` is not null, so the caller guarantees that it is writable.
    unsafe { out.write_unaligned(core::ptr::null_mut()) };
    if iid.is_null() {
        return NTSTATUS::INVALID_PARAMETER;
    }
    // SAFETY: `iid` is not null, so the caller guarantees that it is readable.
    let Some(interface) = interface(unsafe { iid.read_unaligned() }) else { return NTSTATUS::NOINTERFACE };
    // SAFETY: `out` is not null, so the caller guarantees that it is writable.
    unsafe { out.write_unaligned(interface) };
    NTSTATUS::SUCCESS
}

/// Reads the first three slots of the outer object (QueryInterface, AddRef, Release), if all of
/// them are there.
///
/// # Safety
/// `outer` is alive.
pub(super) unsafe fn slots(outer: NonNull<IUnknownRaw>) -> Option<IUnknownVtbl> {
    // SAFETY: the caller keeps `outer` alive.
    let table = unsafe { outer.as_ref() }.vtbl;
    // SAFETY: the pointer is null or points to the table of `outer`.
    let table = unsafe { table.as_ref() }.copied()?;
    let complete = table.QueryInterface.is_some() && table.AddRef.is_some() && table.Release.is_some();
    complete.then_some(table)
}

/// Calls AddRef of the outer object.
///
/// # Safety
/// `outer` is alive.
pub(super) unsafe fn call_add_ref(outer: NonNull<IUnknownRaw>) -> u32 {
    // SAFETY: the caller keeps `outer` alive.
    match unsafe { slots(outer) }.and_then(|table| table.AddRef) {
        // SAFETY: the slot is from the table of `outer`, which the caller keeps alive.
        Some(slot) => unsafe { slot(outer.as_ptr().cast()) },
        // `aggregated_in` saw this slot, so the other side has corrupted its own table since.
        None => ntcom_exec::fail_fast_corrupt_interface(),
    }
}

/// Calls Release of the outer object.
///
/// # Safety
/// The caller gives up its reference to `outer`.
pub(super) unsafe fn call_release(outer: NonNull<IUnknownRaw>) -> u32 {
    // SAFETY: the caller's reference keeps `outer` alive.
    match unsafe { slots(outer) }.and_then(|table| table.Release) {
        // SAFETY: the slot is from the table of `outer`, and the caller gives up its reference.
        Some(slot) => unsafe { slot(outer.as_ptr().cast()) },
        None => ntcom_exec::fail_fast_corrupt_interface(),
    }
}

#[cfg(test)]
mod tests {
    use super::{GUID, IUnknownRaw, Interface, visible_count};

    #[test]
    fn every_interface_answers_for_itself_and_for_unknown() {
        struct Clock;
        // SAFETY: no object of this type exists, so no pointer to it is used.
        unsafe impl Interface for Clock {
            const IID: GUID = GUID::from_u128(1);
        }
        assert!(Clock::answers(&Clock::IID) && Clock::answers(&IUnknownRaw::IID));
        assert!(!Clock::answers(&GUID::from_u128(1 << 127 | 1)));
    }

    /// A client that sees zero believes that the object is gone `[C3]`.
    #[test]
    fn only_zero_is_seen_as_zero() {
        assert_eq!([0, 1, 7].map(visible_count), [0, 1, 7]);
        for large in [u32::MAX as usize, 1 << (usize::BITS - 1), usize::MAX] {
            assert_eq!(visible_count(large), u32::MAX, "{large:#x}");
        }
    }
}
