//! The types of values of the other side's operations.

/// A type of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForeignKind {
    /// Four bytes.
    U32,
    /// `()`, for which nothing is written.
    Unit,
    /// One byte.
    U8,
    /// One byte with two valid values. The client trusts the other side to write one of them.
    Bool,
    /// Eight bytes.
    U64,
    /// A struct of sixteen bytes.
    Wide,
    /// An interface, which comes with a reference each time.
    Interface,
}

impl ForeignKind {
    /// All types, in the order of their numbers in inputs.
    pub const ALL: [Self; 8] = [
        Self::U32,
        Self::Unit,
        Self::U8,
        Self::Bool,
        Self::U64,
        Self::Wide,
        Self::Interface,
        Self::Interface,
    ];

    /// The size of a value.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Unit => 0,
            Self::U8 | Self::Bool => 1,
            Self::U32 => 4,
            Self::U64 => 8,
            Self::Wide => 16,
            Self::Interface => size_of::<*const ()>(),
        }
    }
}
