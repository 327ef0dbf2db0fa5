//! What clients in C and C++ are given: operations of ours of seven types of value in seven states, an object with an interface of every
//! width of argument, and a simulated kernel of one processor to run on. The runtime and its executor are those that ship.
//!
//! As an rlib it is a part of the tests of `abi-tests`. As a DLL it serves Windows programs (`cargo xtask windows`): what it exports is
//! `exports.rs`, and `c/factories.h` says the same in C.

mod exports;
pub mod findings;
pub mod kernel;
pub mod operations;
pub mod probe;
pub mod values;
