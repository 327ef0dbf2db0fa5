//! The kernel executor: asynchronous tasks on DPCs.
//!
//! | module | what |
//! |---|---|
//! | `task` | the state machine: word, block, wakers, cancellation; knows no kernel |
//! | `dpc` | tasks on DPCs: bodies at DISPATCH_LEVEL |
//! | `tracker` | the unfinished tasks of an image |
//! | `combinators` | `try_finally`, `on_cancel`, `yield_now` |
//! | `alloc` | allocators, by default non-paged pool |
//! | `refcount` | a reference count that never wraps |
//! | `nt`, `sync` | the two seams: which kernel, which atomics and statics |
//!
//! Features: `sim` puts the executor on the simulated kernel [`ntsim`](https://docs.rs/ntsim). Without a kernel everything
//! compiles and every spawn answers `STATUS_NOT_SUPPORTED`. Rules cited as `[C1]`…`[C21]` are the ABI contract's
//! (docs/abi-contract.md), `[T1]`… those of the task protocol (`task/mod.rs`).
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods))]

mod alloc;
mod ambient;
mod budget;
mod combinators;
#[cfg(all(feature = "sim", not(loom)))]
mod dpc;
mod fail;
mod no_executor;
mod nt;
mod refcount;
mod status;
mod sync;
mod task;
#[cfg(all(feature = "sim", not(loom)))]
mod tracker;

pub use alloc::{Allocator, GlobalAllocator, NonPaged};
pub use budget::DEFAULT_POLL_BUDGET;
pub use combinators::{TryFinally, YieldNow, on_cancel, try_finally, yield_now};
#[cfg(all(feature = "sim", not(loom)))]
pub use dpc::{DpcPort, spawn_dpc_task, spawn_dpc_task_cancellable};
pub use fail::{fail_fast_corrupt_interface, no_unwind};
pub use no_executor::NoExecutor;
#[cfg(any(loom, not(feature = "sim")))]
pub use no_executor::NoExecutor as DpcPort;
pub use refcount::ReferenceCount;
pub use status::NTSTATUS;
pub use task::{
    CancelHandle, Completion, Fallible, Header, Infallible, Port, Spawned, Status, Task, TaskBody, TaskPtr,
    is_cancellation_requested, run, take_cancellation_request,
};
#[cfg(all(feature = "sim", not(loom)))]
pub use tracker::{TaskTracker, default_tracker};

/// This build runs on the simulated kernel: the feature `sim` is on, perhaps by another package of the same build. Never true of a driver.
///
/// ```
/// const IS_A_TEST: bool = ntcom_exec::SIMULATED;
/// ```
pub const SIMULATED: bool = cfg!(feature = "sim");
