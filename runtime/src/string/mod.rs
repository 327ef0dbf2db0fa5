//! Counted strings of 16-bit characters, as the kernel takes them.
//!
//! | type | memory |
//! |---|---|
//! | [`UnicodeStr`] | borrowed; the form in which the kernel takes the other types |
//! | [`kstr!`](crate::kstr) | the image's, for a literal that is converted at compile time |
//! | [`LocalUnicodeString`] | its own, of a fixed size, on the stack or in a value |
//! | [`OwnedUnicodeString`] | an allocator's |
//!
//! A kernel string counts its bytes in 16 bits, so it has at most 32767 characters of 16 bits. Here
//! it has one less, because each string has a null after its end, for code that looks for one.

mod literal;
mod local;
mod owned;
mod unicode;

pub use local::LocalUnicodeString;
pub use owned::OwnedUnicodeString;
pub use unicode::{MAX_UNITS, UnicodeStr, UnicodeString};

#[doc(hidden)]
pub use literal::{encode, length};
