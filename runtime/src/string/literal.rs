//! `kstr!`, which converts literals to kernel strings at compile time.

/// A kernel string from a literal or a constant, with a null after its end.
///
/// It is a [`UnicodeStr<'static>`](crate::UnicodeStr). A text that is too long does not compile.
///
/// It costs nothing at run time, and may be used at any IRQL. The characters are in the image, in a
/// section that is not paged unless the driver makes it so.
///
/// ```
/// use ntcom::{UnicodeStr, kstr};
///
/// const NAME: UnicodeStr<'static> = kstr!(r"\Device\Grüße 🦀");
/// assert_eq!(NAME.len(), r"\Device\Grüße 🦀".encode_utf16().count());
/// assert_eq!(NAME, r"\Device\Grüße 🦀");
/// ```
#[macro_export]
macro_rules! kstr {
    ($text:expr) => {{
        const __TEXT: &::core::primitive::str = $text;
        static __UNITS: [::core::primitive::u16; $crate::__private::length(__TEXT) + 1] =
            $crate::__private::encode(__TEXT);
        const { $crate::UnicodeStr::__literal(&__UNITS) }
    }};
}

/// Decodes the character at `at`, and returns it with the index of the next one.
const fn decode(bytes: &[u8], at: usize) -> (u32, usize) {
    /// Returns the low six bits of a continuation byte.
    const fn more(bytes: &[u8], at: usize) -> u32 {
        byte(bytes, at) & 0x3F
    }
    let first = byte(bytes, at);
    match first {
        0..=0x7F => (first, at + 1),
        0x80..=0xDF => ((first & 0x1F) << 6 | more(bytes, at + 1), at + 2),
        0xE0..=0xEF => ((first & 0x0F) << 12 | more(bytes, at + 1) << 6 | more(bytes, at + 2), at + 3),
        _ => {
            let high = (first & 0x07) << 18 | more(bytes, at + 1) << 12;
            (high | more(bytes, at + 2) << 6 | more(bytes, at + 3), at + 4)
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "a `str` is whole; evaluated when a literal is compiled")]
const fn byte(bytes: &[u8], at: usize) -> u32 {
    bytes[at] as u32
}

/// The number of 16-bit characters of a text.
#[must_use]
pub const fn length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut units) = (0, 0);
    while at < bytes.len() {
        let (character, next) = decode(bytes, at);
        units += if character > 0xFFFF { 2 } else { 1 };
        at = next;
    }
    units
}

/// Encodes a text as 16-bit characters with a null at the end.
///
/// # Panics
/// If `N` is not [`length`] plus one.
#[must_use]
#[expect(clippy::indexing_slicing, reason = "evaluated when a literal is compiled")]
pub const fn encode<const N: usize>(text: &str) -> [u16; N] {
    let bytes = text.as_bytes();
    let mut units = [0; N];
    let (mut at, mut unit) = (0, 0);
    while at < bytes.len() {
        let (character, next) = decode(bytes, at);
        if character > 0xFFFF {
            let above = character - 0x1_0000;
            units[unit] = 0xD800 | (above >> 10) as u16;
            units[unit + 1] = 0xDC00 | (above & 0x3FF) as u16;
            unit += 2;
        } else {
            units[unit] = character as u16;
            unit += 1;
        }
        at = next;
    }
    assert!(unit + 1 == N);
    units
}
