//! Where an interface stands in its object, and the table that is made for it there.

use core::{ffi::c_void, marker::PhantomData, mem::offset_of, ptr::NonNull};

use super::{
    GUID, IUnknownVtbl, Interface, Interfaces,
    block::{self, Core, Front},
    unknown::{answer_query, visible_count},
};
use crate::NTSTATUS;

/// An interface that objects of type `T` can have: implemented by `declare_com_interface!` for every `T` that implements the
/// declared trait.
///
/// # Safety
/// The tables are this interface's, live for ever, and their slots take an interface pointer at that place of an object of type `T`.
///
/// ```
/// use ntcom::{GUID, IUnknown, InterfaceOf, declare_com_interface};
///
/// declare_com_interface! {
///     /// Answers.
///     pub trait IAnswer: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a11);
///         /// The answer.
///         fn answer(&self) -> u32;
///     }
/// }
/// struct Deep;
/// impl IAnswer for Deep {
///     fn answer(&self) -> u32 { 42 }
/// }
/// fn has_a_table<I: InterfaceOf<Deep>>() {}
/// has_a_table::<IAnswerRaw>();
/// ```
#[diagnostic::on_unimplemented(
    message = "objects of type `{T}` do not have the interface `{Self}`",
    note = "implement the declared trait for `{T}`"
)]
pub unsafe trait InterfaceOf<T>: Interface {
    /// The table for a place.
    #[doc(hidden)]
    type __Table<P: Place<T>>: Table;
}

#[doc(hidden)]
/// A table of an interface.
pub trait Table {
    /// It.
    const VTBL: *const c_void;
}

#[doc(hidden)]
/// The table of an interface of objects of type `T` for one place, which the macro makes.
///
/// # Safety
/// As for [`InterfaceOf`].
pub unsafe trait InterfaceAt<T, P: Place<T>>: Interface {
    /// It.
    const VTBL: *const c_void;
}

#[doc(hidden)]
/// That table, as a type.
pub struct At<I, T, P>(PhantomData<(I, T, P)>);

impl<I: InterfaceAt<T, P>, T, P: Place<T>> Table for At<I, T, P> {
    const VTBL: *const c_void = I::VTBL;
}

#[doc(hidden)]
/// Where an interface stands in an object of type `T`, and what its first three slots do.
///
/// # Safety
/// `CORE` bytes after the interface pointer stands the object's core, and the slots take such interface pointers.
pub unsafe trait Place<T>: 'static {
    /// The way from the interface pointer to the core.
    const CORE: usize;
    /// The slots of IUnknown.
    const UNKNOWN: IUnknownVtbl;
}

/// The core of a slot's `this`.
///
/// # Safety
/// `this` is the interface at this place of an object of type `T`.
pub(crate) unsafe fn core<T, P: Place<T>>(this: *mut c_void) -> NonNull<Core<T>> {
    // SAFETY: this function's contract: inside the block.
    let core = unsafe { this.byte_add(P::CORE) };
    // SAFETY: interface pointers are not null.
    unsafe { NonNull::new_unchecked(core) }.cast()
}

/// The value of a slot's `this`.
///
/// # Safety
/// As for [`core`]; the caller has a reference while the result is used.
pub(crate) unsafe fn object<'a, T, P: Place<T>>(this: *mut c_void) -> &'a T {
    // SAFETY: this function's contract.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: as above.
    unsafe { core.as_ref() }.value()
}

/// One more reference to the object of a slot's `this`.
///
/// # Safety
/// As for [`object`].
#[cfg(feature = "async-com")]
pub(crate) unsafe fn this<T, P: Place<T>>(this: *mut c_void) -> crate::This<T> {
    // SAFETY: this function's contract.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: as above.
    unsafe { crate::This::from_core(core) }
}

#[doc(hidden)]
/// A kind of object: where each of its interfaces stands.
pub trait Kind<T>: 'static {
    /// The `K`-th one.
    type At<const K: usize>: Place<T>;
}

/// Objects on their own, with interfaces `S`.
pub(super) struct Alone<S>(PhantomData<S>);

impl<T: 'static, S: Interfaces<T>> Kind<T> for Alone<S> {
    type At<const K: usize> = Standalone<S, K>;
}

/// The `K`-th interface of an object on its own.
pub(super) struct Standalone<S, const K: usize>(PhantomData<S>);

// SAFETY: the tables stand side by side at the block's beginning, and the core after them; the slots undo that.
unsafe impl<T: 'static, S: Interfaces<T>, const K: usize> Place<T> for Standalone<S, K> {
    const CORE: usize = offset_of!(Front<S::Tables, T>, core) - K * size_of::<*const c_void>();
    const UNKNOWN: IUnknownVtbl = IUnknownVtbl {
        QueryInterface: Some(query_interface::<T, S, K>),
        AddRef: Some(add_ref::<T, Self>),
        Release: Some(release::<T, Self>),
    };
}

unsafe extern "system" fn query_interface<T: 'static, S: Interfaces<T>, const K: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: a slot's contract.
    unsafe { query::<T, S, Standalone<S, K>, K>(this, iid, out, add_ref::<T, Standalone<S, K>>) }
}

/// QueryInterface of the `K`-th interface of an object whose interfaces stand side by side, and whose AddRef this is.
///
/// # Safety
/// A slot's contract.
pub(super) unsafe fn query<T: 'static, S: Interfaces<T>, P: Place<T>, const K: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
    add_ref: unsafe extern "system" fn(*mut c_void) -> u32,
) -> NTSTATUS {
    let interface = |iid| {
        let Some(index) = S::__index(&iid) else {
            // SAFETY: this function's contract.
            return unsafe { beyond::<T, S, P>(this, &iid) };
        };
        // SAFETY: this function's contract.
        unsafe { add_ref(this) };
        let away = (index.cast_signed() - K.cast_signed()) * size_of::<*const c_void>().cast_signed();
        // SAFETY: the other interface stands there in the same object.
        Some(unsafe { this.byte_offset(away) })
    };
    // SAFETY: this function's contract.
    unsafe { answer_query(iid, out, interface) }
}

/// What an object answers for an IID that is none of its interfaces', with a reference: its core, to this
/// image, or what it has beyond them.
///
/// # Safety
/// As for [`object`].
pub(super) unsafe fn beyond<T: 'static, S: Interfaces<T>, P: Place<T>>(
    this: *mut c_void,
    iid: &GUID,
) -> Option<*mut c_void> {
    if *iid != block::core_iid() {
        // SAFETY: the caller has a reference to an object of this type at this place.
        return S::__beyond(unsafe { object::<T, P>(this) }, iid);
    }
    // SAFETY: the caller has an object of this type at this place.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: the caller has a reference to it.
    unsafe { block::hold(core) };
    Some(core.as_ptr().cast())
}

pub(super) unsafe extern "system" fn add_ref<T, P: Place<T>>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: the caller has a reference.
    visible_count(unsafe { core.as_ref() }.add_reference())
}

pub(super) unsafe extern "system" fn release<T, P: Place<T>>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: the client's reference, which is gone afterwards.
    visible_count(unsafe { block::release(core) })
}
