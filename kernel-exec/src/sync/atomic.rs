//! Core's atomics, for the code of a driver.
//!
//! In a driver and without a kernel these are the types of [`core::sync::atomic`]. On the simulated
//! kernel they have the same layout and operations. There each operation is a preemption point and
//! has an event in the trace, and its address is checked as that of every access to pool memory is.
//! So a test finds an order of two processors' operations in which the driver is wrong.
//!
//! The simulated kernel is sequentially consistent: it does not find an [`Ordering`] that is too
//! weak.
//!
//! ```
//! # #[cfg(feature = "sim")] {
//! use ntcom_exec::{driver_static, sync::atomic::{AtomicU32, Ordering::Relaxed}};
//! use ntsim::{Config, Limits, explore};
//!
//! driver_static! {
//!     static OPENED: AtomicU32 = AtomicU32::new(0);
//! }
//!
//! // Two operations where one `fetch_add` would be right.
//! fn open() {
//!     OPENED.store(OPENED.load(Relaxed) + 1, Relaxed);
//! }
//!
//! let explored = explore(Config { processors: 2, ..Config::default() }, Limits::default(), |kernel| {
//!     kernel.programs().on(0, open).on(1, open).run()?;
//!     kernel.run_on(0, || assert_eq!(OPENED.load(Relaxed), 2))
//! });
//! let finding = explored.finding.expect("an update is lost");
//! assert!(finding.stop.to_string().starts_with("panic at "), "{}", finding.stop);
//! # }
//! ```

#[cfg(not(kernel = "sim"))]
pub use core::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
};
#[cfg(kernel = "sim")]
pub use ntsim::sync::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
};
