//! The target `foreign`. Our client uses foreign operations, which keep no promise that a client
//! can check `[C17]`.
//!
//! | module | contents |
//! |---|---|
//! | `input` | the grammar of the client's steps and the other side's answers |
//! | `hostile` | the other side's operations, which answer as the input says |
//! | `slots` | the slots of such an operation, which record each answer |
//! | `thing` | an interface that such an operation yields |
//! | `kind` | the types of values |
//! | `held` | the client's operation of each type |
//! | `reply` | the answers of the other side, as they are recorded |
//! | `expect` | the results that a client must derive from its answers, by the contract |
//! | `client` | the client's steps |
//! | `judge` | the phases of a run, and the checks at its end |
//!
//! The other side keeps the promises that a client cannot check. The object exists while it is
//! referenced. Its slots have their interface's signature and write where they are told to. A
//! pointer that QueryInterface gives out with success is null or points to that interface, and so
//! does one that get_result hands out. A `bool` is 0 or 1, because the client has declared its
//! trust in that.

pub mod client;
mod expect;
mod held;
mod hostile;
pub mod input;
pub(crate) mod judge;
pub mod kind;
mod reply;
mod slots;
mod thing;
pub mod world;
