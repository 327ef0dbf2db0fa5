//! The kernel executor: asynchronous tasks on DPCs and on work items.
//!
//! | module | what |
//! |---|---|
//! | `task` | the state machine: word, block, wakers, cancellation; knows no kernel |
//! | `dpc` | tasks on DPCs: bodies at DISPATCH_LEVEL |
//! | `work_item` | tasks on work items: bodies at PASSIVE_LEVEL |
//! | `placement` | where an operation of `ntcom` runs |
//! | `passive`, `moving` | a part of a body at PASSIVE_LEVEL; tasks that move there and back |
//! | `kmdf` | KMDF's devices and requests |
//! | `request`, `irp` | a request as a task: an IRP, or a framework's |
//! | `ambient` | which task's poll the caller is in |
//! | `tracker` | the unfinished tasks of an image, and waiting at unload until nothing of them is left |
//! | `combinators` | `try_finally`, `on_cancel`, `yield_now` |
//! | `timer`, `alarm`, `clock` | `sleep`, `timeout`, `interval`; who owns an armed timer; moments |
//! | `signal`, `oneshot` | what callbacks tell a task |
//! | `event` | an event of the kernel's, without keeping a thread |
//! | `etw` | a provider of events for Event Tracing for Windows |
//! | `budget` | how long one run may keep a processor |
//! | `storage` | memory of the driver's own for a task |
//! | `callback` | what a callback that nobody can withdraw, and nobody trusts, tells a task |
//! | `alloc` | allocators, by default non-paged pool |
//! | `refcount` | a reference count that never wraps |
//! | `nt`, `sync` | the two seams: which kernel, which atomics and statics |
//!
//! | a task | on DPCs | on work items |
//! |---|---|---|
//! | is spawned by | `spawn_dpc_task`, `spawn_dpc_task_cancellable`, `TaskBuilder` | `TaskBuilder`, on `OnWorkItems` |
//! | its body is polled and dropped at | DISPATCH_LEVEL | PASSIVE_LEVEL, in a system worker thread |
//! | and runs | on the processor of its waker | in whichever thread, on whichever processor |
//! | is spawned, woken, cancelled at | ≤ DISPATCH_LEVEL | ≤ DISPATCH_LEVEL |
//! | with its budget of polls or time spent goes on | by a timer | behind the other work items |
//! | finds itself by | the processor | the thread |
//! | goes to the other level for a while | by `passive`, where it has a device | it is there |
//! | holds besides | nothing, or a reference to its device object | a reference to its device object |
//!
//! | feature | what |
//! |---|---|
//! | `wdk` | the executor is on the real kernel, through [`wdk-sys`](https://docs.rs/wdk-sys), and [`GlobalAllocator`] can be a driver's `#[global_allocator]`; on Windows only, elsewhere it does nothing |
//! | `kmdf` | KMDF's devices and requests: `wdm_device_object`, `WdfRequest`; for drivers whose `wdk-sys` is built for KMDF |
//! | `sim` | the executor is on the simulated kernel [`ntsim`](https://docs.rs/ntsim); wins over `wdk`; never in a driver |
//!
//! Without a kernel everything that needs none compiles: there are no timers and trackers here, and
//! spawning a task or an operation fails with `STATUS_NOT_SUPPORTED`.
//!
//! `kmdf` has been type-checked only, against declarations written after the public documentation (`ci/wdk/wdf.rs`).
//!
//! `wdk` is for x64. It has been type-checked against the real `wdk-sys` with declarations made from mingw-w64's DDK headers,
//! not from the WDK's, and been run in that form on ntsim (`cargo xtask wdk-check`); it has not run on Windows. A driver's image has room for 2048 processors: a task
//! on one with a higher number stops the machine (bug check 0x139, parameter 8). Rules cited as `[C1]`…`[C21]` are the ABI contract's
//! (docs/abi-contract.md), `[T1]`… those of the task protocol (`task/mod.rs`).
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods))]

#[cfg(any(kernel, all(test, loom)))]
mod alarm;
mod alloc;
mod ambient;
mod budget;
mod callback;
#[cfg(any(kernel, all(test, loom)))]
mod clock;
mod combinators;
#[cfg(kernel)]
mod dpc;
mod etw;
#[cfg(kernel)]
mod event;
mod fail;
#[cfg(kernel = "wdk")]
mod global_alloc;
#[cfg(kernel)]
mod irp;
#[cfg(all(kernel = "wdk", feature = "kmdf"))]
mod kmdf;
#[cfg(kernel)]
mod moving;
mod no_executor;
mod nt;
mod oneshot;
mod passive;
mod placement;
mod refcount;
#[cfg(any(kernel, all(test, loom)))]
mod request;
mod signal;
mod spawn;
mod status;
#[cfg(any(kernel, all(test, loom)))]
mod storage;
mod sync;
mod task;
#[cfg(kernel)]
mod timer;
#[cfg(any(kernel, all(test, loom)))]
mod tracker;
#[cfg(kernel)]
mod work_item;

pub use alloc::{Allocator, GlobalAllocator, NonPaged, PagedPoolAllocator, PoolAllocator};
pub use budget::{DEFAULT_POLL_BUDGET, DEFAULT_TIME_BUDGET};
#[cfg(any(kernel, all(test, loom)))]
pub use clock::Instant;
pub use combinators::{TryFinally, YieldNow, on_cancel, try_finally, yield_now};
#[cfg(kernel)]
pub use dpc::{DpcOptions, Importance};
pub use etw::{EtwProvider, EtwRegistration};
#[cfg(kernel)]
pub use event::{EventWait, wait_for_event};
pub use fail::bug_check_panic;
#[cfg(kernel)]
pub use irp::{Irp, IrpTask, spawn_irp_task};
#[cfg(all(kernel = "wdk", feature = "kmdf"))]
pub use kmdf::{WdfRequest, wdf_request_attributes, wdm_device_object};
pub use oneshot::{Receiver, Sender, oneshot};
pub use passive::{Passive, passive};
#[cfg(kernel)]
pub use placement::{OnDevice, OnWorkItems};
pub use placement::{OnDpcs, Placement};
pub use refcount::ReferenceCount;
#[cfg(any(kernel, all(test, loom)))]
pub use request::{IrpOutcome, Request, RequestRoom, RequestTask, request_canceled, spawn_request_task};
pub use signal::{Signal, Wait};
pub use spawn::{TaskBuilder, spawn_dpc_task, spawn_dpc_task_cancellable};
pub use status::NTSTATUS;
#[cfg(any(kernel, all(test, loom)))]
pub use storage::TaskStorage;
pub use sync::ImageStatic;
pub use task::{CancelHandle, TaskReport, is_cancellation_requested, take_cancellation_request};
#[cfg(kernel)]
pub use timer::{Interval, Sleep, Tick, Timeout, interval, sleep, sleep_until, timeout};
#[cfg(any(kernel, all(test, loom)))]
pub use tracker::{DrainError, TaskTracker, default_tracker};

// What `ntcom` is made of. For that crate only: these change with it, in any version.
#[doc(hidden)]
pub use budget::Budget;
#[doc(hidden)]
pub use callback::{Callback, Pause, call_back};
#[doc(hidden)]
#[cfg(kernel)]
pub use dpc::DpcPort;
#[doc(hidden)]
pub use fail::{fail_fast_corrupt_interface, no_unwind};
#[doc(hidden)]
#[cfg(kernel)]
pub use moving::MovingPort;
#[doc(hidden)]
pub use no_executor::NoExecutor;
#[doc(hidden)]
#[cfg(not(kernel))]
pub use no_executor::NoExecutor as DpcPort;
#[doc(hidden)]
pub use task::{
    Completion, Fallible, Header, Infallible, Level, Port, Share, Spawned, Status, Task, TaskBody, TaskPtr,
    run,
};
#[doc(hidden)]
#[cfg(kernel)]
pub use work_item::WorkItemPort;

/// This build runs on the simulated kernel: the feature `sim` is on, perhaps by another package of the same build. Never true of a driver.
///
/// ```
/// const IS_A_TEST: bool = ntcom_exec::SIMULATED;
/// ```
pub const SIMULATED: bool = cfg!(kernel = "sim");

/// This build names both kernels, because the features of two packages are unified: `wdk-sys` is
/// built, and the executor is on the simulated kernel.
#[doc(hidden)]
pub const BOTH_KERNELS: bool = cfg!(all(kernel = "sim", feature = "wdk", any(windows, wdk_check)));
