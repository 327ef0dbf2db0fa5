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
/// kernel makes its copy of the bytes that the program was loaded with, and never drops it. Outside
/// of a static, and on hosts other than Linux and Windows, it is a plain value.
///
/// IRQL: any; the memory is the image's.
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use ntcom_exec::ImageStatic;
/// use ntsim::{Config, Schedule, Simulation};
///
/// static OPENED: ImageStatic<AtomicU32> = ImageStatic::new(AtomicU32::new(0));
///
/// for seed in 0..3 {
///     let mut kernel = Simulation::new(Config::default(), Schedule::seed(seed));
///     kernel.run(vec![(0, Box::new(|| {
///         assert_eq!(OPENED.fetch_add(1, Relaxed), 0);
///     }))])?;
/// }
/// # Ok::<(), ntsim::Stop>(())
/// ```
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct ImageStatic<T>(T);

impl<T> ImageStatic<T> {
    /// The value that the driver is loaded with.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for ImageStatic<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        own(&self.0)
    }
}
