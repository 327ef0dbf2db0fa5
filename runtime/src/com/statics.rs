//! Objects that are statics of the driver, and are never destroyed.

use core::{ffi::c_void, marker::PhantomData, mem::offset_of};

use super::{
    ComRc, GUID, IUnknown, IUnknownVtbl, Interfaces,
    block::{Core, Front},
    interface_slot::{InterfaceSlot, ObjectLayout, query},
    interfaces::BuiltTables,
};
use crate::NTSTATUS;

/// An object that is a static of the driver.
///
/// Its interfaces can be handed out without memory, at any IRQL that its methods allow.
///
/// It lives as long as the image, so AddRef and Release count nothing and return 1. Its value is
/// never dropped. Otherwise it is like an object that [`ComObject`](super::ComObject) makes of the
/// same `T` and `S`. It has all its interfaces, and its async methods, with bodies that hold it as
/// they hold any object `[C19]`. An interface pointer does not keep the image loaded `[C18]`.
///
/// ```
/// use ntcom::{ComStatic, GUID, IUnknown, declare_com_interface};
///
/// declare_com_interface! {
///     /// Tells the version.
///     pub trait IVersion: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a0a);
///         /// The version.
///         fn version(&self) -> u32;
///     }
/// }
/// struct Version(u32);
/// impl IVersion for Version {
///     fn version(&self) -> u32 { self.0 }
/// }
///
/// static VERSION: ComStatic<Version, IVersionRaw> = ComStatic::new(Version(3));
/// assert_eq!(VERSION.get().version(), Ok(3));
/// ```
#[repr(C)]
pub struct ComStatic<T, S: Interfaces<T>> {
    start: Front<S::Tables, T>,
}

// SAFETY: the tables are constants, the core's count is atomic, and the value may be used on any
// processor, because `T` is `Sync`.
unsafe impl<T: IUnknown, S: Interfaces<T>> Sync for ComStatic<T, S> {}

impl<T, S: Interfaces<T>> ComStatic<T, S> {
    /// Makes the object.
    #[must_use]
    pub const fn new(value: T) -> Self
    where
        T: IUnknown,
    {
        Self { start: Front { front: <S::__BuiltTables<Static<S>>>::TABLES, core: Core::immortal(value) } }
    }

    /// Returns the object's primary interface. IRQL: any.
    ///
    /// # Panics
    /// It never panics, because the tables are complete.
    #[must_use]
    pub fn get(&'static self) -> ComRc<S::Primary>
    where
        T: IUnknown,
    {
        let this = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the static begins with the primary interface, and its references are not counted.
        match unsafe { ComRc::from_raw(this) } {
            Ok(interface) => interface,
            Err(_) => ntcom_exec::fail_fast_corrupt_interface(),
        }
    }

    /// Returns the object's value. IRQL: any.
    pub const fn value(&self) -> &T {
        self.start.core.value()
    }
}

/// The layout of statics with interfaces `S`.
struct Static<S>(PhantomData<S>);

impl<T: 'static, S: Interfaces<T>> ObjectLayout<T> for Static<S> {
    type Slot<const K: usize> = InStatic<S, K>;
}

/// The place of the `K`-th interface of a static.
struct InStatic<S, const K: usize>(PhantomData<S>);

// SAFETY: the tables stand side by side at the static's beginning, so `CORE` is the distance from
// the `K`-th one to the core. The slots take this interface of such an object.
unsafe impl<T: 'static, S: Interfaces<T>, const K: usize> InterfaceSlot<T> for InStatic<S, K> {
    const CORE: usize = offset_of!(Front<S::Tables, T>, core) - K * size_of::<*const c_void>();
    const UNKNOWN: IUnknownVtbl = IUnknownVtbl {
        QueryInterface: Some(query_interface::<T, S, K>),
        AddRef: Some(one_reference),
        Release: Some(one_reference),
    };
}

unsafe extern "system" fn query_interface<T: 'static, S: Interfaces<T>, const K: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface, and pointers that are null or valid.
    unsafe { query::<T, S, InStatic<S, K>, K>(this, iid, out, one_reference) }
}

/// AddRef and Release of an object that is never destroyed.
pub(crate) unsafe extern "system" fn one_reference(_this: *mut c_void) -> u32 {
    1
}
