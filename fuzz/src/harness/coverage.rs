//! Features for libFuzzer besides the edges of the code under test.
//!
//! A feature combines a step with the situation in which it is done. On several processors it also
//! combines the step with the steps that other processors are doing.
//!
//! The harness itself is not instrumented, because its edges say little and counting them costs
//! more than running it.

use core::cell::Cell;

/// The number of features. A power of two.
pub const FEATURES: usize = 1 << 12;

#[cfg(fuzzing)]
mod counters {
    use core::cell::UnsafeCell;

    #[repr(transparent)]
    pub(super) struct Counters(UnsafeCell<[u8; super::FEATURES]>);

    // SAFETY: a libFuzzer process runs its target on one thread, and libFuzzer reads and clears the
    // counters between two runs.
    unsafe impl Sync for Counters {}

    /// The counters, which libFuzzer finds by the name of their section.
    #[unsafe(link_section = "__libfuzzer_extra_counters")]
    static COUNTERS: Counters = Counters(UnsafeCell::new([0; super::FEATURES]));

    pub(super) fn hit(feature: usize) {
        let counter = COUNTERS.0.get().cast::<u8>().wrapping_add(feature % super::FEATURES);
        // SAFETY: the remainder keeps the index inside the array, and `Sync` says why the access is
        // not a race. The counter is set to 1 and not counted, because libFuzzer would keep an
        // input for each count.
        unsafe { counter.write(1) };
    }
}

/// Reports the feature that these two numbers describe.
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

/// Reports a step of one processor or actor together with the steps that the others are doing.
/// `on` is the task or operation of the step, in this state.
pub fn meet(doing: &[Cell<(u8, u8)>], me: usize, what: u32, on: Option<usize>, state: u32) {
    for (other, doing) in doing.iter().enumerate() {
        let (theirs, target) = doing.get();
        if other != me && theirs != 0 {
            let same = on == Some(target.into());
            hit(what | 0x200 | u32::from(same) << 10, u32::from(theirs) | if same { state << 8 } else { 0 });
        }
    }
}
