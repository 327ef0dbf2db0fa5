//! A cell of a driver in which the simulated kernel finds races.

use super::UnsafeCell;

/// Memory that the driver's own protocol protects, such as a flag that says which code may use it.
///
/// In a driver and without a kernel it is [`core::cell::UnsafeCell`]. On the simulated kernel two
/// accesses that overlap end the run with a finding, if one of them is a
/// [`with_mut`](Self::with_mut): a data race of two processors, or two accesses of one processor.
/// The beginning and the end of each access are preemption points. Several reads may overlap.
///
/// Like core's cell it is not [`Sync`]. The type that has the protocol says that it is.
///
/// IRQL: any, if the memory is resident.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use ntcom_exec::sync::RaceCell;
/// use ntsim::{Config, Limits, explore};
///
/// struct Shared(RaceCell<u32>);
/// // SAFETY: a mistake of this example, because nothing keeps two processors apart.
/// unsafe impl Sync for Shared {}
/// static SHARED: Shared = Shared(RaceCell::new(0));
///
/// fn add() {
///     // SAFETY: not kept, as above.
///     SHARED.0.with_mut(|value| unsafe { *value += 1 });
/// }
///
/// let explored = explore(Config { processors: 2, ..Config::default() }, Limits::default(), |kernel| {
///     kernel.programs().on(0, add).on(1, add).run()
/// });
/// let finding = explored.finding.expect("the two accesses overlap");
/// assert!(finding.stop.to_string().contains("data race"), "{}", finding.stop);
/// # }
/// ```
#[repr(transparent)]
pub struct RaceCell<T>(UnsafeCell<T>);

impl<T> RaceCell<T> {
    const_fn! {
        /// Makes a cell of the value.
        #[must_use]
        pub fn new(value: T) -> Self {
            Self(UnsafeCell::new(value))
        }
    }

    /// Calls `f` with the address of the value, to read it. The address is not used after that.
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }

    /// Calls `f` with the address of the value, to write it. The address is not used after that.
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }

    /// Takes the value out of the cell.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T> core::fmt::Debug for RaceCell<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RaceCell").finish_non_exhaustive()
    }
}
