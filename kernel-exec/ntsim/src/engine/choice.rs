//! Decisions of a schedule as data: the points at which it is asked, its answers, and their bytes.

/// For how many preemption points a processor runs under round robin.
pub(super) const QUANTUM: u32 = 16;

/// The kind of place at which the schedule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointKind {
    /// At a point that counts, before a call.
    Before,
    /// Before the return of a call-out.
    Return,
    /// Behind a call, or before the first step of a call-out.
    After,
    /// Behind a call, as `After`, by which the running processor is alone no more.
    Woken,
    /// Where the processor that ran cannot go on.
    Switch,
}

impl PointKind {
    /// Whether the point is behind a call.
    pub(crate) fn is_behind(self) -> bool {
        matches!(self, Self::After | Self::Woken)
    }
}

/// A schedule's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// The processor that runs.
    pub(crate) processor: usize,
    /// How many points it runs past.
    pub(crate) points: u32,
    /// Whether it is stopped behind the last call, not only before the next one.
    pub(crate) early: bool,
}

impl Next {
    /// A decision that ends before a call.
    pub(crate) fn late(processor: usize, points: u32) -> Self {
        Self { processor, points, early: false }
    }

    /// The next decision of round robin.
    pub(crate) fn in_turn(runnable: u64, current: usize) -> Self {
        Self::late(after(runnable, current), QUANTUM)
    }
}

/// The byte that encodes this decision, if at most four processors can run, for at most 31 points.
/// Otherwise a byte that encodes a similar decision.
pub(super) fn byte_of(runnable: u64, next: Next) -> u8 {
    let which = (runnable & ((1 << next.processor) - 1)).count_ones() as u8;
    let (points, early) = (next.points.min(31) as u8, u8::from(next.early));
    if runnable.count_ones() <= 4 {
        early << 7 | which << 5 | points
    } else {
        which << 5 | early << 4 | points.min(15)
    }
}

/// The decision that a byte encodes.
pub(super) fn of_byte(byte: u8, runnable: u64) -> Next {
    let count = runnable.count_ones();
    let (which, early, points) = if count <= 4 {
        (byte >> 5 & 3, byte >> 7, byte & 31)
    } else {
        (byte >> 5, byte >> 4 & 1, byte & 15)
    };
    Next { processor: nth(runnable, u32::from(which) % count), points: points.into(), early: early == 1 }
}

/// The position of the `n`-th set bit, from the lowest, modulo 64 if there are fewer.
pub(super) fn nth(mask: u64, n: u32) -> usize {
    let mut rest = mask;
    for _ in 0..n {
        rest &= rest.wrapping_sub(1);
    }
    rest.trailing_zeros() as usize % 64
}

/// The position of the next set bit after `current`, wrapping around.
pub(super) fn after(mask: u64, current: usize) -> usize {
    let above = if current >= 63 { 0 } else { mask & (u64::MAX << (current + 1)) };
    let candidates = if above == 0 { mask } else { above };
    candidates.trailing_zeros() as usize % 64
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
pub(super) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut value = *state;
    value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}
