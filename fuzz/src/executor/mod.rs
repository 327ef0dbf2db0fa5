//! The grammar, the world and the oracles of the targets `executor` and `faults`: programs over the executor's Rust API.
//!
//! | module | what |
//! |---|---|
//! | `input` | a file: header and records |
//! | `ops`, `script` | what actors do, what bodies do |
//! | `body`, `wait` | bodies, and what they wait for |
//! | `place`, `budget` | where bodies may be polled, and how long |
//! | `world`, `task` | what there is, and what has happened to each task |
//! | `perform`, `spawn`, `request`, `operation`, `thread` | doing it |
//! | `judge` | a run from its start to the unload, and what must hold |
//!
//! An *actor* is a program of a processor, or, where there are more actors than processors, a system thread of the driver.

pub mod body;
mod budget;
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

/// At most this many tasks in one run.
pub const TASKS: usize = 16;
/// At most this many actors.
pub const ACTORS: usize = 4;
/// How many tasks the driver has memory of its own for.
pub const STORAGES: usize = 2;
/// How many devices the driver has.
pub const DEVICES: usize = 2;
