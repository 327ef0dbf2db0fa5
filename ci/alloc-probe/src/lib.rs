//! A driver's uses of ntcom. Each function makes the compiler emit the generic code of one use, and
//! `cargo xtask alloc-scan` reads in the object code which symbols that use refers to. No code
//! calls these functions.
#![no_std]
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod client;
pub mod objects;
pub mod spawn;
