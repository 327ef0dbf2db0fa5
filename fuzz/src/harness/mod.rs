//! The harness that all targets share.
//!
//! | file | contents |
//! |---|---|
//! | `world` | the state of a run |
//! | `body`, `gates`, `held` | the events of bodies, the gates where they wait, and the objects that they keep |
//! | `irql`, `slots` | the IRQL of a program, and the tables of interfaces |
//! | `coverage` | features for libFuzzer |
//! | `run` | runs of inputs, and their reports |
//! | `stats` | statistics of a fuzz run |
//! | `libfuzzer` | runs of a target under libFuzzer |
//! | `committed` | the first folder of a target that plain cargo-fuzz runs |

pub mod body;
pub mod committed;
pub mod coverage;
pub mod gates;
pub mod held;
pub mod irql;
pub mod libfuzzer;
pub mod run;
pub mod slots;
pub mod stats;
pub mod world;
