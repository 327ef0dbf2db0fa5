//! Recipes, which implementations of async methods return. A recipe is an initialiser for the body,
//! and an allocator for its block.
//!
//! # Why a recipe
//!
//! An async method returns an allocator and an initialiser. The slot allocates the operation's
//! block and builds the body in it. So there is one allocation, and no box that could fail. A
//! failing initialiser turns the block that is there into the Error operation.
//!
//! The future of an `async` block has no name on stable, so a method that returns one is declared
//! `#[opaque]`. A `&self` knows nothing of the count before it. A body therefore reaches its own
//! object through the pointer that the slot gives to the recipe.

use core::{future::Future, marker::PhantomData};

use ntcom_exec::{Allocator, NTSTATUS, OnDpcs, Placement};

use super::method::Object;
use crate::{Init, This, alloc::InitWith};

/// A recipe for a body `F`, which implementations of `async fn` methods return.
///
/// It has an allocator `A` for the operation's block, and an initialiser that builds the body in
/// the block, or fails with an `E`.
///
/// ```
/// use ntcom::{GlobalAllocator, InitBox, InitBoxTrait, NTSTATUS, pin_init};
/// use core::future::Ready;
///
/// fn recipe() -> impl InitBoxTrait<Ready<u32>, GlobalAllocator, NTSTATUS> {
///     InitBox::new(GlobalAllocator, pin_init!(core::future::ready(1)))
/// }
/// let (_allocator, _init) = recipe().into_parts();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no recipe for a body `{F}` in a block of `{A}`",
    note = "write `InitBox::new(allocator, pin_init!(future))`"
)]
pub trait InitBoxTrait<F, A: Allocator, E>: Sized {
    /// The type of the initialiser.
    type Init: Init<F, E>;

    /// Takes the recipe apart, into the allocator and the initialiser.
    fn into_parts(self) -> (A, Self::Init);

    /// Returns the operation's placement, which is on DPCs unless the recipe says otherwise
    /// ([`InitBox::on`]).
    fn placement(&self) -> impl Placement + use<Self, F, A, E> {
        OnDpcs
    }
}

/// A recipe for a body without a name, such as the future of an `async` block.
///
/// Implementations of `#[opaque] async fn` methods return it. `T` is the output of the body.
///
/// ```
/// use ntcom::{AsyncBody, GlobalAllocator, InitBox, NTSTATUS, pin_init};
///
/// fn recipe(n: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
///     InitBox::new(GlobalAllocator, pin_init!(async move { n + 1 }))
/// }
/// # drop(recipe(1));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no recipe for a body with output `{T}` in a block of `{A}`",
    note = "write `InitBox::new(allocator, pin_init!(async move {{ … }}))`; the body must be `Send` and `'static`"
)]
pub trait AsyncBody<T, A: Allocator, E>: Sized {
    /// The type of the body.
    type Body: Future<Output = T> + Send + 'static;
    /// The type of the initialiser.
    type Init: Init<Self::Body, E>;

    /// Takes the recipe apart for a method of this object, into the allocator and the initialiser.
    #[doc(hidden)]
    fn into_parts_for(self, object: Object<'_>) -> (A, Self::Init);

    /// Returns the operation's placement, which is on DPCs unless the recipe says otherwise
    /// ([`InitBox::on`]).
    fn placement(&self) -> impl Placement + use<Self, T, A, E> {
        OnDpcs
    }
}

/// The recipe for the body of an operation.
///
/// It holds an allocator and an initialiser, and allocates nothing. The slot builds the body in the
/// operation's block, which is the only allocation.
pub struct InitBox<F, A, E, I, L = OnDpcs> {
    allocator: A,
    init: I,
    placement: L,
    _body: PhantomData<fn() -> (F, E)>,
}

impl<F, A: Allocator, E, I: Init<F, E>> InitBox<F, A, E, I> {
    /// Makes a recipe for a body that `init` builds in a block from `allocator`.
    pub fn new(allocator: A, init: I) -> Self {
        Self { allocator, init, placement: OnDpcs, _body: PhantomData }
    }
}

impl<O, F, A: Allocator, G> InitBox<F, A, NTSTATUS, WithThis<O, G>>
where
    O: Send + Sync + 'static,
    G: FnOnce(This<O>) -> F,
{
    /// Makes a recipe for a body that uses its own object, to which `make` receives a counted
    /// pointer.
    ///
    /// The pointer is one more reference than the one that the operation itself holds while the
    /// body lives. In a part of an aggregate both are the aggregate's, so the body may use the
    /// outer object, too. `O` must be the type that implements the method, `Self`. For another type
    /// the operation ends in state Error with `STATUS_DRIVER_INTERNAL_ERROR`.
    ///
    /// ```
    /// use core::sync::atomic::{AtomicU32, Ordering};
    /// use ntcom::{
    ///     AsyncBody, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, This, declare_com_interface,
    /// };
    ///
    /// declare_com_interface! {
    ///     /// Counts.
    ///     pub trait ICounter: IUnknown {
    ///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a04);
    ///         /// Adds to the count, and returns it.
    ///         #[opaque]
    ///         async fn add(&self, n: u32) -> u32;
    ///     }
    /// }
    ///
    /// struct Counter(AtomicU32);
    ///
    /// // SAFETY: the body touches nothing but an atomic in non-paged pool.
    /// unsafe impl ICounter for Counter {
    ///     type Allocator = GlobalAllocator;
    ///     fn add(&self, n: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
    ///         InitBox::with_this(GlobalAllocator, move |this: This<Self>| async move {
    ///             this.0.fetch_add(n, Ordering::Relaxed) + n
    ///         })
    ///     }
    /// }
    /// # #[cfg(feature = "sim")] {
    /// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let counter = ComObject::<_, ICounterRaw>::new(Counter(AtomicU32::new(40))).unwrap();
    /// assert_eq!(counter.add(2).unwrap().result(), Ok(42));
    /// # }).unwrap();
    /// # }
    /// ```
    pub fn with_this(allocator: A, make: G) -> Self {
        Self {
            allocator,
            init: WithThis { make, _object: PhantomData },
            placement: OnDpcs,
            _body: PhantomData,
        }
    }
}

impl<F, A, E, I, L> InitBox<F, A, E, I, L> {
    /// Sets where the operation runs.
    ///
    /// `DpcOptions` has an importance, a processor and a budget. `OnWorkItems` is PASSIVE_LEVEL.
    /// `Migrating` is for bodies that go to PASSIVE_LEVEL for a while. If the placement refuses the
    /// operation, its status is the operation's.
    ///
    /// ```
    /// use ntcom::{AsyncBody, GlobalAllocator, InitBox, NTSTATUS, pin_init};
    /// use ntcom_exec::{DpcOptions, Importance};
    ///
    /// fn urgent(n: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
    ///     InitBox::new(GlobalAllocator, pin_init!(async move { n + 1 }))
    ///         .on(DpcOptions::new().importance(Importance::High))
    /// }
    /// # drop(urgent(1));
    /// ```
    pub fn on<P: Placement + Copy>(self, placement: P) -> InitBox<F, A, E, I, P> {
        InitBox { allocator: self.allocator, init: self.init, placement, _body: PhantomData }
    }
}

#[doc(hidden)]
/// The initialiser of [`InitBox::with_this`], before it knows its object.
pub struct WithThis<O, G> {
    make: G,
    _object: PhantomData<fn(O)>,
}

#[doc(hidden)]
/// The initialiser of [`InitBox::with_this`], with its object.
pub struct MadeWithThis<O, G> {
    make: G,
    this: Option<This<O>>,
}

// SAFETY: `init` writes the body before it returns Ok.
unsafe impl<O, F, G: FnOnce(This<O>) -> F> Init<F, NTSTATUS> for MadeWithThis<O, G> {
    unsafe fn init(self, place: core::ptr::NonNull<F>) -> Result<(), NTSTATUS> {
        // The recipe may name another type than that of its object.
        let this = self.this.ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR)?;
        // SAFETY: the caller's place has room for the body.
        unsafe { place.write((self.make)(this)) };
        Ok(())
    }
}

impl<F, A, E, I, L> InitBoxTrait<F, A, E> for InitBox<F, A, E, I, L>
where
    A: Allocator,
    I: Init<F, E>,
    L: Placement + Copy,
{
    type Init = I;

    fn into_parts(self) -> (A, I) {
        (self.allocator, self.init)
    }

    fn placement(&self) -> impl Placement + use<F, A, E, I, L> {
        self.placement
    }
}

impl<T, F, A, E, G, L> AsyncBody<T, A, E> for InitBox<F, A, E, InitWith<G>, L>
where
    F: Future<Output = T> + Send + 'static,
    A: Allocator,
    L: Placement + Copy,
    InitWith<G>: Init<F, E>,
{
    type Body = F;
    type Init = InitWith<G>;

    fn into_parts_for(self, _object: Object<'_>) -> (A, Self::Init) {
        (self.allocator, self.init)
    }

    fn placement(&self) -> impl Placement + use<T, F, A, E, G, L> {
        self.placement
    }
}

impl<T, F, A, O, G, L> AsyncBody<T, A, NTSTATUS> for InitBox<F, A, NTSTATUS, WithThis<O, G>, L>
where
    F: Future<Output = T> + Send + 'static,
    A: Allocator,
    L: Placement + Copy,
    O: Send + Sync + 'static,
    G: FnOnce(This<O>) -> F,
{
    type Body = F;
    type Init = MadeWithThis<O, G>;

    fn into_parts_for(self, object: Object<'_>) -> (A, Self::Init) {
        (self.allocator, MadeWithThis { make: self.init.make, this: object.downcast() })
    }

    fn placement(&self) -> impl Placement + use<T, F, A, O, G, L> {
        self.placement
    }
}
