//! A reference count that never wraps `[C3]`.

use crate::{
    fail::{FailFast, fail_fast},
    sync::{AtomicUsize, Ordering, const_fn},
};

/// A count above half its range is an error that has not wrapped yet.
const LIMIT: usize = usize::MAX / 2;

/// The number of references to an object, in one word.
///
/// Each change is one read-modify-write.
///
/// Three errors stop the machine with bug check 0x139, parameter 14. They are a count of half the
/// range, a count below zero, and a reference from a count of zero (an object revived from its own
/// `Drop`). IRQL: any.
///
/// ```
/// let count = ntcom_exec::ReferenceCount::one();
/// assert_eq!(count.add(), 2);
/// assert_eq!(count.remove(), 1);
/// assert_eq!(count.remove(), 0, "the caller that gets 0 destroys the object");
/// ```
#[repr(transparent)]
pub struct ReferenceCount(AtomicUsize);

impl ReferenceCount {
    const_fn! {
        /// Makes the count of a new object, which is one.
        #[must_use]
        pub fn one() -> Self {
            Self(AtomicUsize::new(1))
        }
    }

    /// Adds one reference, and returns the new count.
    pub fn add(&self) -> usize {
        // Relaxed is enough, because the caller that hands out a reference has one.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        if before == 0 || before >= LIMIT {
            fail_fast(FailFast::ReferenceCount);
        }
        before + 1
    }

    /// Removes one reference, and returns the new count. If it is zero, every earlier use of the
    /// object happened before.
    #[must_use = "at zero the object is the caller's to destroy"]
    pub fn remove(&self) -> usize {
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        if before == 0 || before > LIMIT {
            fail_fast(FailFast::ReferenceCount);
        }
        before - 1
    }
}

impl core::fmt::Debug for ReferenceCount {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("ReferenceCount").field(&self.0.load(Ordering::Relaxed)).finish()
    }
}

/// Tests of `[C3]`. On the simulated kernel failing fast is a bug check that a test can look at.
#[cfg(all(test, kernel = "sim"))]
mod tests {
    use super::{LIMIT, ReferenceCount};
    use crate::sync::AtomicUsize;
    use ntsim::{Config, Schedule, Simulation, Stop};

    /// Tells whether the program stops the machine with bug check 0x139, parameter 14.
    fn stops(program: impl FnOnce() + 'static) -> bool {
        let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        match kernel.run_on(0, program) {
            Err(Stop::BugCheck(bug)) => (bug.code, bug.parameters[0]) == (0x139, 14),
            other => {
                assert!(other.is_ok(), "{other:?}");
                false
            }
        }
    }

    fn count(of: usize) -> ReferenceCount {
        ReferenceCount(AtomicUsize::new(of))
    }

    #[test]
    fn a_count_at_half_its_range_does_not_grow() {
        assert!(!stops(|| assert_eq!(count(LIMIT - 1).add(), LIMIT)));
        assert!(stops(|| assert_eq!(count(LIMIT).add(), LIMIT + 1)));
    }

    #[test]
    fn a_count_beyond_half_its_range_does_not_shrink() {
        assert!(!stops(|| assert_eq!(count(LIMIT).remove(), LIMIT - 1)));
        assert!(stops(|| assert_eq!(count(LIMIT + 1).remove(), LIMIT)));
    }

    #[test]
    fn nothing_neither_grows_nor_shrinks() {
        assert!(stops(|| assert_eq!(count(0).add(), 1)));
        assert!(stops(|| assert_ne!(count(0).remove(), 1)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
