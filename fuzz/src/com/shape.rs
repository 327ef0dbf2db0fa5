//! The shapes of the objects that the steps make.

use super::interfaces::{A, B, C, D, E, U};

/// The interfaces of an object, with their layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One interface, with two bases.
    Chain,
    /// Two interfaces.
    Pair,
    /// Three interfaces, which have bases in common.
    Three,
    /// An object with IUnknown itself as its primary interface.
    Hidden,
    /// Three interfaces, and an over-aligned value.
    Wide,
    /// An aggregate of three values.
    Whole,
    /// The static.
    Static,
}

impl Shape {
    /// The shapes that the steps make.
    pub(super) const ALL: [Self; 6] =
        [Self::Chain, Self::Pair, Self::Three, Self::Hidden, Self::Wide, Self::Whole];

    /// The interface as which a new object is handed out.
    pub(super) fn primary(self) -> usize {
        match self {
            Self::Chain => E,
            Self::Pair | Self::Whole => A,
            Self::Three | Self::Static => B,
            Self::Hidden => U,
            Self::Wide => C,
        }
    }

    /// Whether an object of this shape has this interface.
    pub(super) fn has(self, iface: usize) -> bool {
        let has: &[usize] = match self {
            Self::Chain => &[U, A, B, E],
            Self::Pair => &[U, A, C],
            Self::Three | Self::Whole => &[U, A, B, C, D, E],
            Self::Hidden => &[U, C, D],
            Self::Wide | Self::Static => &[U, A, B, C, D],
        };
        has.contains(&iface)
    }

    /// The number of its values.
    pub(super) fn values(self) -> usize {
        if self == Self::Whole { 3 } else { 1 }
    }

    /// The index of the value that answers for an interface.
    pub(super) fn answers(self, iface: usize) -> usize {
        match (self, iface) {
            (Self::Whole, C | D) => 1,
            (Self::Whole, B | E) => 2,
            _ => 0,
        }
    }

    /// The offset of the count from the primary interface. It is behind the interfaces, aligned as
    /// the value is. `None` if the object has no count.
    pub(super) fn count(self) -> Option<usize> {
        match self {
            Self::Chain | Self::Whole => Some(8),
            Self::Pair | Self::Hidden => Some(16),
            Self::Three => Some(24),
            Self::Wide => Some(64),
            Self::Static => None,
        }
    }
}
