//! Counted strings of 16-bit characters, as the kernel takes them.
//!
//! | type | whose memory |
//! |---|---|
//! | [`UnicodeStr`] | somebody else's: what the others are as the kernel sees them |
//! | [`kstr!`](crate::kstr) | the image's: a literal, converted when it is compiled |
//! | [`LocalUnicodeString`] | its own, of a fixed size: for the stack, and for values |
//! | [`OwnedUnicodeString`] | an allocator's |
//!
//! A kernel string counts its bytes in 16 bits, so it has at most 32767 characters of 16 bits; here one less, because each has a null
//! after its end, for those who look for one.

mod literal;
mod local;
mod owned;
mod unicode;

pub use local::LocalUnicodeString;
pub use owned::OwnedUnicodeString;
pub use unicode::{MAX_UNITS, UnicodeStr, UnicodeString};

#[doc(hidden)]
pub use literal::{encode, length};
