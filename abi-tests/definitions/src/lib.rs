//! The Rust definitions of the binary interface, as the compiler has them.
//!
//! They are the lines of `abi-tests/abi.golden` without the version that introduced each line. This
//! crate contains no numbers; all of them are measured.
//!
//! `cargo run -p ntcom-abi-definitions` prints the lines. `cargo xtask abi` compares them with the
//! golden file, and the golden file with the header as C and C++ compilers measure it.
//!
//! To add an interface, write a function in `interfaces.rs` and run `cargo xtask abi --bless`.

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
