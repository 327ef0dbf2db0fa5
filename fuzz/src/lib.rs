//! The fuzzing of ntcom as a library. It decodes inputs, runs them, and judges the runs.
//!
//! | module | contents |
//! |---|---|
//! | `harness` | the runs, reports, features and statistics of all targets, and what their worlds share |
//! | `operations` | the steps and the oracles of the targets `vtable` and `schedules` |
//! | `executor` | another grammar, and everything else of the targets `executor` and `faults` |
//! | `com` | another grammar, and everything else of the target `com` |
//! | `foreign` | another grammar, and everything else of the target `foreign` |
//! | `targets` | the inputs of all targets, by the targets' names |
//! | `re_record` | inputs that repeat the run of another build |
//!
//! The grammar of operations, its inputs and the sequential reference model are in
//! [`ntcom_fuzz_model`]. The targets themselves are in `fuzz_targets/` and only call this library.
#![expect(
    clippy::indexing_slicing,
    reason = "a test harness: an index out of range is a bug of the harness, and is to stop it"
)]

pub mod com;
pub mod executor;
pub mod foreign;
pub mod harness;
pub mod operations;
pub mod re_record;
pub mod targets;
