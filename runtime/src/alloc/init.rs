//! Initialisers, which are recipes that build a value in its final place.
//!
//! # Why one function names `pin-init`
//!
//! `pin-init` builds values field by field in their final place. Only one function names it, so
//! that another crate can replace it.

use core::{marker::PhantomData, mem::MaybeUninit, ptr::NonNull};

use pin_init::PinUninit;

/// A recipe that builds a `T` once, in the place where the `T` stays.
///
/// The place is an operation's block, a box, or an object. [`pin_init!`](crate::pin_init) and
/// [`init_with`] make initialisers. For types that are built field by field in place, use the crate
/// `pin-init` and [`from_pin_init`].
///
/// # Safety
/// If [`init`](Self::init) returns Ok, the place holds a `T`. If it returns an error, the place
/// holds nothing to drop.
///
/// ```
/// use ntcom::{GlobalAllocator, KBox, NTSTATUS, pin_init};
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let boxed: Result<_, NTSTATUS> = KBox::init_in(GlobalAllocator, pin_init!([7_u8; 512]));
/// assert_eq!(boxed.unwrap()[511], 7);
/// # }).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not build a `{T}` that may fail with `{E}`",
    label = "not an initialiser of `{T}`",
    note = "write `pin_init!(expression)`, whose `?` may fail with `{E}`"
)]
pub unsafe trait Init<T, E>: Sized {
    /// Builds the value in `place`.
    ///
    /// # Errors
    /// The reason why the value has not been built.
    ///
    /// # Safety
    /// `place` is valid for writing a `T`, aligned, and holds no value. If this returns Ok, the `T`
    /// stays there until it is dropped.
    unsafe fn init(self, place: NonNull<T>) -> Result<(), E>;
}

/// The initialiser that [`init_with`] and [`pin_init!`](crate::pin_init) make.
pub struct InitWith<F>(F);

/// Makes an initialiser that calls a function for the value. The value passes over the stack.
///
/// ```
/// use ntcom::{GlobalAllocator, KBox, NTSTATUS, alloc::init_with};
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let refused = KBox::<u32, _>::init_in(GlobalAllocator, init_with(|| Err(NTSTATUS::NOT_SUPPORTED)));
/// assert_eq!(refused.err(), Some(NTSTATUS::NOT_SUPPORTED));
/// # }).unwrap();
/// ```
pub fn init_with<T, E, F: FnOnce() -> Result<T, E>>(function: F) -> InitWith<F> {
    InitWith(function)
}

// SAFETY: the value is written before Ok is returned, and not otherwise.
unsafe impl<T, E, F: FnOnce() -> Result<T, E>> Init<T, E> for InitWith<F> {
    unsafe fn init(self, place: NonNull<T>) -> Result<(), E> {
        let value = (self.0)()?;
        // SAFETY: the caller passes a place that is aligned and valid for writing a `T`.
        unsafe { place.write(value) };
        Ok(())
    }
}

struct FromPinInit<I, E>(I, PhantomData<fn() -> E>);

/// Makes an initialiser from one of the crate `pin-init` 0.2, such as the result of its
/// `init_pin!`.
///
/// It is for types that are built field by field in place. Only this function names that crate, so
/// that it can be exchanged. The crate is safe to use, needs no allocation, and lets an initialiser
/// fail. Its own boxes are not used, because they allocate infallibly.
///
/// ```
/// use ntcom::{GlobalAllocator, KBox, NTSTATUS, alloc::from_pin_init};
/// use pin_init::{init_from_closure, specify_err, PinUninit};
///
/// /// A value that knows its own address.
/// struct Located(*const Located);
///
/// let located = init_from_closure(|mut place: PinUninit<'_, Located>| {
///     let this = place.get_mut().as_mut_ptr().cast_const();
///     Ok(place.init_with_value(Located(this)))
/// });
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, move || {
/// let boxed = KBox::init_in(GlobalAllocator, from_pin_init::<_, NTSTATUS>(located)).unwrap();
/// assert_eq!(boxed.0, &raw const *boxed);
/// # }).unwrap();
/// ```
pub fn from_pin_init<T, E>(init: impl pin_init::Init<T, E>) -> impl Init<T, E> {
    FromPinInit(init, PhantomData)
}

// SAFETY: `pin_init::Init` has the same contract about its result.
unsafe impl<T, E, I: pin_init::Init<T, E>> Init<T, E> for FromPinInit<I, E> {
    unsafe fn init(self, place: NonNull<T>) -> Result<(), E> {
        let mut place = place.cast::<MaybeUninit<T>>();
        // SAFETY: the caller passes a place that is writable and holds nothing.
        let place = unsafe { place.as_mut() };
        // SAFETY: the caller keeps the value in this place, and the result is passed on unchanged.
        let place = unsafe { PinUninit::new(place) };
        match init_in(self.0, place) {
            Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn init_in<T, E>(init: impl pin_init::Init<T, E>, place: PinUninit<'_, T>) -> Result<(), E> {
    match place.init(init) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.into_inner()),
    }
}

/// Makes an initialiser that evaluates an expression once its place has been allocated.
///
/// The expression's arguments are moved in, and its `?` may fail.
///
/// The expression's value passes over the stack. Build a value that is too large for that in place,
/// with [`from_pin_init`](crate::alloc::from_pin_init).
///
/// ```
/// use ntcom::{GlobalAllocator, KBox, NTSTATUS, pin_init};
///
/// fn checked(length: usize) -> Result<usize, NTSTATUS> {
///     if length > 64 { Err(NTSTATUS::INVALID_PARAMETER) } else { Ok(length) }
/// }
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let boxed: Result<KBox<usize, _>, NTSTATUS> = KBox::init_in(GlobalAllocator, pin_init!(checked(65)? + 1));
/// assert_eq!(boxed.err(), Some(NTSTATUS::INVALID_PARAMETER));
/// # }).unwrap();
/// ```
#[macro_export]
macro_rules! pin_init {
    ($value:expr) => {
        $crate::alloc::init_with(move || ::core::result::Result::Ok($value))
    };
}
