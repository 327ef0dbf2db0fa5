//! Statics of a driver that tests can use on several simulated kernels.

use core::ops::Deref;

use super::own;

/// A value in a driver's static, with a copy of its own in each simulated kernel.
///
/// A test program is loaded once and simulates many kernels, also several at a time. A plain static
/// keeps its value from one test to the next, and tests that run at the same time share it. In an
/// `ImageStatic` each simulated kernel finds the value that the static was declared with, as in a
/// driver that has just been loaded. In a driver it is the value itself and costs nothing.
///
/// The types of this crate that are made for statics do this by themselves. They are
/// [`Signal`](crate::Signal), `TaskStorage` and [`EtwProvider`](crate::EtwProvider). A simulated
/// kernel makes its copy of the bytes that the program was loaded with, and never drops it. On
/// hosts other than Linux and Windows it is a plain value. [`driver_static!`](crate::driver_static)
/// declares one.
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
///     kernel.run_on(0, || {
///         assert_eq!(OPENED.fetch_add(1, Relaxed), 0);
///     })?;
/// }
/// # Ok::<(), ntsim::Stop>(())
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct ImageStatic<T>(T);

impl<T> ImageStatic<T> {
    /// Wraps the value that the driver is loaded with. [`driver_static!`](crate::driver_static)
    /// calls this.
    ///
    /// # Safety
    /// The value is the initial value of a static, or is never in a static. (In a static's
    /// `OnceLock`, say, each simulated kernel would copy a value that was made while the program
    /// ran, and each copy would own the same resources.)
    pub const unsafe fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for ImageStatic<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: `new` promises that this is the value of a static, and every use of it comes
        // through here.
        unsafe { own(&self.0) }
    }
}

/// Declares statics of a driver.
///
/// Each is an [`ImageStatic`], with a copy of its own in every simulated kernel.
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
/// A value that is made while the program runs must not be in such a static, because each simulated
/// kernel would own the same resources.
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
            // Evaluated outside the unsafe block below, so that the expression may do nothing
            // unsafe.
            let value: $type = $value;
            // SAFETY: this is the initial value of a static.
            unsafe { $crate::ImageStatic::new(value) }
        };
    )+ };
}
