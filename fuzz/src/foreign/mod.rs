//! The target `foreign`: our client and somebody else's operations, which keep no promise that a client can check `[C17]`.
//!
//! | module | what |
//! |---|---|
//! | `input` | the grammar: what the other side has in mind, and what the client does |
//! | `hostile` | the other side: an operation that says what its input wants |
//! | `slots` | its slots: what it says, and whom it said it to |
//! | `thing` | an interface that it yields |
//! | `kind` | the types of values, and the client's operation of each |
//! | `expect` | what a client is to make of what it was told: the contract, a second time |
//! | `client` | the client's steps |
//! | `judge` | the phases of a run, and what is wrong at its end |
//!
//! What no client can check is kept: the object is there while it is referenced, its slots write where they are told to and have their
//! interface's signature, and a pointer that QueryInterface gives out with success is null or one to that interface. So is one that get_result
//! hands out; and a `bool` is 0 or 1, because the client has said that it trusts the other side with that.

pub mod client;
mod expect;
mod hostile;
pub mod input;
pub(crate) mod judge;
pub mod kind;
mod slots;
mod thing;
pub mod world;
