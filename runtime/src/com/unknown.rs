//! `IUnknown`: the three slots that every interface begins with.

use core::ffi::c_void;

use super::{
    ComRc, GUID,
    place::{At, InterfaceAt, InterfaceOf, Place},
};
use crate::NTSTATUS;

/// What an object that speaks HRESULT answers where we say `STATUS_NOINTERFACE`: 0x80004002.
///
/// ```
/// assert!(!ntcom::com::E_NOINTERFACE.is_success());
/// ```
pub const E_NOINTERFACE: NTSTATUS = NTSTATUS::from_u32(0x8000_4002);

/// A COM interface.
///
/// # Safety
/// The type is `repr(C)` and its first field, at offset 0, is a pointer to a table that begins with the slots of
/// [`IUnknownVtbl`]; `IID` is that interface's, and no other one's in the image
/// ([`iid!`](crate::iid) has the linker see to that).
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

    /// Whether a pointer to this interface is also one to the interface with this IID: to itself, to its bases, and to IUnknown.
    #[must_use]
    fn answers(iid: &GUID) -> bool {
        *iid == Self::IID || *iid == IUnknownRaw::IID
    }

    /// Whether what an object has answered for this IID is this type: a question for types that share an IID.
    #[doc(hidden)]
    fn __check(_found: &ComRc<Self>) -> Result<(), NTSTATUS>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// An interface of which its IID says everything, so that safe code may use whatever answers for it: what [`ComRc::query`] asks for.
///
/// Every interface is one but some operations. All operations have one IID, so a query for one of
/// `T` may find one that yields another type of `T`'s size. That does no harm where the bytes are
/// checked when they are read (`bytemuck::CheckedBitPattern`), because every byte of a value is
/// initialised (`AsyncValueType`). An operation of interfaces, say, comes from the method that
/// declares it.
///
/// # Safety
/// What answers QueryInterface for the IID with `STATUS_SUCCESS` is a pointer to this interface, in everything that safe code can do with it.
///
/// ```
/// fn can_be_asked_for<I: ntcom::Queryable>() {}
/// can_be_asked_for::<ntcom::IUnknownRaw>();
/// # #[cfg(feature = "async-com")]
/// can_be_asked_for::<ntcom::AsyncOperationRaw<u32>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be asked for by its IID",
    label = "the IID does not say everything of this interface",
    note = "all operations have one IID: an operation is asked for where the bytes of its value can be checked (`bytemuck::CheckedBitPattern`); \
            others are what the method returned, or `ComRc::from_raw`",
    note = "for an interface that is written by hand: `unsafe impl Queryable`"
)]
pub unsafe trait Queryable: Interface {}

/// An interface with a base: its table begins with the base's slots, so that a pointer to it is a pointer to the base.
///
/// # Safety
/// As it says.
///
/// ```
/// use ntcom::{Derived, GUID, IUnknown, IUnknownRaw, declare_com_interface};
///
/// declare_com_interface! {
///     /// Answers.
///     pub trait IAnswer: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a10);
///         /// The answer.
///         fn answer(&self) -> u32;
///     }
/// }
/// fn has_this_base<I: Derived<Base = IUnknownRaw>>() {}
/// has_this_base::<IAnswerRaw>();
/// ```
pub unsafe trait Derived: Interface {
    /// The base.
    type Base: Interface;
}

/// The base of every declared interface. Everything that may be used and dropped on any processor can be an object: it is implemented for
/// all `Send + Sync + 'static` types.
///
/// ```
/// fn can_be_an_object<T: ntcom::IUnknown>() {}
/// can_be_an_object::<core::sync::atomic::AtomicU32>();
/// ```
pub trait IUnknown: Send + Sync + 'static {}

impl<T: Send + Sync + 'static> IUnknown for T {}

/// The slots of `IUnknown`. Offsets 0, 8, 16 on 64-bit.
///
/// ```
/// use core::mem::offset_of;
/// use ntcom::IUnknownVtbl;
/// assert_eq!(offset_of!(IUnknownVtbl, Release), 2 * size_of::<usize>());
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(non_snake_case, reason = "slots keep their ABI names")]
pub struct IUnknownVtbl {
    /// Slot 0 `[C1]`: another interface of the same object, AddRef'd. A null `iid` or `out` is `STATUS_INVALID_PARAMETER`, an unknown
    /// interface `STATUS_NOINTERFACE`; on every failure a non-null `out` receives NULL. IRQL ≤ DISPATCH_LEVEL.
    pub QueryInterface: Option<
        unsafe extern "system" fn(this: *mut c_void, iid: *const GUID, out: *mut *mut c_void) -> NTSTATUS,
    >,
    /// Slot 1 `[C3]`: one more reference. IRQL ≤ DISPATCH_LEVEL.
    pub AddRef: Option<unsafe extern "system" fn(this: *mut c_void) -> u32>,
    /// Slot 2 `[C3]`: one reference less; 0 only if the object is gone. IRQL ≤ DISPATCH_LEVEL.
    pub Release: Option<unsafe extern "system" fn(this: *mut c_void) -> u32>,
}

/// An object of which only `IUnknown` is known. One pointer.
///
/// ```
/// use ntcom::{ComRc, Derived, IUnknownRaw};
///
/// /// Every interface whose base is IUnknown is one.
/// fn unknown<I: Derived<Base = IUnknownRaw>>(interface: &ComRc<I>) -> ComRc<IUnknownRaw> {
///     (**interface).clone()
/// }
/// ```
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

// SAFETY: every object has it.
unsafe impl Queryable for IUnknownRaw {}

// SAFETY: the tables are of IUnknown's slots at that place.
unsafe impl<T: IUnknown> InterfaceOf<T> for IUnknownRaw {
    type __Table<P: Place<T>> = At<Self, T, P>;
}

// SAFETY: as above.
unsafe impl<T: IUnknown, P: Place<T>> InterfaceAt<T, P> for IUnknownRaw {
    const VTBL: *const c_void = core::ptr::from_ref::<IUnknownVtbl>(const { &P::UNKNOWN }).cast();
}

impl IUnknownVtbl {
    /// The slots of an object's interface.
    #[doc(hidden)]
    #[must_use]
    pub const fn __of<T: IUnknown, P: Place<T>>() -> Self {
        P::UNKNOWN
    }

    /// Whether IUnknown has a method of this name: the declaration checks that itself.
    #[doc(hidden)]
    #[must_use]
    pub const fn __has(_name: &str) -> bool {
        false
    }
}

/// What AddRef and Release tell a client `[C3]`: it saturates, and is 0 only for 0.
pub(crate) fn visible_count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// QueryInterface `[C1]`: `interface` gives the pointer for an IID, AddRef'd.
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
    // SAFETY: not null, so writable.
    unsafe { out.write_unaligned(core::ptr::null_mut()) };
    if iid.is_null() {
        return NTSTATUS::INVALID_PARAMETER;
    }
    // SAFETY: not null, so readable.
    let Some(interface) = interface(unsafe { iid.read_unaligned() }) else { return NTSTATUS::NOINTERFACE };
    // SAFETY: as above.
    unsafe { out.write_unaligned(interface) };
    NTSTATUS::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::{GUID, IUnknownRaw, Interface, visible_count};

    #[test]
    fn every_interface_answers_for_itself_and_for_unknown() {
        struct Clock;
        // SAFETY: there is no object of it.
        unsafe impl Interface for Clock {
            const IID: GUID = GUID::from_u128(1);
        }
        assert!(Clock::answers(&Clock::IID) && Clock::answers(&IUnknownRaw::IID));
        assert!(!Clock::answers(&GUID::from_u128(1 << 127 | 1)));
    }

    /// `[C3]`: a client that sees zero believes that the object is gone.
    #[test]
    fn only_zero_is_seen_as_zero() {
        assert_eq!([0, 1, 7].map(visible_count), [0, 1, 7]);
        for large in [u32::MAX as usize, 1 << (usize::BITS - 1), usize::MAX] {
            assert_eq!(visible_count(large), u32::MAX, "{large:#x}");
        }
    }
}
