//! Async methods of declared interfaces, which make an operation of a slot's `this` and a recipe.
//!
//! # Why one pointer type for all objects
//!
//! The block's body consists of the method's body and a counted pointer to its object, which are
//! dropped in this order `[C19]`. The pointer counts as a client's pointer does. So it counts the
//! aggregate if the object is a part of one, as the object's block records. A pointer type for each
//! case would cost a copy of every body's code.

use core::{
    any::TypeId,
    ffi::c_void,
    future::Future,
    marker::PhantomData,
    mem::offset_of,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use ntcom_exec::{Allocator, Fallible, Infallible, NTSTATUS, NonPaged, Placement, TaskBody, no_unwind};

use super::{
    AsyncValueType,
    abi::AsyncOperationRaw,
    operation::OperationTask,
    recipe::{AsyncBody, InitBoxTrait},
};
use crate::{
    Init, This,
    com::interface_slot::{self, InterfaceSlot},
};

#[doc(hidden)]
/// An object with a method that is being called, without its type.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    /// The object's core.
    core: NonNull<c_void>,
    type_id: TypeId,
    /// The caller's reference.
    _borrow: PhantomData<&'a ()>,
}

impl Object<'_> {
    /// Returns a new reference to the object, if it has this type.
    pub(super) fn downcast<T: Send + Sync + 'static>(self) -> Option<This<T>> {
        if self.type_id != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: the object has this type, and the caller of `spawn_opaque`, which makes every
        // `Object`, holds a reference.
        Some(unsafe { This::from_core(self.core.cast()) })
    }
}

/// A body, and a reference to the object of its method, or to that object's aggregate.
///
/// The body is dropped first, and then the reference `[C19]`.
#[repr(C)]
struct Guarded<B, T: Send + Sync + 'static> {
    body: B,
    _object: This<T>,
}

impl<B: TaskBody, T: Send + Sync + 'static> TaskBody for Guarded<B, T> {
    type Value = B::Value;
    const OWNS: bool = B::OWNS;

    fn share(value: &B::Value) {
        B::share(value);
    }

    fn discard(value: B::Value) {
        B::discard(value);
    }

    fn poll_body(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<B::Value, NTSTATUS>> {
        // SAFETY: `body` is pinned with the struct, and nothing moves it out.
        unsafe { self.map_unchecked_mut(|guarded| &mut guarded.body) }.poll_body(context)
    }
}

#[doc(hidden)]
/// A body made of a future `F`.
///
/// # Safety
/// It is transparent over `F`, so that a place for one is a place for the other.
pub unsafe trait BodyOf<F>: TaskBody<Value: AsyncValueType> {}

// SAFETY: the type is declared transparent over `F`.
unsafe impl<F> BodyOf<F> for Infallible<F>
where
    F: Future + Send + 'static,
    F::Output: AsyncValueType,
{
}

// SAFETY: the type is declared transparent over `F`.
unsafe impl<T: AsyncValueType, F> BodyOf<F> for Fallible<F> where
    F: Future<Output = Result<T, NTSTATUS>> + Send + 'static
{
}

#[doc(hidden)]
/// Spawns the operation of a method that returns an `InitBoxTrait`.
///
/// # Safety
/// `this` is the interface at place `P` of an object of type `T`, and the caller holds a reference.
pub unsafe fn spawn_named<T, P, F, A, B, R>(this: *mut c_void, recipe: R) -> *mut AsyncOperationRaw<B::Value>
where
    T: Send + Sync + 'static,
    P: InterfaceSlot<T>,
    A: NonPaged + Send + 'static,
    B: BodyOf<F>,
    R: InitBoxTrait<F, A, NTSTATUS>,
{
    let placement = recipe.placement();
    let (allocator, init) = no_unwind(|| recipe.into_parts());
    // SAFETY: `this` is the interface at `P` of a `T`, to which the caller holds a reference.
    unsafe { spawn::<T, P, F, A, B, _>(this, placement, allocator, init) }
}

#[doc(hidden)]
/// Spawns the operation of a method that returns an `AsyncBody`.
///
/// # Safety
/// `this` is the interface at place `P` of an object of type `T`, and the caller holds a reference.
pub unsafe fn spawn_opaque<T, P, O, A, B, R>(this: *mut c_void, recipe: R) -> *mut AsyncOperationRaw<B::Value>
where
    T: Send + Sync + 'static,
    P: InterfaceSlot<T>,
    A: NonPaged + Send + 'static,
    R: AsyncBody<O, A, NTSTATUS>,
    B: BodyOf<R::Body>,
{
    let object = Object {
        // SAFETY: `this` is the interface at `P` of a `T`.
        core: unsafe { interface_slot::core::<T, P>(this) }.cast(),
        type_id: TypeId::of::<T>(),
        _borrow: PhantomData,
    };
    let placement = recipe.placement();
    let (allocator, init) = no_unwind(|| recipe.into_parts_for(object));
    // SAFETY: `this` is the interface at `P` of a `T`, to which the caller holds a reference.
    unsafe { spawn::<T, P, R::Body, A, B, _>(this, placement, allocator, init) }
}

/// Spawns the operation of a method.
///
/// # Safety
/// `this` is the interface at place `P` of an object of type `T`, and the caller holds a reference.
unsafe fn spawn<T, P, F, A, B, L>(
    this: *mut c_void,
    placement: L,
    allocator: A,
    init: impl Init<F, NTSTATUS>,
) -> *mut AsyncOperationRaw<B::Value>
where
    T: Send + Sync + 'static,
    P: InterfaceSlot<T>,
    A: Allocator + Send + 'static,
    B: BodyOf<F>,
    L: Placement,
{
    let init = |place| {
        // SAFETY: the place for the body, in a new block, is not null.
        let place = unsafe { NonNull::new_unchecked(place) };
        let body = field::<_, F>(place, offset_of!(Guarded<B, T>, body));
        // SAFETY: the place for `B`, which is transparent over `F`; the body stays there until the
        // executor drops it.
        no_unwind(|| unsafe { init.init(body) })?;
        // SAFETY: `this` is the interface at `P` of a `T`, to which the caller holds a reference.
        let object = unsafe { interface_slot::this::<T, P>(this) };
        // SAFETY: the place for the reference, in a new block.
        unsafe { field(place, offset_of!(Guarded<B, T>, _object)).write(object) };
        Ok(())
    };
    // SAFETY: `init` writes both fields before it returns Ok.
    unsafe { OperationTask::<Guarded<B, T>, A, _>::spawn_raw(placement, allocator, init) }
}

/// Returns the place of the field at this offset.
fn field<S, F>(place: NonNull<S>, offset: usize) -> NonNull<F> {
    // SAFETY: the callers pass the offset of a field of `S`.
    unsafe { place.byte_add(offset) }.cast()
}
