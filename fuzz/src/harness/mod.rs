//! The harness that all targets share.
//!
//! | file | contents |
//! |---|---|
//! | `coverage` | features for libFuzzer |
//! | `run` | runs of inputs, and their reports |
//! | `stats` | statistics of a fuzz run |
//! | `libfuzzer` | runs of a target under libFuzzer |
//! | `committed` | the first folder of a target that plain cargo-fuzz runs |

pub mod committed;
pub mod coverage;
pub mod libfuzzer;
pub mod run;
pub mod stats;
