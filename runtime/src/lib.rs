//! Async COM for Windows kernel drivers.
//!
//! A method of an interface that does not finish at once returns an *operation*. It is a COM object
//! with the status of the work, its result, and a way to cancel it. The work is a Rust future that
//! the executor runs at DISPATCH_LEVEL, in DPCs. Clients can be written in any language. They call
//! the vtables of [`async_com`], and the contract says how these behave (docs/abi-contract.md,
//! rules `[C1]`…`[C21]`).
//!
//! ```
//! # #[cfg(all(feature = "async-com", feature = "sim"))] {
//! use ntcom::{AsyncStatus, spawn_async_operation};
//! # use ntsim::{Config, Schedule, Simulation};
//! # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
//! # kernel.run_on(0, || {
//!
//! let operation = spawn_async_operation(async { 6 * 7_u32 });
//! assert_eq!(operation.status(), Ok(AsyncStatus::Completed));
//! assert_eq!(operation.result(), Ok(42));
//! # }).unwrap();
//! # }
//! ```
//!
//! | feature | effect |
//! |---|---|
//! | `async-com` | the async COM types; spawned operations fail with `STATUS_NOT_SUPPORTED` `[C21]` |
//! | `async-com-kernel` | `async-com`, with operations on the executor on the real kernel; implies `wdk` |
//! | `wdk` | the real kernel, through [`wdk-sys`](https://docs.rs/wdk-sys), on Windows; elsewhere no effect |
//! | `sim` | the simulated kernel, on which operations run with `async-com`; never in a driver |
//!
//! An item with a page that names no IRQL only computes or makes a value. It may be used at any
//! IRQL if its memory is resident.
//!
//! There is no default feature. A driver uses `async-com-kernel`, and its tests `async-com` and
//! `sim`. Cargo switches a feature on for all packages of a build, and where both kernels are in
//! one build, `sim` wins. Tests on Windows build without `wdk-sys`, and so without the WDK, if no
//! package of the build switches `wdk` on. Let a feature of the driver's package switch it on, as
//! the example driver does (`runtime/examples/sensor/Cargo.toml`).
//!
//! `wdk` has been type-checked against the real `wdk-sys`, with declarations made from mingw-w64's
//! DDK headers and not from the WDK's. It has run in that form on the simulated kernel (`cargo
//! xtask wdk-check`), but it has not run on Windows. With `wdk`, [`GlobalAllocator`] can be the
//! driver's `#[global_allocator]`. The crate is `no_std`, and allocates only through an
//! [`Allocator`], which may fail.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods))]

pub mod alloc;
#[cfg(feature = "async-com")]
pub mod async_com;
pub mod com;
mod declare;
mod driver;
mod ensure;
pub mod string;
pub mod sync;
pub mod trace;

pub use alloc::{Init, KBox};
#[cfg(feature = "async-com")]
pub use async_com::{
    AsyncBody, AsyncControlRaw, AsyncControlVtbl, AsyncOperation, AsyncOperationRaw, AsyncOperationTask,
    AsyncOperationVtbl, AsyncStatus, AsyncValueType, InitBox, InitBoxTrait, InterfacePtr, OperationFuture,
    RawAsyncStatus, SpawnOperation, spawn_async_operation, spawn_async_operation_cancellable,
    spawn_async_operation_error, spawn_async_operation_error_raw, spawn_async_operation_raw,
    spawn_async_operation_raw_cancellable,
};
/// The crate that checks the bytes of values (see [`AsyncOperation`]).
#[cfg(feature = "async-com")]
pub use bytemuck;
pub use com::{
    AbiType, AbiValue, Aggregates, Callable, ComObject, ComRc, ComStatic, Derived, GUID, IUnknown,
    IUnknownRaw, IUnknownVtbl, Inner, Interface, InterfaceOf, Interfaces, MAX_VALUE_SIZE, Outer, Queryable,
    This,
};
#[doc(hidden)]
pub use declare::__private;
pub use ntcom_exec::{
    Allocator, CancelHandle, GiveBack, GlobalAllocator, JoinHandle, NTSTATUS, NonPaged, OnDpcs, Placement,
    Receiver, Sender, TaskBuilder, bug_check_panic, is_cancellation_requested, nt, on_cancel, oneshot,
    spawn_dpc_task, spawn_dpc_task_cancellable, take_cancellation_request, try_finally, yield_now,
};
#[cfg(feature = "async-com")]
pub use ntcom_macros::AsyncValueType;
pub use ntcom_macros::{AbiType, AbiValue};
pub use string::{LocalUnicodeString, MAX_UNITS, OwnedUnicodeString, UnicodeStr, UnicodeString};

/// The README, so that the tests compile its examples.
#[cfg(all(doctest, feature = "async-com"))]
#[doc = include_str!("../../README.md")]
struct Readme;
