//! A deterministic simulation of a multiprocessor NT kernel, for testing drivers on Linux.

extern crate std;

mod arena;
mod asan;
mod config;
mod counters;
pub mod ddi;
mod engine;
mod image_state;
mod kernel;
mod memory;
mod program;
mod simulation;
pub mod sync;
pub mod trace;
pub mod types;
mod verifier;

pub use config::Config;
pub use counters::Counters;
pub use engine::{
    recording::{Decision, ParseRecordingError, Recording},
    run::Program,
    schedule::Schedule,
};
pub use program::{
    advance_time, counters, current_processor, fail, fail_allocation, image_state, in_dpc, irql, is_active,
    note, preemption_point,
};
pub use simulation::Simulation;
pub use trace::Trace;
pub use verifier::{
    bugcheck::BugCheck,
    irql::Ddi,
    stop::{Stop, Wait},
};
