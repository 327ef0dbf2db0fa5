//! Async COM, with operations and their control, for the code that makes them and the code that
//! uses them.
//!
//! | file | content | rules |
//! |---|---|---|
//! | `abi` | vtables, interface pointers, IIDs | the contract's layout table |
//! | `status` | the status of an operation | C6, C17 |
//! | `operation` | our operation, one block with two interfaces | C1–C9, C13 |
//! | `control` | `IAsyncControl` of our operation | C10, C14–C16 |
//! | `immortal` | the operation for a spawn without memory | C11 |
//! | `spawn`, `placed` | spawning operations, and their executor | C11, C21 |
//! | `recipe`, `method` | the recipes of async methods, and the operations that are made of them | C11, C19, C20 |
//! | `owned` | operations that yield an interface | C5 |
//! | `async_operation` | the client's pointer to an operation | C17 |
//! | `client` | the client's pointer to an operation's control | C17 |
//! | `awaiting` | the future of an operation | C14, C17 |

mod abi;
mod async_operation;
mod awaiting;
mod client;
mod control;
mod immortal;
pub(crate) mod method;
mod operation;
pub(crate) mod owned;
mod placed;
mod recipe;
mod spawn;
mod status;

pub use crate::com::value::AsyncValueType;
pub use abi::{AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, CompletedHandler};
pub use async_operation::AsyncOperation;
pub use awaiting::OperationFuture;
pub use operation::AsyncOperationTask;
pub use owned::InterfacePtr;
pub use recipe::{AsyncBody, InitBox, InitBoxTrait};
pub use spawn::{
    SpawnOperation, spawn_async_operation, spawn_async_operation_cancellable, spawn_async_operation_error,
    spawn_async_operation_error_raw, spawn_async_operation_raw, spawn_async_operation_raw_cancellable,
};
pub use status::{AsyncStatus, RawAsyncStatus};
