//! A static of the driver's that tests can use on several simulated kernels.

use core::ops::Deref;

use super::own;

/// A value in a driver's static, of which each simulated kernel has its own.
///
/// A test program is loaded once and simulates many kernels, also several at a time. A plain static
/// keeps what the test before has left in it, and tests that run at the same time share it. In an
/// `ImageStatic` each simulated kernel finds the value that the static was declared with, as a
/// driver does that has just been loaded. In a driver it is the value itself and costs nothing.
///
/// The types of this crate that are made for statics do this by themselves:
/// [`Signal`](crate::Signal), `TaskStorage`, [`EtwProvider`](crate::EtwProvider). A simulated
/// kernel makes its copy of the bytes that the program was loaded with, and never drops it. On
/// hosts other than Linux and Windows it is a plain value.
/// [`driver_static!`](crate::driver_static) declares one.
///
/// IRQL: any; the memory is the image's.
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use ntcom_exec::driver_static;
/// use ntsim::{Config, Schedule, Simulation};
///
/// driver_static! {
///     static OPENED: AtomicU32 = AtomicU32::new(0);
/// }
///
/// for seed in 0..3 {
///     let mut kernel = Simulation::new(Config::default(), Schedule::seed(seed));
///     kernel.run(vec![(0, Box::new(|| {
///         assert_eq!(OPENED.fetch_add(1, Relaxed), 0);
///     }))])?;
/// }
/// # Ok::<(), ntsim::Stop>(())
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct ImageStatic<T>(T);

impl<T> ImageStatic<T> {
    /// The value that the driver is loaded with: [`driver_static!`](crate::driver_static) calls this.
    ///
    /// # Safety
    /// It is the initial value of a static, or is never in one. (In a static's `OnceLock`, say, each simulated
    /// kernel would copy what was made while the program ran, and each copy would own what that owns.)
    pub const unsafe fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for ImageStatic<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the value of a static, by the promise of `new`, of which every use comes through here.
        unsafe { own(&self.0) }
    }
}

/// Declares statics of a driver, each an [`ImageStatic`]: every simulated kernel has its own.
///
/// ```
/// # #![forbid(unsafe_code)]
/// use core::sync::atomic::AtomicU32;
/// use ntcom_exec::{ImageStatic, driver_static};
///
/// driver_static! {
///     /// How often the device has been opened.
///     static OPENED: AtomicU32 = AtomicU32::new(0);
/// }
/// let _: &ImageStatic<AtomicU32> = &OPENED;
/// ```
///
/// A value that is made while the program runs is for no static: each simulated kernel would own what
/// it owns.
///
/// ```compile_fail,E0133
/// use std::sync::{Mutex, OnceLock};
/// use ntcom_exec::ImageStatic;
///
/// static LATE: OnceLock<ImageStatic<Mutex<Vec<u8>>>> = OnceLock::new();
/// let _ = LATE.set(ImageStatic::new(Mutex::new(vec![1])));
/// ```
#[macro_export]
macro_rules! driver_static {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;)+) => { $(
        $(#[$attribute])*
        $visibility static $name: $crate::ImageStatic<$type> = {
            // Not in the block below, in which it could do what is unsafe.
            let value: $type = $value;
            // SAFETY: the initial value of a static.
            unsafe { $crate::ImageStatic::new(value) }
        };
    )+ };
}
