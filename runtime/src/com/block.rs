//! The block of an object: its interfaces, the count, the value, the allocator.
//!
//! ```text
//! front      the interfaces: a pointer to a table each, the primary first
//! core       count, destroy, value        what does not depend on the interfaces: `This` points here
//! allocator
//! ```
//!
//! An interface pointer is the address of one of the table pointers, so the core stands a fixed distance after it, which the
//! slots of that table know ([`Place`](super::place::Place)).

use core::{
    alloc::Layout,
    mem::{ManuallyDrop, offset_of},
    ptr::NonNull,
};

use ntcom_exec::ReferenceCount;

use crate::{Init, NTSTATUS, NonPaged};

/// The part that is the same whatever the interfaces and the allocator are.
#[repr(C)]
pub(crate) struct Core<T> {
    count: ReferenceCount,
    /// Drops the value and frees the block, whose count is zero. None: the object is a static, and is never without a reference.
    destroy: Option<unsafe fn(NonNull<Core<T>>)>,
    value: T,
}

impl<T> Core<T> {
    /// The core of a static, which has one reference for ever.
    pub(super) const fn immortal(value: T) -> Self {
        Self { count: ReferenceCount::one(), destroy: None, value }
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
pub(super) fn make<F, T, A, I>(
    front: F,
    allocator: A,
    init: impl FnOnce(NonNull<Front<F, T>>) -> I,
) -> Result<NonNull<Front<F, T>>, NTSTATUS>
where
    A: NonPaged,
    I: Init<T, NTSTATUS>,
{
    let layout = Layout::new::<Block<F, T, A>>();
    let memory = allocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?;
    let core = offset_of!(Front<F, T>, core);
    // SAFETY: the field's place in new memory of the block's layout; likewise below.
    unsafe { at(memory, offset_of!(Front<F, T>, front)).write(front) };
    // SAFETY: as above.
    unsafe { at(memory, core + offset_of!(Core<T>, count)).write(ReferenceCount::one()) };
    let destroy: Option<unsafe fn(NonNull<Core<T>>)> = Some(destroy::<F, T, A>);
    // SAFETY: as above.
    unsafe { at(memory, core + offset_of!(Core<T>, destroy)).write(destroy) };
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
unsafe fn destroy<F, T, A: NonPaged>(core: NonNull<Core<T>>) {
    // SAFETY: the core stands there in its block.
    let block = unsafe { core.cast::<u8>().byte_sub(offset_of!(Front<F, T>, core)) };
    // SAFETY: nobody else has the object. Its `Drop` may not revive it: a count of zero does not grow [C3].
    unsafe { at::<T>(core.cast(), offset_of!(Core<T>, value)).drop_in_place() };
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
        if let Some(destroy) = unsafe { core.as_ref() }.destroy {
            // SAFETY: the count is zero.
            unsafe { destroy(core) };
        }
    }
    left
}
