//! `LocalUnicodeString`, a string in its own memory of a fixed size.

use core::fmt;

use super::UnicodeStr;
use crate::NTSTATUS;

/// A string of at most `N - 1` 16-bit characters, with a null after them.
///
/// It is for the stack, or for a field of a value, and allocates nothing.
///
/// It can be written to with `write!`. A text that does not fit leaves the string as it was before
/// that text. IRQL: any at which the string itself is resident.
///
/// ```
/// use core::fmt::Write as _;
/// use ntcom::{LocalUnicodeString, NTSTATUS};
///
/// let mut name = LocalUnicodeString::<24>::new();
/// write!(name, r"\Device\Sensor{}", 7).unwrap();
/// assert_eq!(name.as_unicode(), r"\Device\Sensor7");
/// assert_eq!(name.push_str(" and more"), Err(NTSTATUS::BUFFER_TOO_SMALL));
/// assert_eq!(name.as_unicode().len(), 15);
/// ```
#[derive(Clone)]
pub struct LocalUnicodeString<const N: usize> {
    /// The characters in use, a null, and unspecified characters after it.
    units: [u16; N],
    length: usize,
}

impl<const N: usize> LocalUnicodeString<N> {
    /// Makes an empty string.
    ///
    /// `N` is at least 1, and at most [`MAX_UNITS`](crate::MAX_UNITS) plus one. Another `N` does
    /// not compile.
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(
                N > 0 && N <= super::MAX_UNITS + 1,
                "`N` is from 1 to 32767, because the last character is a null"
            )
        };
        Self { units: [0; N], length: 0 }
    }

    /// Appends a text.
    ///
    /// # Errors
    /// `STATUS_BUFFER_TOO_SMALL` if the text does not fit; nothing has been appended then.
    pub fn push_str(&mut self, text: &str) -> Result<(), NTSTATUS> {
        self.push(text.encode_utf16())
    }

    /// Appends a kernel string.
    ///
    /// # Errors
    /// As for [`push_str`](Self::push_str).
    pub fn push_unicode(&mut self, text: UnicodeStr<'_>) -> Result<(), NTSTATUS> {
        self.push(text.units().iter().copied())
    }

    fn push(&mut self, text: impl Iterator<Item = u16>) -> Result<(), NTSTATUS> {
        let mut length = self.length;
        for unit in text {
            // The last element is reserved for the null.
            match self.units.get_mut(length) {
                Some(place) if length + 1 < N => *place = unit,
                _ => {
                    self.end(self.length);
                    return Err(NTSTATUS::BUFFER_TOO_SMALL);
                }
            }
            length += 1;
        }
        self.end(length);
        Ok(())
    }

    fn end(&mut self, length: usize) {
        self.length = length;
        if let Some(end) = self.units.get_mut(length) {
            *end = 0;
        }
    }

    /// Makes the string empty.
    pub fn clear(&mut self) {
        self.end(0);
    }

    /// Returns the string as a kernel string.
    #[must_use]
    pub fn as_unicode(&self) -> UnicodeStr<'_> {
        let used = self.units.get(..=self.length).and_then(UnicodeStr::with_null);
        used.unwrap_or_else(|| crate::kstr!(""))
    }
}

impl<const N: usize> Default for LocalUnicodeString<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Write for LocalUnicodeString<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text).map_err(|_| fmt::Error)
    }
}

impl<const N: usize> fmt::Display for LocalUnicodeString<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_unicode(), f)
    }
}

impl<const N: usize> fmt::Debug for LocalUnicodeString<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_unicode(), f)
    }
}
