//! Objects: a Rust value behind an interface.

use core::{
    alloc::Layout,
    ffi::c_void,
    marker::PhantomData,
    mem::{ManuallyDrop, offset_of},
    ops::Deref,
    ptr::NonNull,
};

use ntcom_exec::ReferenceCount;

use super::{
    ComRc, GUID, IUnknownVtbl, Interface,
    unknown::{answer_query, visible_count},
};
use crate::{
    GlobalAllocator, NTSTATUS, NonPaged,
    alloc::{Init, init_with},
};

/// An interface that objects of type `T` can have: implemented by `declare_com_interface!` for every `T` that implements the
/// declared trait.
///
/// # Safety
/// `VTBL` points to a table of this interface that lives for ever, and whose slots take the head of an object of type `T` as `this`.
///
/// ```
/// use ntcom::{GUID, IUnknown, InterfaceOf, declare_com_interface};
///
/// declare_com_interface! {
///     /// Answers.
///     pub trait IAnswer: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a02);
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
    /// The table.
    const VTBL: *const c_void;
}

/// How an object begins, whatever its allocator.
#[repr(C)]
struct Head<T> {
    vtbl: *const c_void,
    count: ReferenceCount,
    /// Drops the value and frees the block, whose count is zero.
    destroy: unsafe fn(NonNull<Head<T>>),
    value: T,
}

/// The whole block.
#[repr(C)]
struct Block<T, A> {
    head: Head<T>,
    allocator: ManuallyDrop<A>,
}

/// Makes COM objects of a Rust value: one block from `A` with the interface's pointer, the count, and the value.
///
/// It is only ever behind an interface pointer or a [`This`]; this type names its instantiations. The value is dropped, and the block freed, by
/// whoever releases last: on any processor, at any IRQL that its clients may have, so both must be legal at DISPATCH_LEVEL, and
/// the value is `Send` and `Sync` (by `IUnknown`). Reviving the object from its own `Drop` fails fast `[C3]`.
///
/// ```
/// use ntcom::{ComObject, GUID, IUnknown, NTSTATUS, declare_com_interface};
///
/// declare_com_interface! {
///     /// Answers.
///     pub trait IAnswer: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a02);
///         /// The answer.
///         fn answer(&self) -> u32;
///     }
/// }
/// struct Deep(u32);
/// impl IAnswer for Deep {
///     fn answer(&self) -> u32 { self.0 }
/// }
///
/// fn hand_out() -> Result<*mut IAnswerRaw, NTSTATUS> {
///     Ok(ComObject::<Deep, IAnswerRaw>::new(Deep(42))?.into_raw())
/// }
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// // SAFETY: the pointer owns a reference.
/// let client = unsafe { ntcom::ComRc::from_raw(hand_out().unwrap()) }.unwrap();
/// assert_eq!(client.answer(), Ok(42));
/// # }))]).unwrap();
/// ```
pub struct ComObject<T, I, A = GlobalAllocator>(PhantomData<(T, I, A)>);

#[expect(clippy::new_ret_no_self, reason = "an object is only ever behind a pointer")]
impl<T: Send + Sync + 'static, I: InterfaceOf<T>> ComObject<T, I> {
    /// An object in non-paged pool. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory; the value has been dropped.
    pub fn new(value: T) -> Result<ComRc<I>, NTSTATUS> {
        Self::new_in(value, GlobalAllocator)
    }
}

impl<T, I, A> ComObject<T, I, A>
where
    T: Send + Sync + 'static,
    I: InterfaceOf<T>,
    A: NonPaged + Send + 'static,
{
    /// An object in memory of this allocator. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory; the value has been dropped.
    pub fn new_in(value: T, allocator: A) -> Result<ComRc<I>, NTSTATUS> {
        Self::init_in(allocator, init_with(|| Ok(value)))
    }

    /// An object whose value is built in place. IRQL: ≤ DISPATCH_LEVEL, and what the initialiser needs.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory, and nothing has been built; else what the initialiser says.
    ///
    /// ```
    /// use ntcom::{ComObject, GUID, GlobalAllocator, IUnknown, NTSTATUS, declare_com_interface, pin_init};
    /// # declare_com_interface! {
    /// #     /// Has a size.
    /// #     pub trait IBuffer: IUnknown {
    /// #         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a03);
    /// #         /// The size.
    /// #         fn size(&self) -> u32;
    /// #     }
    /// # }
    /// # struct Buffer([u8; 512]);
    /// # impl IBuffer for Buffer {
    /// #     fn size(&self) -> u32 { self.0.len() as u32 }
    /// # }
    /// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
    /// # kernel.run(vec![(0, Box::new(|| {
    /// let object = ComObject::<Buffer, IBufferRaw, _>::init_in(GlobalAllocator, pin_init!(Buffer([0; 512])));
    /// assert_eq!(object.unwrap().size(), Ok(512));
    /// # }))]).unwrap();
    /// ```
    pub fn init_in(allocator: A, init: impl Init<T, NTSTATUS>) -> Result<ComRc<I>, NTSTATUS> {
        let layout = Layout::new::<Block<T, A>>();
        let memory = allocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?;
        let value = at::<T>(memory, offset_of!(Block<T, A>, head) + offset_of!(Head<T>, value));
        // A panic below would leave a block of which nobody knows what is in it.
        let built = ntcom_exec::no_unwind(|| {
            // SAFETY: the value's place in new memory of the block's layout, where it stays until the object is destroyed.
            unsafe { init.init(value) }
        });
        if let Err(status) = built {
            // SAFETY: from this allocator with this layout, holding nothing.
            unsafe { allocator.free(memory, layout) };
            return Err(status);
        }
        // SAFETY: the field's place in new memory of the block's layout; likewise below.
        unsafe { at(memory, offset_of!(Head<T>, vtbl)).write(I::VTBL) };
        // SAFETY: as above.
        unsafe { at(memory, offset_of!(Head<T>, count)).write(ReferenceCount::one()) };
        let destroy: unsafe fn(NonNull<Head<T>>) = destroy::<T, A>;
        // SAFETY: as above.
        unsafe { at(memory, offset_of!(Head<T>, destroy)).write(destroy) };
        // SAFETY: as above.
        unsafe { at(memory, offset_of!(Block<T, A>, allocator)).write(allocator) };
        // SAFETY: a new object of this interface, whose one reference this is.
        unsafe { ComRc::from_raw(memory.cast().as_ptr()) }
    }
}

/// The place of a field.
fn at<F>(block: NonNull<u8>, offset: usize) -> NonNull<F> {
    // SAFETY: `offset` is a field's in the block, which is one allocation.
    unsafe { block.byte_add(offset) }.cast()
}

/// # Safety
/// The head is of a block with this allocator, whose count is zero.
unsafe fn destroy<T, A: NonPaged>(head: NonNull<Head<T>>) {
    let block = head.cast::<u8>();
    // SAFETY: nobody else has the object. Its `Drop` may not revive it: a count of zero does not grow [C3].
    unsafe { at::<T>(block, offset_of!(Head<T>, value)).drop_in_place() };
    // SAFETY: the block is not used again after the allocator has left it.
    let allocator = unsafe { at::<A>(block, offset_of!(Block<T, A>, allocator)).read() };
    // SAFETY: from this allocator with this layout.
    unsafe { allocator.free(block, Layout::new::<Block<T, A>>()) };
}

/// A counted pointer to an object of our own whose type is known: what a body uses to reach its object
/// ([`InitBox::with_this`](crate::InitBox::with_this)).
///
/// Clone is AddRef, Drop is Release; the last one destroys the object, at the caller's IRQL. `Send` and `Sync`, because objects are.
///
/// ```
/// # fn reads<T: Send + Sync + 'static>(this: ntcom::This<T>) {
/// let again = this.clone();
/// let value: &T = &again;
/// # }
/// ```
pub struct This<T>(NonNull<Head<T>>);

// SAFETY: the count may change on any processor, and so may the value be used and dropped.
unsafe impl<T: Send + Sync> Send for This<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for This<T> {}

impl<T> This<T> {
    /// One more reference to the object behind an interface pointer.
    ///
    /// # Safety
    /// `this` is the interface of an object of type `T` that [`ComObject`] made, and the caller has a reference.
    ///
    /// ```
    /// use core::ptr::NonNull;
    /// use ntcom::{ComRc, Interface, InterfaceOf, This};
    ///
    /// /// The value of an object that this driver made itself.
    /// ///
    /// /// # Safety
    /// /// `ours` is an object of type `T`.
    /// unsafe fn value_of<T, I: InterfaceOf<T>>(ours: &ComRc<I>) -> Option<This<T>> {
    ///     let this = NonNull::new(ours.as_ptr())?;
    ///     // SAFETY: an object of that type, by this function's contract.
    ///     Some(unsafe { This::from_interface(this.cast()) })
    /// }
    /// ```
    pub unsafe fn from_interface(this: NonNull<c_void>) -> Self {
        let head = this.cast::<Head<T>>();
        // SAFETY: this function's contract.
        unsafe { head.as_ref() }.count.add();
        Self(head)
    }

    fn head(&self) -> &Head<T> {
        // SAFETY: the object lives while there is a reference.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Deref for This<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.head().value
    }
}

impl<T> Clone for This<T> {
    fn clone(&self) -> Self {
        self.head().count.add();
        Self(self.0)
    }
}

impl<T> Drop for This<T> {
    fn drop(&mut self) {
        // SAFETY: this reference, which is gone afterwards.
        unsafe { release_head(self.0) };
    }
}

impl<T: core::fmt::Debug> core::fmt::Debug for This<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        T::fmt(self, f)
    }
}

/// Gives up a reference. Returns how many are left.
///
/// # Safety
/// The caller has a reference, which is gone afterwards.
unsafe fn release_head<T>(head: NonNull<Head<T>>) -> usize {
    // SAFETY: the caller's reference.
    let left = unsafe { head.as_ref() }.count.remove();
    if left == 0 {
        // SAFETY: as above: nobody else can change it.
        let destroy = unsafe { head.as_ref() }.destroy;
        // SAFETY: the count is zero.
        unsafe { destroy(head) };
    }
    left
}

/// The object of a slot's `this`.
///
/// # Safety
/// `this` is the interface of an object of type `T` that [`ComObject`] made, and the caller has a reference while the result is used.
pub(crate) unsafe fn object<'a, T>(this: *mut c_void) -> &'a T {
    // SAFETY: this function's contract.
    let head = unsafe { &*this.cast_const().cast::<Head<T>>() };
    &head.value
}

impl IUnknownVtbl {
    /// The slots of an object's interface.
    #[doc(hidden)]
    #[must_use]
    pub const fn __of<T: 'static, I: Interface>() -> Self {
        Self {
            QueryInterface: Some(query_interface::<T, I>),
            AddRef: Some(add_ref::<T>),
            Release: Some(release::<T>),
        }
    }

    /// Whether IUnknown has a method of this name: the declaration checks that itself.
    #[doc(hidden)]
    #[must_use]
    pub const fn __has(_name: &str) -> bool {
        false
    }
}

unsafe extern "system" fn query_interface<T, I: Interface>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    let interface = |iid| {
        if !I::answers(&iid) {
            return None;
        }
        // SAFETY: a slot's contract.
        unsafe { add_ref::<T>(this) };
        Some(this)
    };
    // SAFETY: a slot's contract.
    unsafe { answer_query(iid, out, interface) }
}

unsafe extern "system" fn add_ref<T>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let head = unsafe { &*this.cast_const().cast::<Head<T>>() };
    visible_count(head.count.add())
}

unsafe extern "system" fn release<T>(this: *mut c_void) -> u32 {
    // SAFETY: interface pointers are not null.
    let head = unsafe { NonNull::new_unchecked(this) }.cast::<Head<T>>();
    // SAFETY: the client's reference, which is gone afterwards.
    visible_count(unsafe { release_head(head) })
}
