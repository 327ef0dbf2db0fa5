//! The Rust definitions of the binary interface, as the compiler has them: the lines of `abi-tests/abi.golden`, but for the
//! version that each is in since. Nothing here knows a number; all of them are measured.
//!
//! `cargo run -p ntcom-abi-definitions` prints them. `cargo xtask abi` compares them with the golden file, and that with what C and C++
//! compilers make of the header.
//!
//! To add an interface: a function in `interfaces.rs`, then `cargo xtask abi --bless`.

#![cfg_attr(not(feature = "lines"), no_std)]

#[cfg(feature = "lines")]
mod describe;
#[cfg(feature = "lines")]
mod interfaces;
mod numbers;
#[cfg(feature = "lines")]
mod values;

/// The lines, in the order of the golden file.
///
/// ```
/// let lines = ntcom_abi_definitions::lines();
/// assert!(lines.contains(&"slot | IUnknown[2] Release | 16 8 | ULONG (void *this)".to_owned()));
/// ```
#[cfg(feature = "lines")]
#[must_use]
pub fn lines() -> Vec<String> {
    [interfaces::lines(), values::lines()].concat()
}
