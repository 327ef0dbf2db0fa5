//! The fuzzing of ntcom, as a library: what an input means, how it is run, and what is wrong when something is.
//!
//! | module | what |
//! |---|---|
//! | `input` | a corpus file: header and records |
//! | `ops`, `script`, `value` | the operation grammar: what clients do, what bodies do, what they yield |
//! | `world`, `body`, `call`, `declared`, `perform` | doing it to the shipping runtime, through its vtables |
//! | `model` | the sequential reference model |
//! | `vtable`, `schedules` | the oracles of these two targets |
//! | `executor` | another grammar, and everything else of the targets `executor` and `faults` |
//! | `com` | another grammar, and everything else of the target `com` |
//! | `foreign` | another grammar, and everything else of the target `foreign` |
//! | `run`, `target`, `stats`, `mutate`, `coverage` | running inputs, in tests, in libFuzzer, and by hand |
//! | `committed` | the first folder of a target that plain cargo-fuzz runs |
//!
//! The targets themselves, in `fuzz_targets/`, are glue.
#![expect(
    clippy::indexing_slicing,
    reason = "a test harness: an index out of range is a bug of the harness, and is to stop it"
)]

pub mod body;
pub mod call;
pub mod call_op;
pub mod com;
pub mod committed;
pub mod coverage;
pub mod declared;
pub mod executor;
pub mod foreign;
pub mod input;
pub mod model;
pub mod mutate;
pub mod ops;
pub mod perform;
pub mod re_record;
pub mod run;
mod schedules;
pub mod script;
pub mod stats;
pub mod target;
pub mod value;
mod vtable;
pub mod world;

/// At most this many operations in one run.
pub const OPERATIONS: usize = 16;
/// At most this many processors.
pub const PROCESSORS: usize = 4;
