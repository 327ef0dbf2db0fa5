//! What a driver instantiates of ntcom: every function here makes the compiler emit the generic code of a use of it, so that
//! `cargo xtask alloc-scan` finds in object code what that use refers to. Nobody calls these functions.
#![no_std]
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

pub mod client;
pub mod objects;
pub mod spawn;
