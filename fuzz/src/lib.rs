//! The fuzzing of ntcom as a library. It decodes inputs, runs them, and judges the runs.
//!
//! | module | contents |
//! |---|---|
//! | `input` | corpus files, with their header and records |
//! | `ops`, `script`, `value` | the operation grammar of clients, bodies and values |
//! | `world`, `body`, `call`, `declared`, `perform` | the steps, done to the shipping runtime through its vtables |
//! | `model` | the sequential reference model |
//! | `vtable`, `schedules` | the oracles of these two targets |
//! | `executor` | another grammar, and everything else of the targets `executor` and `faults` |
//! | `com` | another grammar, and everything else of the target `com` |
//! | `foreign` | another grammar, and everything else of the target `foreign` |
//! | `run`, `target`, `stats`, `mutate`, `coverage` | running inputs, in tests, in libFuzzer, and by hand |
//! | `committed` | the first folder of a target that plain cargo-fuzz runs |
//!
//! The targets themselves are in `fuzz_targets/` and only call this library.
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

/// The largest number of operations in one run.
pub const OPERATIONS: usize = 16;
/// The largest number of processors.
pub const PROCESSORS: usize = 4;
