//! Async methods of declared interfaces: from a slot's `this` and a recipe to an operation.
//!
//! # Why one pointer type for all objects
//!
//! The body in the block is the method's body and a counted pointer to its object, dropped in this
//! order `[C19]`. The pointer counts as a client's pointer does, and so counts the aggregate where
//! the object is a part of one. The object's block says which. A type for each case would cost a
//! copy of every body's code.

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
    com::place::{self, Place},
};

#[doc(hidden)]
/// The object whose method is being called, its type forgotten.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    /// Its core.
    core: NonNull<c_void>,
    type_id: TypeId,
    /// The caller's reference.
    _borrow: PhantomData<&'a ()>,
}

impl Object<'_> {
    /// One more reference, if it is of this type.
    pub(super) fn downcast<T: Send + Sync + 'static>(self) -> Option<This<T>> {
        if self.type_id != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: of this type, and the caller has a reference, by `spawn_opaque`, which alone makes these.
        Some(unsafe { This::from_core(self.core.cast()) })
    }
}

/// A body, and the object that it is a method of: the body is dropped first, and then the reference `[C19]`, which is the aggregate's where the
/// object is a part of one.
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
        // SAFETY: `body` is pinned with the whole, and never moved out of it.
        unsafe { self.map_unchecked_mut(|guarded| &mut guarded.body) }.poll_body(context)
    }
}

#[doc(hidden)]
/// The bodies that a future can be.
///
/// # Safety
/// Transparent over `F`: a place for one is a place for the other.
pub unsafe trait Wraps<F>: TaskBody<Value: AsyncValueType> {}

// SAFETY: transparent, by their declarations.
unsafe impl<F> Wraps<F> for Infallible<F>
where
    F: Future + Send + 'static,
    F::Output: AsyncValueType,
{
}

// SAFETY: as above.
unsafe impl<T: AsyncValueType, F> Wraps<F> for Fallible<F> where
    F: Future<Output = Result<T, NTSTATUS>> + Send + 'static
{
}

#[doc(hidden)]
/// Spawns the operation of a method whose future has a name.
///
/// # Safety
/// `this` is the interface at place `P` of an object of type `T`, and the caller has a reference.
pub unsafe fn spawn_named<T, P, F, A, B, R>(this: *mut c_void, recipe: R) -> *mut AsyncOperationRaw<B::Value>
where
    T: Send + Sync + 'static,
    P: Place<T>,
    A: NonPaged + Send + 'static,
    B: Wraps<F>,
    R: InitBoxTrait<F, A, NTSTATUS>,
{
    let placement = recipe.placement();
    let (allocator, init) = no_unwind(|| recipe.into_parts());
    // SAFETY: this function's contract.
    unsafe { spawn::<T, P, F, A, B, _>(this, placement, allocator, init) }
}

#[doc(hidden)]
/// Spawns the operation of a method whose future has no name.
///
/// # Safety
/// As for [`spawn_named`].
pub unsafe fn spawn_opaque<T, P, O, A, B, R>(this: *mut c_void, recipe: R) -> *mut AsyncOperationRaw<B::Value>
where
    T: Send + Sync + 'static,
    P: Place<T>,
    A: NonPaged + Send + 'static,
    R: AsyncBody<O, A, NTSTATUS>,
    B: Wraps<R::Body>,
{
    let object = Object {
        // SAFETY: this function's contract.
        core: unsafe { place::core::<T, P>(this) }.cast(),
        type_id: TypeId::of::<T>(),
        _borrow: PhantomData,
    };
    let placement = recipe.placement();
    let (allocator, init) = no_unwind(|| recipe.into_parts_for(object));
    // SAFETY: this function's contract.
    unsafe { spawn::<T, P, R::Body, A, B, _>(this, placement, allocator, init) }
}

/// # Safety
/// As for [`spawn_named`].
unsafe fn spawn<T, P, F, A, B, L>(
    this: *mut c_void,
    placement: L,
    allocator: A,
    init: impl Init<F, NTSTATUS>,
) -> *mut AsyncOperationRaw<B::Value>
where
    T: Send + Sync + 'static,
    P: Place<T>,
    A: Allocator + Send + 'static,
    B: Wraps<F>,
    L: Placement,
{
    let init = |place| {
        // SAFETY: the place for the body, which is not null.
        let place = unsafe { NonNull::new_unchecked(place) };
        let body = field::<_, F>(place, offset_of!(Guarded<B, T>, body));
        // SAFETY: the place for `B`, which is transparent over `F`; it stays there until the executor drops it.
        no_unwind(|| unsafe { init.init(body) })?;
        // SAFETY: this function's contract.
        let object = unsafe { place::this::<T, P>(this) };
        // SAFETY: the place for it.
        unsafe { field(place, offset_of!(Guarded<B, T>, _object)).write(object) };
        Ok(())
    };
    // SAFETY: both fields are written before Ok is returned.
    unsafe { OperationTask::<Guarded<B, T>, A, _>::spawn_raw(placement, allocator, init) }
}

fn field<S, F>(place: NonNull<S>, offset: usize) -> NonNull<F> {
    // SAFETY: `offset` is a field's.
    unsafe { place.byte_add(offset) }.cast()
}
