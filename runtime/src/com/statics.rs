//! Statics: objects that nobody makes and nobody destroys.

use core::{ffi::c_void, marker::PhantomData, mem::offset_of};

use super::{
    ComRc, GUID, IUnknown, IUnknownVtbl, Interfaces,
    block::{Core, Front},
    interfaces::Made,
    place::{Kind, Place, query},
};
use crate::NTSTATUS;

/// An object that is a static of the driver: its interfaces can be handed out without memory, at any IRQL that its methods allow.
///
/// It lives as long as the image, so AddRef and Release count nothing and return 1. Its value is never dropped. What it is otherwise is what
/// [`ComObject`](super::ComObject) makes of the same `T` and `S`: all its interfaces, and async methods, whose bodies hold it as they hold any object `[C19]`. An interface
/// pointer does not keep the image loaded `[C18]`.
///
/// ```
/// use ntcom::{ComStatic, GUID, IUnknown, declare_com_interface};
///
/// declare_com_interface! {
///     /// Tells the version.
///     pub trait IVersion: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a0a);
///         /// It.
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

// SAFETY: the tables are constants, the core's count is atomic, and the value may be used on any processor.
unsafe impl<T: IUnknown, S: Interfaces<T>> Sync for ComStatic<T, S> {}

impl<T, S: Interfaces<T>> ComStatic<T, S> {
    /// The object.
    #[must_use]
    pub const fn new(value: T) -> Self
    where
        T: IUnknown,
    {
        Self { start: Front { front: <S::__Made<Static<S>>>::TABLES, core: Core::immortal(value) } }
    }

    /// Its primary interface. IRQL: any.
    ///
    /// # Panics
    /// Never: the tables are complete.
    #[must_use]
    pub fn get(&'static self) -> ComRc<S::Primary>
    where
        T: IUnknown,
    {
        let this = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: it begins with the primary interface, and references are not counted.
        match unsafe { ComRc::from_raw(this) } {
            Ok(interface) => interface,
            Err(_) => ntcom_exec::fail_fast_corrupt_interface(),
        }
    }

    /// Its value. IRQL: any.
    pub const fn value(&self) -> &T {
        self.start.core.value()
    }
}

/// Statics with interfaces `S`.
struct Static<S>(PhantomData<S>);

impl<T: 'static, S: Interfaces<T>> Kind<T> for Static<S> {
    type At<const K: usize> = InStatic<S, K>;
}

/// The `K`-th interface of a static.
struct InStatic<S, const K: usize>(PhantomData<S>);

// SAFETY: the tables stand side by side at its beginning, and the core after them; the slots undo that.
unsafe impl<T: 'static, S: Interfaces<T>, const K: usize> Place<T> for InStatic<S, K> {
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
    // SAFETY: a slot's contract.
    unsafe { query::<T, S, InStatic<S, K>, K>(this, iid, out, one_reference) }
}

/// AddRef and Release of what is never destroyed.
pub(crate) unsafe extern "system" fn one_reference(_this: *mut c_void) -> u32 {
    1
}
