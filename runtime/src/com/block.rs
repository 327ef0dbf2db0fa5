//! The block of an object, with its interfaces, its count, its value and its allocator.
//!
//! ```text
//! front      the interfaces: a pointer to a table each, the primary first
//! core       count, life, value           independent of the interfaces; `This` points here
//! allocator
//! ```
//!
//! An interface pointer is the address of one of the table pointers. So the core stands at a fixed
//! distance after it, which the slots of that table know
//! ([`InterfaceSlot`](super::interface_slot::InterfaceSlot)).
//!
//! A standalone object has one count. A part of an aggregate has two. Its outer object uses the
//! count in the part's own block. Every other holder of the part, a client or a body, uses the
//! outer object's count ([`hold`], [`let_go`]).

use core::{
    alloc::Layout,
    any::TypeId,
    ffi::c_void,
    mem::{ManuallyDrop, offset_of},
    ptr::NonNull,
};

use ntcom_exec::ReferenceCount;

use super::{
    GUID, IUnknownRaw,
    unknown::{call_add_ref, call_release},
};
use crate::{Init, NTSTATUS, NonPaged};

/// The part of a block that is the same for all interfaces and allocators.
#[repr(C)]
pub(crate) struct Core<T> {
    count: ReferenceCount,
    life: &'static Life,
    value: T,
}

/// The data that all objects of one type, interfaces and allocator share.
struct Life {
    /// Drops the value and frees the block. Its argument is a core with a count of zero. `None`
    /// for a static, which never loses its last reference.
    destroy: Option<unsafe fn(NonNull<c_void>)>,
    /// [`CountedBy::WHOLE`].
    whole: Option<usize>,
    /// The type of the value.
    value: TypeId,
}

/// A static with an address that no other image has. It is writable, so that no linker merges it
/// with that of another version of this crate in the same image.
static IMAGE: ReferenceCount = ReferenceCount::one();

/// Returns the IID for which QueryInterface of this image's objects hands out their cores. No other
/// image's objects answer for it, because it contains an address of this image.
pub(super) fn core_iid() -> GUID {
    let image = (&raw const IMAGE).addr() as u128;
    GUID::from_u128((0xb7f3_60d1_94a2_4c5e << 64) | image)
}

/// The way in which references to an object with this front and this value are counted.
///
/// # Safety
/// Where `WHOLE` is `Some`, a pointer stands there. It is the IUnknown of the object's outer
/// object, which is alive as long as the object is used.
pub(super) unsafe trait CountedBy<F, T> {
    /// The number of bytes from the pointer to the outer object to the core. `None` if the object
    /// counts itself.
    const WHOLE: Option<usize>;
}

/// The object counts its own references.
pub(super) struct Itself;

// SAFETY: `WHOLE` is `None`, so there is no pointer to vouch for.
unsafe impl<F, T> CountedBy<F, T> for Itself {
    const WHOLE: Option<usize> = None;
}

impl<T> Core<T> {
    /// Makes the core of a static, which keeps one reference for ever.
    pub(super) const fn immortal(value: T) -> Self
    where
        T: 'static,
    {
        let life: &'static Life = const { &Life { destroy: None, whole: None, value: TypeId::of::<T>() } };
        Self { count: ReferenceCount::one(), life, value }
    }

    /// Returns whether the object's value is a `V`. `T` may be `()` for an unknown type, because
    /// count and life stand before the value.
    pub(super) fn holds<V: 'static>(&self) -> bool {
        self.life.value == TypeId::of::<V>()
    }

    pub(crate) const fn value(&self) -> &T {
        &self.value
    }

    /// Adds a reference, and returns the new count.
    pub(super) fn add_reference(&self) -> usize {
        self.count.add()
    }
}

/// The beginning of a block, with the interfaces and the core.
#[repr(C)]
pub(super) struct Front<F, T> {
    /// The interfaces.
    pub(super) front: F,
    pub(super) core: Core<T>,
}

/// The whole block.
#[repr(C)]
struct Block<F, T, A> {
    start: Front<F, T>,
    allocator: ManuallyDrop<A>,
}

/// Returns a pointer to the field at `offset` in the block.
const fn at<P>(block: NonNull<u8>, offset: usize) -> NonNull<P> {
    // SAFETY: `offset` is the offset of a field in the block, which is one allocation.
    unsafe { block.byte_add(offset) }.cast()
}

/// Makes a block with one reference, and builds its value in place.
///
/// `init` takes a pointer to the block, in which all fields but value and allocator are
/// initialised.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`, or the initialiser's error.
pub(super) fn make<F, T, A, I, C>(
    front: F,
    allocator: A,
    init: impl FnOnce(NonNull<Front<F, T>>) -> I,
) -> Result<NonNull<Front<F, T>>, NTSTATUS>
where
    T: 'static,
    A: NonPaged,
    I: Init<T, NTSTATUS>,
    C: CountedBy<F, T>,
{
    let layout = Layout::new::<Block<F, T, A>>();
    let memory = allocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?;
    let core = offset_of!(Front<F, T>, core);
    // SAFETY: `front` is a field of the new memory, which has the block's layout.
    unsafe { at(memory, offset_of!(Front<F, T>, front)).write(front) };
    // SAFETY: `count` is a field of the new memory, which has the block's layout.
    unsafe { at(memory, core + offset_of!(Core<T>, count)).write(ReferenceCount::one()) };
    let life: &'static Life =
        const { &Life { destroy: Some(destroy::<F, T, A>), whole: C::WHOLE, value: TypeId::of::<T>() } };
    // SAFETY: `life` is a field of the new memory, which has the block's layout.
    unsafe { at(memory, core + offset_of!(Core<T>, life)).write(life) };
    let value = at::<T>(memory, core + offset_of!(Core<T>, value));
    // A panic in the initialiser would leave a block in an unknown state, so it must not unwind.
    let built = ntcom_exec::no_unwind(|| {
        let init = init(memory.cast());
        // SAFETY: `value` is a field of the new memory, where the value stays until the object is
        // destroyed.
        unsafe { init.init(value) }
    });
    if let Err(status) = built {
        // SAFETY: the memory is from this allocator, with this layout, and holds only plain data.
        unsafe { allocator.free(memory, layout) };
        return Err(status);
    }
    // SAFETY: `allocator` is a field of the new memory, which has the block's layout.
    unsafe { at(memory, offset_of!(Block<F, T, A>, allocator)).write(allocator) };
    Ok(memory.cast())
}

/// # Safety
/// `core` is in a block with this front and this allocator, and its count is zero.
unsafe fn destroy<F, T, A: NonPaged>(core: NonNull<c_void>) {
    let core = core.cast::<u8>();
    // SAFETY: the core stands at this offset in its block.
    let block = unsafe { core.byte_sub(offset_of!(Front<F, T>, core)) };
    // SAFETY: the count is zero, so no other reference is left. The value's `Drop` cannot revive
    // the object, because a count of zero does not grow [C3].
    unsafe { at::<T>(core, offset_of!(Core<T>, value)).drop_in_place() };
    // SAFETY: the block is not used again after the allocator has been moved out of it.
    let allocator = unsafe { at::<A>(block, offset_of!(Block<F, T, A>, allocator)).read() };
    // SAFETY: the block is from this allocator, with this layout.
    unsafe { allocator.free(block, Layout::new::<Block<F, T, A>>()) };
}

/// Gives up a reference, and returns the number that is left.
///
/// # Safety
/// The caller gives up its reference.
pub(super) unsafe fn release<T>(core: NonNull<Core<T>>) -> usize {
    // SAFETY: the caller's reference keeps the core alive.
    let left = unsafe { core.as_ref() }.count.remove();
    if left == 0 {
        // SAFETY: the count is zero, so no other holder frees the core.
        if let Some(destroy) = unsafe { core.as_ref() }.life.destroy {
            // SAFETY: the count is zero, and `destroy` is this block's own function.
            unsafe { destroy(core.cast()) };
        }
    }
    left
}

/// Returns the outer object of a part of an aggregate, or `None` for an object that counts itself.
///
/// # Safety
/// The object is alive.
unsafe fn whole<T>(core: NonNull<Core<T>>) -> Option<NonNull<IUnknownRaw>> {
    // SAFETY: the caller keeps the object alive.
    let back = unsafe { core.as_ref() }.life.whole?;
    // SAFETY: the pointer to the outer object stands `back` bytes before the core, in the same
    // block.
    let place = unsafe { core.byte_sub(back) };
    // SAFETY: `CountedBy` guarantees that the pointer stands there.
    Some(unsafe { place.cast().read() })
}

/// Adds a reference to the object, or to the aggregate that it is a part of `[C19]`.
///
/// # Safety
/// The caller has such a reference.
pub(super) unsafe fn hold<T>(core: NonNull<Core<T>>) {
    // SAFETY: the caller's reference keeps the object alive.
    match unsafe { whole(core) } {
        // SAFETY: the caller's reference keeps the core alive.
        None => drop(unsafe { core.as_ref() }.add_reference()),
        // SAFETY: the caller's reference counts the outer object, so that is alive.
        Some(outer) => drop(unsafe { call_add_ref(outer) }),
    }
}

/// Gives up a reference from [`hold`]. The last one destroys the aggregate, and the object with it.
///
/// # Safety
/// The caller gives up its reference.
pub(super) unsafe fn let_go<T>(core: NonNull<Core<T>>) {
    // SAFETY: the caller's reference keeps the object alive.
    match unsafe { whole(core) } {
        // SAFETY: the caller gives up its reference, which counts this object.
        None => drop(unsafe { release(core) }),
        // SAFETY: the caller gives up its reference, which counts the outer object.
        Some(outer) => drop(unsafe { call_release(outer) }),
    }
}
