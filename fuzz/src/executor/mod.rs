//! The grammar, the world and the oracles of the targets `executor` and `faults`, which run
//! programs over the executor's Rust API.
//!
//! | module | contents |
//! |---|---|
//! | `input` | files, with their header and records |
//! | `ops`, `script` | the steps of actors and of bodies |
//! | `body`, `wait` | bodies, and their waits |
//! | `place`, `budget` | the places where bodies may be polled, and for how long |
//! | `world`, `task` | the state of a run, and the events of each task |
//! | `held` | what actors and bodies do with the objects that they keep |
//! | `perform`, `spawn`, `request`, `operation`, `thread` | the steps, done to the executor |
//! | `judge` | a run from its start to the unload, with its checks |
//!
//! An *actor* is a program of a processor. Where there are more actors than processors, the others
//! are system threads of the driver.

pub mod body;
mod budget;
mod held;
pub mod input;
pub mod judge;
pub mod operation;
pub mod ops;
pub mod perform;
mod place;
pub mod request;
pub mod script;
pub mod spawn;
pub mod task;
pub mod thread;
pub mod wait;
pub mod world;

/// The largest number of tasks in one run.
pub const TASKS: usize = 16;
/// The largest number of actors.
pub const ACTORS: usize = 4;
/// The number of tasks for which the driver has memory of its own.
pub const STORAGES: usize = 2;
/// The number of devices of the driver.
pub const DEVICES: usize = 2;
