//! The target `com`. Clients on several processors query, count, call and pass on a graph of
//! objects.
//!
//! ```text
//! com     "NTC1"  processors  0  0  0     record*
//! record  opcode | processor << 6    target   a   b
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `input` | corpus files, and the operation grammar |
//! | `interfaces`, `shape` | the interfaces, and the shapes of objects that have them |
//! | `objects` | the objects, which have secondaries, are over-aligned, aggregated or static |
//! | `body` | the bodies of their async methods |
//! | `pool` | an allocator that checks its blocks |
//! | `world` | the clients' references, and the events of each value |
//! | `tables` | calls through the tables |
//! | `client`, `operations` | the steps, done through the tables, with checks of each answer |
//! | `judge` | the phases of a run, and the checks at its end |
//!
//! The oracles are:
//!
//! - QueryInterface has identity, reflexivity, symmetry and transitivity `[C2]`, and fails as it
//!   must `[C1]`.
//! - A slot finds its own object and gets its arguments.
//! - References balance `[C3]`. A value is dropped once, after its last reference is gone and all
//!   its bodies have ended `[C19]`. The bodies of its parts, which use it, must have ended too.
//! - A count that overflows, underflows, or is revived stops the machine.
//! - Each block goes back to the allocator that it came from, with the same layout.

mod body;
mod client;
pub mod input;
mod interfaces;
pub(crate) mod judge;
mod objects;
mod operations;
mod pool;
mod shape;
mod tables;
pub(crate) mod world;
