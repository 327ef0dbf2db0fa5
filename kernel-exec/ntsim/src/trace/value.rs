//! Arguments and results of DDIs as the trace shows them.

use core::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::name::Name;

/// An argument or a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Value {
    /// A number, shown in decimal.
    Number(u64),
    /// A signed number, shown in decimal.
    Signed(i64),
    /// A number, shown in hexadecimal.
    Bits(u64),
    /// TRUE or FALSE.
    Boolean(bool),
    /// A pointer.
    Pointer(Name),
    /// A pool tag, in the order of its bytes in memory.
    Tag(u32),
}

/// A pool tag's four characters. Characters that cannot be printed appear as dots.
pub(crate) struct Tag(pub(crate) u32);

impl Display for Tag {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        for byte in self.0.to_le_bytes() {
            let shown = if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' };
            write!(f, "{shown}")?;
        }
        f.write_str("'")
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Signed(number) => number.fmt(f),
            Self::Bits(number) => write!(f, "{number:#x}"),
            Self::Boolean(true) => f.write_str("TRUE"),
            Self::Boolean(false) => f.write_str("FALSE"),
            Self::Pointer(name) => name.fmt(f),
            Self::Tag(tag) => Tag(*tag).fmt(f),
        }
    }
}
