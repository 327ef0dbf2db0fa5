//! Objects for clients in C and C++.
//!
//! There are operations of seven types of value in seven states, and an object with an interface of
//! every width of argument. A simulated kernel of one processor runs them. The runtime and its
//! executor are those that ship.
//!
//! As an rlib this crate is a part of the tests of `abi-tests`. As a DLL it serves Windows programs
//! (`cargo xtask windows`). `exports.rs` has its exports, and `c/factories.h` declares them in C.

mod exports;
pub mod findings;
pub mod kernel;
pub mod operations;
pub mod probe;
pub mod values;
