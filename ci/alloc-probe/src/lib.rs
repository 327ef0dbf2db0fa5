//! A driver's uses of ntcom, which `cargo xtask alloc-scan` compiles and never runs.
//!
//! Each function makes the compiler emit the generic code of one use. The scan reads in the object
//! code which symbols that use refers to.
#![no_std]
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod client;
pub mod objects;
pub mod spawn;
