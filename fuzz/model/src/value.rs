//! Values that identify their operation. Each byte of a value is computed from the operation's
//! number and its offset.

use crate::limits::OPERATIONS;

/// The types of values that operations yield.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ValueKind {
    /// `()`, for which nothing is written.
    #[default]
    Unit,
    /// One byte.
    U8,
    /// Eight bytes.
    U64,
    /// A struct with padding, which a client must find zeroed `[C5]`.
    Padded,
    /// A struct aligned to 64 bytes, which is more than the pool guarantees.
    Aligned,
    /// 4 KiB.
    Page,
}

/// The largest value, in bytes.
pub const LARGEST: usize = 4096;

static PAGES: [[u8; LARGEST]; OPERATIONS] = {
    let mut pages = [[0; LARGEST]; OPERATIONS];
    let mut operation = 0;
    while operation < OPERATIONS {
        let mut index = 0;
        while index < LARGEST {
            pages[operation][index] = canary(operation, index);
            index += 1;
        }
        operation += 1;
    }
    pages
};

/// The byte at an offset of an operation's value. It is never 0, which means "zeroed", nor 0xA5,
/// which means "untouched".
const fn canary(operation: usize, index: usize) -> u8 {
    let byte = (operation * 61 + index * 7 + (index >> 8) * 3 + 17) as u8 | 1;
    if byte == UNTOUCHED { 0x5B } else { byte }
}

/// The byte with which a buffer is filled before a call.
pub const UNTOUCHED: u8 = 0xA5;

/// The bytes of an operation's value, up to the largest size. A body's padding holds nonzero bytes
/// too.
#[must_use]
#[inline]
pub fn bytes(operation: usize) -> &'static [u8; LARGEST] {
    &PAGES[operation % OPERATIONS]
}

/// The bytes of an operation's value as a body has them in memory. Its padding holds nonzero bytes
/// too.
#[must_use]
pub fn bytes_of(kind: ValueKind, operation: usize) -> &'static [u8] {
    &bytes(operation)[..kind.size()]
}

/// The contents of a buffer after a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bytes {
    /// The operation's value.
    Value,
    /// Zeros.
    Zeroed,
    /// The operation's value, with nonzero padding.
    DirtyPadding,
    /// The bytes from before the call.
    Untouched,
    /// Any other bytes.
    Garbage,
}

impl ValueKind {
    /// All types.
    pub const ALL: [Self; 6] = [Self::Unit, Self::U8, Self::U64, Self::Padded, Self::Aligned, Self::Page];

    /// The type that a nibble selects. It selects the page least often, because that costs the
    /// most.
    #[must_use]
    pub const fn select(nibble: u8) -> Self {
        match nibble % 16 {
            0 | 1 => Self::Unit,
            2..=4 => Self::U8,
            5..=8 => Self::U64,
            9..=11 => Self::Padded,
            12..=14 => Self::Aligned,
            _ => Self::Page,
        }
    }

    /// The type's size in bytes.
    #[must_use]
    #[inline]
    pub const fn size(self) -> usize {
        match self {
            Self::Unit => 0,
            Self::U8 => 1,
            Self::U64 | Self::Padded => 8,
            Self::Aligned => 64,
            Self::Page => LARGEST,
        }
    }

    /// Recognises the contents of a buffer of this type's size. A unit's buffer always holds what
    /// is expected.
    #[must_use]
    pub fn recognise(self, operation: usize, buffer: &[u8], expected: Bytes) -> Bytes {
        let value = &bytes(operation)[..self.size()];
        let is_value = match self {
            Self::Unit => return expected,
            Self::Padded if buffer[0] == value[0] && buffer[4..8] == value[4..8] => {
                let clean = buffer[1..4].iter().all(|byte| *byte == 0);
                return if clean { Bytes::Value } else { Bytes::DirtyPadding };
            }
            _ => buffer == value,
        };
        if is_value {
            Bytes::Value
        } else if buffer.iter().all(|byte| *byte == 0) {
            Bytes::Zeroed
        } else if buffer.iter().all(|byte| *byte == UNTOUCHED) {
            Bytes::Untouched
        } else {
            Bytes::Garbage
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, ValueKind, bytes};

    #[test]
    fn another_operations_value_is_garbage() {
        for kind in ValueKind::ALL.into_iter().skip(1) {
            let mine = &bytes(3)[..kind.size()];
            let found = if kind == ValueKind::Padded { Bytes::DirtyPadding } else { Bytes::Value };
            assert_eq!(kind.recognise(3, mine, Bytes::Zeroed), found, "{kind:?}");
            assert_eq!(kind.recognise(4, mine, Bytes::Value), Bytes::Garbage, "{kind:?}");
        }
        let mut padded = [0; 8];
        padded[0] = bytes(3)[0];
        padded[4..].copy_from_slice(&bytes(3)[4..8]);
        assert_eq!(ValueKind::Padded.recognise(3, &padded, Bytes::Zeroed), Bytes::Value);
    }
}
