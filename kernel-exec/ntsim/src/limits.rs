//! Sizes that the whole simulation shares.

/// The highest number of processors.
pub(crate) const PROCESSORS: usize = 64;
