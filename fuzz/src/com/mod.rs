//! The target `com`: graphs of objects, and clients on several processors who query, count, call and pass them on.
//!
//! ```text
//! com     "NTC1"  processors  0  0  0     record*
//! record  opcode | processor << 6    target   a   b
//! ```
//!
//! | file | what |
//! |---|---|
//! | `input` | a corpus file, and the operation grammar |
//! | `shapes` | the objects: interfaces, secondaries, over-aligned ones, aggregates, a static |
//! | `body` | what their async methods do |
//! | `pool` | an allocator that keeps books |
//! | `world` | who holds what, and what has happened to each value |
//! | `client` | doing it through the tables, and judging each answer |
//! | `judge` | the phases of a run, and what must be left at its end: nothing |
//!
//! Oracles: identity, reflexivity, symmetry and transitivity of QueryInterface `[C2]`, its failures `[C1]`; which object a slot has found, and
//! its arguments; the balance of references `[C3]`: a value is dropped once, when nobody holds it and none of its bodies lives `[C19]`, nor of its
//! parts, which use it while they live; a count that overflows, underflows, or is revived stops the machine; each block goes back to the
//! allocator and the layout that it came from.

mod body;
mod client;
pub mod input;
pub(crate) mod judge;
mod pool;
mod shapes;
pub(crate) mod world;
