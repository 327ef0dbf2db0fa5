//! The kernel executor, which runs asynchronous tasks on DPCs and on work items.
//!
//! | module | contents |
//! |---|---|
//! | `task` | the state machine (word, block, wakers, cancellation), which knows no kernel |
//! | `dpc` | tasks on DPCs, with bodies at DISPATCH_LEVEL |
//! | `work_item` | tasks on work items, with bodies at PASSIVE_LEVEL |
//! | `placement` | the executor of an operation of `ntcom` |
//! | `passive`, `migrating` | a part of a body at PASSIVE_LEVEL; tasks that migrate there and back |
//! | `kmdf` | KMDF's devices and requests |
//! | `request`, `irp` | a request as a task, for IRPs and for a framework's requests |
//! | `ambient` | the task that is being polled around the caller |
//! | `tracker` | the unfinished tasks of an image, and the wait at unload for their end |
//! | `combinators` | `try_finally`, `on_cancel`, `yield_now` |
//! | `timer`, `timer_block`, `clock` | `sleep`, `timeout`, `interval`; the block of an armed timer; moments |
//! | `signal`, `oneshot` | signals and values from callbacks to a task |
//! | `notify`, `semaphore`, `mutex`, `channel`, `waiters` | what several tasks wait for, in line |
//! | `token`, `group` | cancellation of many tasks, in a tree; a group of tasks |
//! | `join` | a task with a handle that receives its value |
//! | `event` | a wait for an event of the kernel without a thread |
//! | `etw` | a provider of events for Event Tracing for Windows |
//! | `budget` | the length of a run |
//! | `storage` | memory of the driver's own for a task |
//! | `callback` | completion callbacks from providers that are not trusted |
//! | `alloc` | allocators, by default non-paged pool |
//! | `refcount` | a reference count that never wraps |
//! | `nt`, `sync` | the two seams, which are the kernel, and atomics with statics |
//!
//! | property of a task | on DPCs | on work items |
//! |---|---|---|
//! | spawn functions | `spawn_dpc_task`, `spawn_dpc_task_cancellable`, `TaskBuilder` | `TaskBuilder`, on `OnWorkItems` |
//! | IRQL of its body (polls and drop) | DISPATCH_LEVEL | PASSIVE_LEVEL, in a system worker thread |
//! | processor | that of its waker, unless options say otherwise | any, in any worker thread |
//! | IRQL of spawns, wakes and cancels | ≤ DISPATCH_LEVEL | ≤ DISPATCH_LEVEL |
//! | continues after a spent budget of polls or time | by a timer | behind the other work items |
//! | is found by its body by | the processor | the thread |
//! | reaches PASSIVE_LEVEL | by `passive`, if it has a device | always |
//! | reference to its device object | only if it was spawned on a device | always |
//!
//! | feature | effect |
//! |---|---|
//! | `wdk` | the executor is on the real kernel, through [`wdk-sys`](https://docs.rs/wdk-sys), and [`GlobalAllocator`] can be a driver's `#[global_allocator]`; on Windows only, elsewhere it does nothing |
//! | `kmdf` | KMDF's devices and requests: `wdm_device_object`, `WdfRequest`; for drivers that build `wdk-sys` for KMDF |
//! | `sim` | the executor is on the simulated kernel [`ntsim`](https://docs.rs/ntsim); wins over `wdk`; never in a driver |
//!
//! Without a kernel the parts that need none compile. The timers and trackers are missing then, and
//! spawning a task or an operation fails with `STATUS_NOT_SUPPORTED`.
//!
//! `kmdf` has been type-checked only, against declarations written after the public documentation
//! (`ci/wdk/wdf.rs`).
//!
//! `wdk` is for x64. It has been type-checked against the real `wdk-sys`, with declarations made
//! from mingw-w64's DDK headers and not from the WDK's. It has run in that form on ntsim (`cargo
//! xtask wdk-check`), but it has not run on Windows. A driver's image has room for 2048 processors,
//! and a task on one with a higher number stops the machine (bug check 0x139, parameter 8).
//!
//! An item with a page that names no IRQL only computes or makes a value. It may be used at any
//! IRQL if its memory is resident.
//!
//! Rules cited as `[C1]`…`[C21]` are the ABI contract's (docs/abi-contract.md), and `[T1]`… are
//! those of the task protocol (`task/mod.rs`).
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods))]

mod alloc;
mod ambient;
mod budget;
mod builder;
mod callback;
mod channel;
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
#[cfg(any(kernel, all(test, loom)))]
mod group;
#[cfg(kernel)]
mod irp;
mod join;
#[cfg(all(kernel = "wdk", feature = "kmdf"))]
mod kmdf;
#[cfg(kernel)]
mod migrating;
mod mutex;
mod no_executor;
mod notify;
pub mod nt;
mod oneshot;
mod passive;
mod placement;
mod refcount;
#[cfg(any(kernel, all(test, loom)))]
mod request;
mod semaphore;
mod signal;
mod spawn;
mod status;
#[cfg(any(kernel, all(test, loom)))]
mod storage;
pub mod sync;
mod task;
#[cfg(kernel)]
mod timer;
#[cfg(any(kernel, all(test, loom)))]
mod timer_block;
#[cfg(any(kernel, all(test, loom)))]
mod token;
#[cfg(any(kernel, all(test, loom)))]
mod tracker;
mod waiters;
#[cfg(kernel)]
mod work_item;

pub use alloc::{Allocator, GlobalAllocator, NonPaged, PagedPoolAllocator, PoolAllocator};
pub use budget::{DEFAULT_POLL_BUDGET, DEFAULT_TIME_BUDGET};
pub use builder::{TaskBuilder, spawn_dpc_task, spawn_dpc_task_cancellable};
pub use channel::{ChannelReceiver, ChannelSender, Receive, channel};
#[cfg(any(kernel, all(test, loom)))]
pub use clock::Instant;
pub use combinators::{TryFinally, YieldNow, on_cancel, try_finally, yield_now};
#[cfg(kernel)]
pub use dpc::{DpcOptions, Importance};
pub use etw::{EtwProvider, EtwRegistration};
#[cfg(kernel)]
pub use event::{EventWait, wait_for_event};
pub use fail::bug_check_panic;
#[cfg(any(kernel, all(test, loom)))]
pub use group::TaskGroup;
#[cfg(kernel)]
pub use irp::{Irp, IrpTask, spawn_irp_task};
pub use join::JoinHandle;
#[cfg(all(kernel = "wdk", feature = "kmdf"))]
pub use kmdf::{WdfRequest, wdf_request_attributes, wdm_device_object};
pub use mutex::{Lock, Mutex, MutexGuard};
pub use notify::{Notified, Notify};
pub use oneshot::{GiveBack, Receiver, Sender, oneshot};
pub use passive::{Passive, passive};
#[cfg(kernel)]
pub use placement::{Migrating, OnWorkItems};
pub use placement::{OnDpcs, Placement};
pub use refcount::ReferenceCount;
#[cfg(any(kernel, all(test, loom)))]
pub use request::{IrpOutcome, Request, RequestStorage, RequestTask, request_cancelled, spawn_request_task};
pub use semaphore::{Acquire, Semaphore, SemaphorePermit};
pub use signal::{Signal, Wait};
pub use status::NTSTATUS;
#[cfg(any(kernel, all(test, loom)))]
pub use storage::TaskStorage;
pub use sync::ImageStatic;
pub use task::{CancelHandle, TaskReport, is_cancellation_requested, take_cancellation_request};
#[cfg(kernel)]
pub use timer::{Interval, Sleep, Tick, Timeout, interval, sleep, sleep_until, timeout};
#[cfg(any(kernel, all(test, loom)))]
pub use token::{CancellationToken, Cancelled, Joined, Run};
#[cfg(any(kernel, all(test, loom)))]
pub use tracker::{DrainError, TaskTracker, default_tracker};

// The building blocks of `ntcom`. They are for that crate only, and change with it in any version.
#[doc(hidden)]
pub use budget::Budget;
#[doc(hidden)]
pub use callback::{Callback, PollInterval, complete_callback};
#[doc(hidden)]
#[cfg(kernel)]
pub use dpc::DpcPort;
#[doc(hidden)]
pub use fail::{fail_fast_corrupt_interface, no_unwind};
#[doc(hidden)]
#[cfg(kernel)]
pub use migrating::MigratingPort;
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

/// True if this build runs on the simulated kernel.
///
/// The feature `sim` is then on, perhaps through another package of the same build. It is never
/// true in a driver.
pub const SIMULATED: bool = cfg!(kernel = "sim");

/// Expands to its items in a build with a kernel, and to a compile error in one without.
#[cfg(kernel)]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_a_kernel {
    ($($items:tt)*) => { $($items)* };
}
/// Expands to its items in a build with a kernel, and to a compile error in one without.
#[cfg(not(kernel))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_a_kernel {
    ($($items:tt)*) => {
        ::core::compile_error!(
            "this driver image has no kernel: build it for Windows with the feature `async-com-kernel` of ntcom (or \
             `wdk`, without async COM). On other systems a driver runs in its tests only, on the simulated kernel: \
             cargo test"
        );
    };
}

/// True if this build names both kernels, because cargo unifies the features of two packages.
///
/// `wdk-sys` is built then, and the executor is on the simulated kernel.
#[doc(hidden)]
pub const BOTH_KERNELS: bool = cfg!(all(kernel = "sim", feature = "wdk", any(windows, wdk_check)));
