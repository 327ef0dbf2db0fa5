//! The operation grammar and the sequential reference model of async COM.
//!
//! A step calls an operation, an object or a body's waker. The model takes a step and returns the
//! answer that the contract requires. The crate knows no runtime, no kernel and no harness. The
//! fuzz targets `vtable` and `schedules`, and the conformance kit, do the steps to an
//! implementation and compare the answers.
//!
//! | module | contents |
//! |---|---|
//! | `limits` | sizes of runs, tables and records |
//! | `status` | the NT statuses that the contract names |
//! | `value`, `script` | the values of operations, and bodies as scripts |
//! | `call`, `ops` | calls of declared methods, and the steps of clients with their records |
//! | `input`, `mutate` | corpus files, with their header and records, and their mutation |
//! | `out` | calls with an out-parameter |
//! | `answer`, `event` | the answers of calls, and the digest of the events of bodies and handlers |
//! | `model` | the reference model |
#![expect(
    clippy::indexing_slicing,
    reason = "a test harness: an index out of range is a bug of the harness, and is to stop it"
)]

pub mod answer;
pub mod call;
pub mod event;
pub mod input;
pub mod limits;
pub mod model;
pub mod mutate;
pub mod ops;
pub mod out;
pub mod script;
pub mod status;
pub mod value;
