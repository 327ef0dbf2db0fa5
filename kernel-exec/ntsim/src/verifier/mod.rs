//! The verifier: the kernel's rules, and the bug checks for their violations.

pub(crate) mod backtrace;
pub(crate) mod bugcheck;
pub(crate) mod documented;
pub(crate) mod freed;
pub(crate) mod irql;
pub(crate) mod memory;
pub(crate) mod stop;
pub(crate) mod unload;

extern crate alloc;

use alloc::{boxed::Box, string::String};

/// A broken rule, as a bug check without its circumstances.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) code: u32,
    pub(crate) parameters: [u64; 4],
    pub(crate) rule: String,
}

/// The outcome of an action that a rule may forbid.
pub(crate) type Checked<T> = Result<T, Box<Violation>>;
