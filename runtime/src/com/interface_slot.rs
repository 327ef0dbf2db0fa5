//! The positions of interfaces in their objects, and the table for each position.
//!
//! # Why a table for each position
//!
//! The position of an interface in its object is a type, and each position has its own table. So
//! the distance from `this` to the value is a constant of the slot.

use core::{ffi::c_void, marker::PhantomData, mem::offset_of, ptr::NonNull};

use super::{
    GUID, IUnknownVtbl, Interface, Interfaces,
    block::{self, Core, Front},
    unknown::{answer_query, visible_count},
};
use crate::NTSTATUS;

/// An interface that objects of type `T` can have.
///
/// `declare_com_interface!` implements it for every `T` that implements the declared trait.
///
/// # Safety
/// The tables are this interface's, live for ever, and their slots take an interface pointer at
/// that position of an object of type `T`.
#[diagnostic::on_unimplemented(
    message = "objects of type `{T}` do not have the interface `{Self}`",
    note = "implement the declared trait for `{T}`"
)]
pub unsafe trait InterfaceOf<T>: Interface {
    /// The table for position `P`.
    #[doc(hidden)]
    type __Table<P: InterfaceSlot<T>>: Table;
}

#[doc(hidden)]
/// A table of an interface, as a type.
pub trait Table {
    /// The pointer to the table.
    const VTBL: *const c_void;
}

#[doc(hidden)]
/// The table of an interface of objects of type `T` for position `P`. The macro implements it.
///
/// # Safety
/// As for [`InterfaceOf`].
pub unsafe trait InterfaceAt<T, P: InterfaceSlot<T>>: Interface {
    /// The pointer to the table.
    const VTBL: *const c_void;
}

#[doc(hidden)]
/// The table of interface `I` for objects of type `T` at position `P`, as a type.
pub struct TableAt<I, T, P>(PhantomData<(I, T, P)>);

impl<I: InterfaceAt<T, P>, T, P: InterfaceSlot<T>> Table for TableAt<I, T, P> {
    const VTBL: *const c_void = I::VTBL;
}

#[doc(hidden)]
/// The position of an interface in an object of type `T`, and the first three slots of its table.
///
/// # Safety
/// The object's core stands `CORE` bytes after the interface pointer, and the slots take such
/// interface pointers.
pub unsafe trait InterfaceSlot<T>: 'static {
    /// The number of bytes from the interface pointer to the core.
    const CORE: usize;
    /// The slots of IUnknown at this position.
    const UNKNOWN: IUnknownVtbl;
}

/// Returns the core of the object of a slot's `this`.
///
/// # Safety
/// `this` is the interface at this position of an object of type `T`.
pub(crate) unsafe fn core<T, P: InterfaceSlot<T>>(this: *mut c_void) -> NonNull<Core<T>> {
    // SAFETY: the caller passes an interface at position `P`, so the result is inside the same
    // block.
    let core = unsafe { this.byte_add(P::CORE) };
    // SAFETY: interface pointers are not null, and the core is inside the same block.
    unsafe { NonNull::new_unchecked(core) }.cast()
}

/// Returns the value of the object of a slot's `this`.
///
/// # Safety
/// As for [`core`]; the caller has a reference while the result is used.
pub(crate) unsafe fn object<'a, T, P: InterfaceSlot<T>>(this: *mut c_void) -> &'a T {
    // SAFETY: the caller passes an interface at position `P` of an object of type `T`.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: the caller's reference keeps the object alive while the result is used.
    unsafe { core.as_ref() }.value()
}

/// Adds a reference to the object of a slot's `this`.
///
/// # Safety
/// As for [`object`].
#[cfg(feature = "async-com")]
pub(crate) unsafe fn this<T, P: InterfaceSlot<T>>(this: *mut c_void) -> crate::This<T> {
    // SAFETY: the caller passes an interface at position `P` of an object of type `T`.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: the caller has a reference to the object.
    unsafe { crate::This::from_core(core) }
}

#[doc(hidden)]
/// A layout of objects, which gives each interface its position.
pub trait ObjectLayout<T>: 'static {
    /// The position of the `K`-th interface.
    type Slot<const K: usize>: InterfaceSlot<T>;
}

/// The layout of standalone objects with interfaces `S`.
pub(super) struct Standalone<S>(PhantomData<S>);

impl<T: 'static, S: Interfaces<T>> ObjectLayout<T> for Standalone<S> {
    type Slot<const K: usize> = StandaloneSlot<S, K>;
}

/// The position of the `K`-th interface of a standalone object.
pub(super) struct StandaloneSlot<S, const K: usize>(PhantomData<S>);

// SAFETY: the tables stand side by side at the block's beginning, so `CORE` is the distance from
// the `K`-th one to the core. The slots take this interface of such an object.
unsafe impl<T: 'static, S: Interfaces<T>, const K: usize> InterfaceSlot<T> for StandaloneSlot<S, K> {
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
    // SAFETY: the caller of the slot passes this interface, and pointers that are null or valid.
    unsafe { query::<T, S, StandaloneSlot<S, K>, K>(this, iid, out, add_ref::<T, StandaloneSlot<S, K>>) }
}

/// QueryInterface of the `K`-th interface of an object. The object's interfaces stand side by side,
/// and `add_ref` is their AddRef.
///
/// # Safety
/// The arguments are those of a slot call: `this` is the `K`-th interface of a live object, `iid`
/// is null or readable, and `out` is null or writable.
pub(super) unsafe fn query<T: 'static, S: Interfaces<T>, P: InterfaceSlot<T>, const K: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
    add_ref: unsafe extern "system" fn(*mut c_void) -> u32,
) -> NTSTATUS {
    let interface = |iid| {
        let Some(index) = S::__index(&iid) else {
            // SAFETY: `this` is an interface at position `P` of a live object.
            return unsafe { query_extra::<T, S, P>(this, &iid) };
        };
        // SAFETY: `this` is an interface of a live object, and `add_ref` is the AddRef of that
        // object.
        unsafe { add_ref(this) };
        let away = (index.cast_signed() - K.cast_signed()) * size_of::<*const c_void>().cast_signed();
        // SAFETY: the other interface stands at this distance in the same object.
        Some(unsafe { this.byte_offset(away) })
    };
    // SAFETY: the caller passes pointers that are null or valid.
    unsafe { answer_query(iid, out, interface) }
}

/// Answers a query for an IID that none of the object's own interfaces has.
///
/// The pointer has a reference. It is the object's core for [`block::core_iid`], otherwise an
/// interface of an inner object.
///
/// # Safety
/// As for [`object`].
pub(super) unsafe fn query_extra<T: 'static, S: Interfaces<T>, P: InterfaceSlot<T>>(
    this: *mut c_void,
    iid: &GUID,
) -> Option<*mut c_void> {
    if *iid != block::core_iid() {
        // SAFETY: the caller passes this position of an object to which it has a reference.
        return S::__query_extra(unsafe { object::<T, P>(this) }, iid);
    }
    // SAFETY: the caller passes this position of an object of type `T`.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: the caller has a reference to the object.
    unsafe { block::hold(core) };
    Some(core.as_ptr().cast())
}

pub(super) unsafe extern "system" fn add_ref<T, P: InterfaceSlot<T>>(this: *mut c_void) -> u32 {
    // SAFETY: the caller of the slot passes this interface.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: the client's reference keeps the object alive.
    visible_count(unsafe { core.as_ref() }.add_reference())
}

pub(super) unsafe extern "system" fn release<T, P: InterfaceSlot<T>>(this: *mut c_void) -> u32 {
    // SAFETY: the caller of the slot passes this interface.
    let core = unsafe { core::<T, P>(this) };
    // SAFETY: the client gives up its reference.
    visible_count(unsafe { block::release(core) })
}
