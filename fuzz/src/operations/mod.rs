//! The targets `vtable` and `schedules`, which call operations and objects through their vtables.
//!
//! | file | contents |
//! |---|---|
//! | `value` | the types of values |
//! | `world` | the operations and their clients, and the events of each body |
//! | `situation` | the features of a step for libFuzzer |
//! | `call` | calls through the vtables of an operation |
//! | `body` | bodies that do their script's steps |
//! | `declared` | objects with declared async methods |
//! | `perform` | the steps, done to the runtime |
//! | `vtable` | the oracle on one processor, which the model predicts |
//! | `schedules` | the oracles on several processors |
//!
//! The grammar, the answers and the model are in [`ntcom_fuzz_model`].

pub mod body;
pub mod call;
pub mod declared;
pub mod perform;
mod schedules;
pub mod situation;
pub mod value;
mod vtable;
pub mod world;
