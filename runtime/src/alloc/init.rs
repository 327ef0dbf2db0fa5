//! Initialisers: recipes for a value, followed where the value is to stay.

use core::{marker::PhantomData, mem::MaybeUninit, ptr::NonNull};

use pin_init::PinUninit;

/// A recipe for a `T`, followed once, in the place where the `T` stays: in an operation's block, in a box, in an object.
///
/// Made by [`pin_init!`](crate::pin_init), by [`init_with`], or, for types that are put together in place, by the crate `pin-init` and
/// [`from_pin_init`].
///
/// # Safety
/// Where [`init`](Self::init) returns Ok the place holds a `T`; where it returns an error nothing has been built there.
///
/// ```
/// use ntcom::{GlobalAllocator, KBox, NTSTATUS, pin_init};
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let boxed: Result<_, NTSTATUS> = KBox::init_in(GlobalAllocator, pin_init!([7_u8; 512]));
/// assert_eq!(boxed.unwrap()[511], 7);
/// # }))]).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not build a `{T}` that may fail with `{E}`",
    label = "not an initialiser of `{T}`",
    note = "write `pin_init!(expression)`, whose `?` may fail with `{E}`"
)]
pub unsafe trait Init<T, E>: Sized {
    /// Builds the value.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Safety
    /// `place` is valid for writing a `T`, aligned, and holds none; if this returns Ok the `T` stays there until it is dropped.
    unsafe fn init(self, place: NonNull<T>) -> Result<(), E>;
}

/// The initialiser that [`init_with`] makes, and [`pin_init!`](crate::pin_init) with it.
///
/// ```
/// use ntcom::alloc::{InitWith, init_with};
/// let seven: InitWith<_> = init_with(|| Ok::<u32, ntcom::NTSTATUS>(7));
/// # drop(seven);
/// ```
pub struct InitWith<F>(F);

/// An initialiser that calls a function for the value.
///
/// ```
/// use ntcom::{GlobalAllocator, KBox, NTSTATUS, alloc::init_with};
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let refused = KBox::<u32, _>::init_in(GlobalAllocator, init_with(|| Err(NTSTATUS::NOT_SUPPORTED)));
/// assert_eq!(refused.err(), Some(NTSTATUS::NOT_SUPPORTED));
/// # }))]).unwrap();
/// ```
pub fn init_with<T, E, F: FnOnce() -> Result<T, E>>(function: F) -> InitWith<F> {
    InitWith(function)
}

// SAFETY: the value is written before Ok is returned, and not otherwise.
unsafe impl<T, E, F: FnOnce() -> Result<T, E>> Init<T, E> for InitWith<F> {
    unsafe fn init(self, place: NonNull<T>) -> Result<(), E> {
        let value = (self.0)()?;
        // SAFETY: this function's contract.
        unsafe { place.write(value) };
        Ok(())
    }
}

struct FromPinInit<I, E>(I, PhantomData<fn() -> E>);

/// An initialiser of the crate `pin-init` 0.2, for types that are put together in place: what its `init_pin!` makes, say.
///
/// This function is the only place where that crate is named, so that it can be exchanged. It is used because it is safe to use, needs
/// no allocation, and lets an initialiser fail; its own boxes are not, because they allocate infallibly.
///
/// ```
/// use ntcom::{GlobalAllocator, KBox, NTSTATUS, alloc::from_pin_init};
/// use pin_init::{init_from_closure, specify_err, PinUninit};
///
/// /// Knows where it is.
/// struct Located(*const Located);
///
/// let located = init_from_closure(|mut place: PinUninit<'_, Located>| {
///     let this = place.get_mut().as_mut_ptr().cast_const();
///     Ok(place.init_with_value(Located(this)))
/// });
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(move || {
/// let boxed = KBox::init_in(GlobalAllocator, from_pin_init::<_, NTSTATUS>(located)).unwrap();
/// assert_eq!(boxed.0, &raw const *boxed);
/// # }))]).unwrap();
/// ```
pub fn from_pin_init<T, E>(init: impl pin_init::Init<T, E>) -> impl Init<T, E> {
    FromPinInit(init, PhantomData)
}

// SAFETY: pin-init's contract says the same of its results.
unsafe impl<T, E, I: pin_init::Init<T, E>> Init<T, E> for FromPinInit<I, E> {
    unsafe fn init(self, place: NonNull<T>) -> Result<(), E> {
        let mut place = place.cast::<MaybeUninit<T>>();
        // SAFETY: writable and holding nothing, by this function's contract.
        let place = unsafe { place.as_mut() };
        // SAFETY: the place is where the value stays, by this function's contract, and the result is passed on as it is.
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

/// An initialiser that evaluates an expression when the place for it is there: its arguments are moved in, and `?` may fail.
///
/// The expression's value passes over the stack. What is too large for that is built in place with
/// [`from_pin_init`](crate::alloc::from_pin_init).
///
/// ```
/// use ntcom::{GlobalAllocator, KBox, NTSTATUS, pin_init};
///
/// fn checked(length: usize) -> Result<usize, NTSTATUS> {
///     if length > 64 { Err(NTSTATUS::INVALID_PARAMETER) } else { Ok(length) }
/// }
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// let boxed: Result<KBox<usize, _>, NTSTATUS> = KBox::init_in(GlobalAllocator, pin_init!(checked(65)? + 1));
/// assert_eq!(boxed.err(), Some(NTSTATUS::INVALID_PARAMETER));
/// # }))]).unwrap();
/// ```
#[macro_export]
macro_rules! pin_init {
    ($value:expr) => {
        $crate::alloc::init_with(move || ::core::result::Result::Ok($value))
    };
}
