//! The block of an object: its interfaces, the count, the value, the allocator.
//!
//! ```text
//! front      the interfaces: a pointer to a table each, the primary first
//! core       count, life, value           what does not depend on the interfaces: `This` points here
//! allocator
//! ```
//!
//! An interface pointer is the address of one of the table pointers, so the core stands a fixed distance after it, which the
//! slots of that table know ([`Place`](super::place::Place)).
//!
//! An object on its own has one count. A part of an aggregate has two: the one in its block is its outer object's, and what holds the part
//! otherwise, a client or a body, holds the outer object ([`hold`], [`let_go`]).

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
    aggregate::{call_add_ref, call_release},
};
use crate::{Init, NTSTATUS, NonPaged};

/// The part that is the same whatever the interfaces and the allocator are.
#[repr(C)]
pub(crate) struct Core<T> {
    count: ReferenceCount,
    life: &'static Life,
    value: T,
}

/// What objects that are made in the same way have in common.
struct Life {
    /// Drops the value and frees the block, given its core, whose count is zero. None: the object is a static, and is never without a reference.
    destroy: Option<unsafe fn(NonNull<c_void>)>,
    /// [`CountedBy::WHOLE`].
    whole: Option<usize>,
    /// The type of the value.
    value: TypeId,
}

/// Its address tells this image's objects from those of other images. It is writable, so that no linker merges
/// it with that of another version of this crate.
static IMAGE: ReferenceCount = ReferenceCount::one();

/// The IID by which QueryInterface of this image's objects hands out their cores: no other image's objects
/// answer for it.
pub(super) fn core_iid() -> GUID {
    let image = (&raw const IMAGE).addr() as u128;
    GUID::from_u128((0xb7f3_60d1_94a2_4c5e << 64) | image)
}

/// Who counts the references to an object with this front and this value.
///
/// # Safety
/// That pointer stands there, and is its outer object's IUnknown, which lives as long as the object is used.
pub(super) unsafe trait CountedBy<F, T> {
    /// How far before the core the pointer to the outer object stands. None: the object counts itself.
    const WHOLE: Option<usize>;
}

/// It counts itself.
pub(super) struct Itself;

// SAFETY: no pointer.
unsafe impl<F, T> CountedBy<F, T> for Itself {
    const WHOLE: Option<usize> = None;
}

impl<T> Core<T> {
    /// The core of a static, which has one reference for ever.
    pub(super) const fn immortal(value: T) -> Self
    where
        T: 'static,
    {
        let life: &'static Life = const { &Life { destroy: None, whole: None, value: TypeId::of::<T>() } };
        Self { count: ReferenceCount::one(), life, value }
    }

    /// Whether the object's value is a `V`. Of a core whose value is not known, `T` is `()`: count and life stand
    /// before the value.
    pub(super) fn holds<V: 'static>(&self) -> bool {
        self.life.value == TypeId::of::<V>()
    }

    pub(crate) const fn value(&self) -> &T {
        &self.value
    }

    /// One more reference. Returns the new count.
    pub(super) fn add_reference(&self) -> usize {
        self.count.add()
    }
}

/// What stands at the beginning of a block.
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

/// A place in the block.
const fn at<P>(block: NonNull<u8>, offset: usize) -> NonNull<P> {
    // SAFETY: `offset` is a field's in the block, which is one allocation.
    unsafe { block.byte_add(offset) }.cast()
}

/// Makes a block whose value is built in place, with one reference.
///
/// `init` gets the block, of which everything but value and allocator is there already.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`, or what the initialiser says.
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
    // SAFETY: the field's place in new memory of the block's layout; likewise below.
    unsafe { at(memory, offset_of!(Front<F, T>, front)).write(front) };
    // SAFETY: as above.
    unsafe { at(memory, core + offset_of!(Core<T>, count)).write(ReferenceCount::one()) };
    let life: &'static Life =
        const { &Life { destroy: Some(destroy::<F, T, A>), whole: C::WHOLE, value: TypeId::of::<T>() } };
    // SAFETY: as above.
    unsafe { at(memory, core + offset_of!(Core<T>, life)).write(life) };
    let value = at::<T>(memory, core + offset_of!(Core<T>, value));
    // A panic below would leave a block of which nobody knows what is in it.
    let built = ntcom_exec::no_unwind(|| {
        let init = init(memory.cast());
        // SAFETY: the value's place in new memory of the block's layout, where it stays until the object is destroyed.
        unsafe { init.init(value) }
    });
    if let Err(status) = built {
        // SAFETY: from this allocator with this layout, holding nothing but numbers.
        unsafe { allocator.free(memory, layout) };
        return Err(status);
    }
    // SAFETY: as above.
    unsafe { at(memory, offset_of!(Block<F, T, A>, allocator)).write(allocator) };
    Ok(memory.cast())
}

/// # Safety
/// The core of a block with this front and this allocator, whose count is zero.
unsafe fn destroy<F, T, A: NonPaged>(core: NonNull<c_void>) {
    let core = core.cast::<u8>();
    // SAFETY: the core stands there in its block.
    let block = unsafe { core.byte_sub(offset_of!(Front<F, T>, core)) };
    // SAFETY: nobody else has the object. Its `Drop` may not revive it: a count of zero does not grow [C3].
    unsafe { at::<T>(core, offset_of!(Core<T>, value)).drop_in_place() };
    // SAFETY: the block is not used again after the allocator has left it.
    let allocator = unsafe { at::<A>(block, offset_of!(Block<F, T, A>, allocator)).read() };
    // SAFETY: from this allocator with this layout.
    unsafe { allocator.free(block, Layout::new::<Block<F, T, A>>()) };
}

/// Gives up a reference. Returns how many are left.
///
/// # Safety
/// The caller has a reference, which is gone afterwards.
pub(super) unsafe fn release<T>(core: NonNull<Core<T>>) -> usize {
    // SAFETY: the caller's reference.
    let left = unsafe { core.as_ref() }.count.remove();
    if left == 0 {
        // SAFETY: as above: nobody else can change it.
        if let Some(destroy) = unsafe { core.as_ref() }.life.destroy {
            // SAFETY: the count is zero.
            unsafe { destroy(core.cast()) };
        }
    }
    left
}

/// The outer object of a part of an aggregate.
///
/// # Safety
/// The object lives.
unsafe fn whole<T>(core: NonNull<Core<T>>) -> Option<NonNull<IUnknownRaw>> {
    // SAFETY: this function's contract.
    let back = unsafe { core.as_ref() }.life.whole?;
    // SAFETY: it stands there in the same block.
    let place = unsafe { core.byte_sub(back) };
    // SAFETY: as above.
    Some(unsafe { place.cast().read() })
}

/// One more reference to the object, or to the aggregate that it is a part of `[C19]`.
///
/// # Safety
/// The caller has one.
pub(super) unsafe fn hold<T>(core: NonNull<Core<T>>) {
    // SAFETY: this function's contract.
    match unsafe { whole(core) } {
        // SAFETY: as above.
        None => drop(unsafe { core.as_ref() }.add_reference()),
        // SAFETY: as above: the caller's reference is the outer object's.
        Some(outer) => drop(unsafe { call_add_ref(outer) }),
    }
}

/// Gives up what [`hold`] has taken. With the last one an aggregate goes, and the object with it.
///
/// # Safety
/// The caller has a reference, which is gone afterwards.
pub(super) unsafe fn let_go<T>(core: NonNull<Core<T>>) {
    // SAFETY: this function's contract.
    match unsafe { whole(core) } {
        // SAFETY: as above.
        None => drop(unsafe { release(core) }),
        // SAFETY: as above: the reference is the outer object's.
        Some(outer) => drop(unsafe { call_release(outer) }),
    }
}
