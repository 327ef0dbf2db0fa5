//! What libFuzzer is told to look for, besides the edges of the code under test: combinations of what is done with the situation that
//! it is done in, and, on several processors, with what the others are in the middle of.
//!
//! The harness itself is not instrumented: its edges say little, and counting them costs more than running it.

/// How many features there may be. A power of two.
pub const FEATURES: usize = 1 << 12;

#[cfg(fuzzing)]
mod counters {
    use core::cell::UnsafeCell;

    #[repr(transparent)]
    pub(super) struct Counters(UnsafeCell<[u8; super::FEATURES]>);

    // SAFETY: a libFuzzer process runs its target on one thread, and libFuzzer reads and clears them between two runs.
    unsafe impl Sync for Counters {}

    /// libFuzzer finds these by the name of their section.
    #[unsafe(link_section = "__libfuzzer_extra_counters")]
    static COUNTERS: Counters = Counters(UnsafeCell::new([0; super::FEATURES]));

    pub(super) fn hit(feature: usize) {
        let counter = COUNTERS.0.get().cast::<u8>().wrapping_add(feature % super::FEATURES);
        // SAFETY: inside the array, by the remainder; see `Sync`. How often makes no difference: libFuzzer would keep an input for each.
        unsafe { counter.write(1) };
    }
}

/// Something has happened that is described by these two numbers.
#[inline]
pub fn hit(what: u32, situation: u32) {
    #[cfg(fuzzing)]
    {
        let mixed = (u64::from(what) << 32 | u64::from(situation)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        counters::hit((mixed >> 40) as usize);
    }
    #[cfg(not(fuzzing))]
    let _ = (what, situation);
}
