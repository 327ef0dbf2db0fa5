//! The work and the rounds of cases with several threads.

/// The way in which the threads run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// All threads run, in a race.
    AtOnce,
    /// One thread runs at a time. A number decides which one.
    InTurn,
}

/// The number of threads besides the one that runs bodies.
pub(crate) const CLIENTS: usize = 3;

impl Way {
    /// The number of rounds. In turn, each schedule is a round.
    pub(crate) const fn rounds(self, schedules: u64) -> u64 {
        match self {
            Self::AtOnce => 25,
            Self::InTurn => schedules,
        }
    }

    /// How often each thread repeats its work in a round.
    pub(crate) const fn times(self) -> usize {
        match self {
            Self::AtOnce => 30,
            Self::InTurn => 6,
        }
    }
}

/// The work of the threads, and the way in which they run.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    pub(crate) way: Way,
    pub(crate) does: Does,
}

impl Rounds {
    /// The way in which the threads run.
    #[must_use]
    pub const fn way(&self) -> Way {
        self.way
    }
}

/// The work of each thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Does {
    pub(crate) counts: bool,
    pub(crate) reads: bool,
    pub(crate) wakes: bool,
    pub(crate) cancels: bool,
    pub(crate) sets: bool,
    /// Whether each thread has a reference of its own, and there are no others.
    pub(crate) releases: bool,
}

impl Does {
    /// Whether the work needs IAsyncControl.
    pub(crate) const fn controls(self) -> bool {
        self.cancels || self.sets
    }
}

/// The seeds of the rounds of cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Seeds {
    /// The seed of schedules and pauses.
    pub seed: u64,
    /// The number of schedules to try.
    pub schedules: u64,
}

/// A number for a round, from the seed (SplitMix64).
pub(crate) const fn mix(seed: u64, round: u64) -> u64 {
    let mut mixed = seed.wrapping_add((round + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
