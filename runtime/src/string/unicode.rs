//! `UnicodeStr`, a borrowed kernel string.

use core::{fmt, marker::PhantomData};

use crate::NTSTATUS;

/// The largest number of 16-bit characters that a string may have, which is 32,766.
pub const MAX_UNITS: usize = (u16::MAX as usize - 1) / 2 - 1;

/// A `UNICODE_STRING`, as the kernel declares it. It does not own its buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, ntcom_macros::AbiType)]
#[abi_type(crate = crate)]
pub struct UnicodeString {
    /// The number of bytes in use.
    pub length: u16,
    /// The size of the buffer in bytes.
    pub maximum_length: u16,
    /// The characters.
    pub buffer: *mut u16,
}

const _: () = assert!(size_of::<UnicodeString>() == 2 * size_of::<usize>());

/// A borrowed string of 16-bit characters, which do not change during the borrow.
///
/// It is `Copy`, `Send` and `Sync`. IRQL: any at which the characters are resident. The characters
/// need not be valid UTF-16; an invalid one is shown as `�`.
///
/// ```
/// use ntcom::{UnicodeStr, UnicodeString, kstr};
///
/// /// Takes a name, as the kernel's functions do.
/// fn open(_name: *const UnicodeString) {}
///
/// let name: UnicodeStr<'_> = kstr!(r"\Device\Sensor");
/// open(name.as_ptr()); // `.as_ptr().cast()` where the kernel's own type is meant
/// assert_eq!(name.to_string(), r"\Device\Sensor");
/// ```
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct UnicodeStr<'a> {
    string: UnicodeString,
    _characters: PhantomData<&'a [u16]>,
}

// SAFETY: it is a shared borrow of plain characters.
unsafe impl Send for UnicodeStr<'_> {}
// SAFETY: it is a shared borrow of plain characters.
unsafe impl Sync for UnicodeStr<'_> {}

impl<'a> UnicodeStr<'a> {
    /// Borrows these characters.
    ///
    /// # Errors
    /// `STATUS_NAME_TOO_LONG` if there are more than [`MAX_UNITS`].
    ///
    /// ```
    /// use ntcom::{NTSTATUS, UnicodeStr};
    /// assert_eq!(UnicodeStr::new(&[0x41, 0x42]).unwrap().to_string(), "AB");
    /// assert_eq!(UnicodeStr::new(&[0x41; 40_000]).err(), Some(NTSTATUS::NAME_TOO_LONG));
    /// ```
    pub const fn new(characters: &'a [u16]) -> Result<Self, NTSTATUS> {
        if characters.len() > MAX_UNITS {
            return Err(NTSTATUS::NAME_TOO_LONG);
        }
        let bytes = (2 * characters.len()) as u16;
        Ok(Self::of(characters.as_ptr(), bytes, bytes))
    }

    /// Borrows characters that end with a null, which stays in the buffer but is not counted.
    pub(super) const fn with_null(characters: &'a [u16]) -> Option<Self> {
        match characters {
            [.., 0] if characters.len() <= MAX_UNITS + 1 => {
                let bytes = (2 * characters.len()) as u16;
                Some(Self::of(characters.as_ptr(), bytes - 2, bytes))
            }
            _ => None,
        }
    }

    const fn of(buffer: *const u16, length: u16, maximum_length: u16) -> Self {
        let string = UnicodeString { length, maximum_length, buffer: buffer.cast_mut() };
        Self { string, _characters: PhantomData }
    }

    #[doc(hidden)]
    /// Borrows a literal's characters, and checks their number at compile time.
    #[must_use]
    pub const fn __literal(characters: &'static [u16]) -> UnicodeStr<'static> {
        match UnicodeStr::with_null(characters) {
            Some(string) => string,
            None => panic_too_long(),
        }
    }

    /// Borrows the characters that a foreign string has now.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER` if the pointer is null, if the length is odd or beyond the
    /// maximum, or if the buffer is null and the length is not zero.
    ///
    /// # Safety
    /// `string` is null or readable. Its buffer, if it has one, is aligned, readable, and does not
    /// change for `'a`.
    ///
    /// ```
    /// use ntcom::{UnicodeStr, UnicodeString, kstr};
    ///
    /// let theirs = kstr!("name");
    /// let theirs: *const UnicodeString = theirs.as_ptr();
    /// // SAFETY: the literal stays in the image and does not change.
    /// let name = unsafe { UnicodeStr::from_ptr(theirs) };
    /// assert_eq!(name.unwrap(), kstr!("name"));
    /// ```
    pub const unsafe fn from_ptr(string: *const UnicodeString) -> Result<Self, NTSTATUS> {
        if string.is_null() {
            return Err(NTSTATUS::INVALID_PARAMETER);
        }
        // SAFETY: `string` is not null, so the caller guarantees that it is readable.
        let UnicodeString { length, maximum_length, buffer } = unsafe { *string };
        let consistent = length.is_multiple_of(2) && length <= maximum_length;
        if !consistent || length > 0 && buffer.is_null() {
            return Err(NTSTATUS::INVALID_PARAMETER);
        }
        Ok(Self::of(buffer, length, maximum_length))
    }

    /// Returns the pointer that kernel functions take.
    ///
    /// It is valid as long as this value stays where it is.
    #[must_use]
    pub const fn as_ptr(&self) -> *const UnicodeString {
        &raw const self.string
    }

    /// Returns the characters.
    #[must_use]
    pub const fn units(&self) -> &'a [u16] {
        if self.string.length == 0 {
            return &[];
        }
        // SAFETY: the constructor guarantees that the buffer is readable and unchanging for `'a`.
        unsafe { core::slice::from_raw_parts(self.string.buffer, self.len()) }
    }

    /// Returns the number of 16-bit characters.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.string.length as usize / 2
    }

    /// Tells whether the string has no characters.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.string.length == 0
    }
}

/// Stops the compilation of a literal that is too long.
const fn panic_too_long() -> ! {
    const { assert!(MAX_UNITS == 32_766) };
    #[expect(clippy::panic, reason = "evaluated when a literal is compiled, only")]
    {
        panic!("a kernel string has at most 32766 characters of 16 bits");
    }
}

impl PartialEq<UnicodeStr<'_>> for UnicodeStr<'_> {
    /// Compares the characters; case matters.
    fn eq(&self, other: &UnicodeStr<'_>) -> bool {
        self.units() == other.units()
    }
}

impl Eq for UnicodeStr<'_> {}

impl PartialEq<str> for UnicodeStr<'_> {
    fn eq(&self, other: &str) -> bool {
        self.units().iter().copied().eq(other.encode_utf16())
    }
}

impl PartialEq<&str> for UnicodeStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for UnicodeStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        char::decode_utf16(self.units().iter().copied())
            .try_for_each(|decoded| f.write_char(decoded.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

impl fmt::Debug for UnicodeStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
