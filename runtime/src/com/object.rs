//! COM objects that are made of a Rust value.

use core::{marker::PhantomData, ptr::NonNull};

use super::{
    ComRc, IUnknown, Interfaces,
    block::{self, Front, Itself},
    interface_slot::Standalone,
    interfaces::BuiltTables,
};
use crate::{
    GlobalAllocator, NTSTATUS, NonPaged,
    alloc::{Init, init_with},
};

/// Makes COM objects of a Rust value.
///
/// Each object is one block from `A` with a pointer for each of the interfaces `S`, the count, and
/// the value.
///
/// `S` is an interface, or a tuple of them, the primary one first (see [`Interfaces`]). The object
/// is always behind an interface pointer or a [`This`](super::This), which any of its interfaces
/// leads to. This type only names its type parameters.
///
/// The last Release drops the value and frees the block, on any processor, at any IRQL that its
/// clients may have. So both must be legal at DISPATCH_LEVEL, and the value is `Send` and `Sync`
/// (by `IUnknown`). Reviving the object from its own `Drop` fails fast `[C3]`.
///
/// ```
/// use ntcom::{ComObject, GUID, IUnknown, NTSTATUS, declare_com_interface};
///
/// declare_com_interface! {
///     /// An interface that answers.
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
/// # kernel.run_on(0, || {
/// // SAFETY: the pointer from `hand_out` owns a reference.
/// let client = unsafe { ntcom::ComRc::from_raw(hand_out().unwrap()) }.unwrap();
/// assert_eq!(client.answer(), Ok(42));
/// # }).unwrap();
/// ```
pub struct ComObject<T, S, A = GlobalAllocator>(PhantomData<(T, S, A)>);

#[expect(clippy::new_ret_no_self, reason = "an object is only ever behind a pointer")]
impl<T, S> ComObject<T, S> {
    /// Makes an object in non-paged pool. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// The value passes over the caller's stack, several times without optimisations, and a kernel
    /// stack has 24 KiB. Build a value of more than a few hundred bytes in place, with
    /// [`init_in`](Self::init_in) and [`from_pin_init`](crate::alloc::from_pin_init).
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory. The value has been dropped.
    pub fn new(value: T) -> Result<ComRc<S::Primary>, NTSTATUS>
    where
        T: IUnknown,
        S: Interfaces<T>,
    {
        Self::new_in(value, GlobalAllocator)
    }
}

impl<T, S, A> ComObject<T, S, A> {
    /// Makes an object in memory of this allocator. IRQL: ≤ DISPATCH_LEVEL. The value passes over
    /// the stack, as in [`new`](ComObject::new).
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory. The value has been dropped.
    pub fn new_in(value: T, allocator: A) -> Result<ComRc<S::Primary>, NTSTATUS>
    where
        T: IUnknown,
        S: Interfaces<T>,
        A: NonPaged + Send + 'static,
    {
        Self::init_in(allocator, init_with(|| Ok(value)))
    }

    /// Makes an object, and builds its value in place. IRQL: ≤ DISPATCH_LEVEL, and what the
    /// initialiser needs.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory; nothing has been built then.
    /// Otherwise the initialiser's own error.
    ///
    /// ```
    /// use ntcom::{ComObject, GUID, GlobalAllocator, IUnknown, NTSTATUS, declare_com_interface, pin_init};
    /// # declare_com_interface! {
    /// #     /// A buffer with a size.
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
    /// # kernel.run_on(0, || {
    /// let object = ComObject::<Buffer, IBufferRaw, _>::init_in(GlobalAllocator, pin_init!(Buffer([0; 512])));
    /// assert_eq!(object.unwrap().size(), Ok(512));
    /// # }).unwrap();
    /// ```
    pub fn init_in(allocator: A, init: impl Init<T, NTSTATUS>) -> Result<ComRc<S::Primary>, NTSTATUS>
    where
        T: IUnknown,
        S: Interfaces<T>,
        A: NonPaged + Send + 'static,
    {
        let front = <S::__BuiltTables<Standalone<S>>>::TABLES;
        let init = |_: NonNull<Front<S::Tables, T>>| init;
        let object = block::make::<_, _, _, _, Itself>(front, allocator, init)?;
        // SAFETY: `block::make` built an object with these interfaces, the primary one first, and
        // `object` is its one reference.
        unsafe { ComRc::from_raw(object.cast().as_ptr()) }
    }
}
