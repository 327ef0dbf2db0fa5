//! Async COM for Windows kernel drivers.
//!
//! An interface method that takes its time returns an *operation*: a COM object with the state of the work, its result, and a
//! way to cancel it. The work itself is a Rust future that runs at DISPATCH_LEVEL, in DPCs. Clients need no Rust: what they see is
//! the vtables of [`async_com`], whose behaviour is the contract's (docs/abi-contract.md, rules `[C1]`…`[C21]`).
//!
//! ```
//! # #[cfg(feature = "async-com-kernel")] {
//! use ntcom::{AsyncStatus, spawn_async_operation};
//! # use ntsim::{Config, Schedule, Simulation};
//! # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
//! # kernel.run(vec![(0, Box::new(|| {
//!
//! let operation = spawn_async_operation(async { 6 * 7_u32 });
//! assert_eq!(operation.status(), Ok(AsyncStatus::Completed));
//! assert_eq!(operation.result(), Ok(42));
//! # }))]).unwrap();
//! # }
//! ```
//!
//! | feature | what |
//! |---|---|
//! | `async-com` | the async COM types, clients included; spawning answers an operation with `STATUS_NOT_SUPPORTED` `[C21]` |
//! | `async-com-kernel` | operations run on the kernel executor |
//! | `wdk` | that executor runs on the real kernel, through [`wdk-sys`](https://docs.rs/wdk-sys); on Windows only, elsewhere it does nothing |
//! | `sim` | that executor runs on the simulated kernel; wins over `wdk`; never in a driver |
//!
//! There is no default feature. `wdk` has been type-checked against the real `wdk-sys` with declarations made from mingw-w64's
//! DDK headers, not from the WDK's, and been run in that form on the simulated kernel (`cargo xtask wdk-check`); it has not run on
//! Windows. With it [`GlobalAllocator`] can be
//! the driver's `#[global_allocator]`. The crate is `no_std` and never allocates but through an [`Allocator`], which may fail.
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
pub mod trace;

pub use alloc::{Init, KBox};
#[cfg(feature = "async-com")]
pub use async_com::{
    AsyncBody, AsyncControlRaw, AsyncControlVtbl, AsyncOperation, AsyncOperationRaw, AsyncOperationTask,
    AsyncOperationVtbl, AsyncStatus, AsyncValueType, InitBox, InitBoxTrait, InterfacePtr, OperationFuture,
    RawAsyncStatus, spawn_async_operation, spawn_async_operation_cancellable, spawn_async_operation_error,
    spawn_async_operation_error_raw, spawn_async_operation_on, spawn_async_operation_raw,
    spawn_async_operation_raw_cancellable, spawn_async_operation_raw_on,
};
/// The crate that checks the bytes of values: see [`AsyncOperation`].
#[cfg(feature = "async-com")]
pub use bytemuck;
pub use com::{
    AbiType, AbiValue, Aggregates, ComObject, ComRc, ComStatic, Derived, GUID, IUnknown, IUnknownRaw,
    IUnknownVtbl, Inner, Interface, InterfaceOf, Interfaces, MAX_VALUE_SIZE, Outer, Queryable, This,
};
#[doc(hidden)]
pub use declare::__private;
pub use ntcom_exec::{
    Allocator, CancelHandle, GlobalAllocator, NTSTATUS, NonPaged, bug_check_panic, is_cancellation_requested,
    on_cancel, take_cancellation_request, try_finally, yield_now,
};
#[cfg(feature = "async-com")]
pub use ntcom_macros::AsyncValueType;
pub use ntcom_macros::{AbiType, AbiValue};
pub use string::{LocalUnicodeString, MAX_UNITS, OwnedUnicodeString, UnicodeStr, UnicodeString};

/// The README's example compiles.
#[cfg(all(doctest, feature = "async-com"))]
#[doc = include_str!("../../README.md")]
struct Readme;
