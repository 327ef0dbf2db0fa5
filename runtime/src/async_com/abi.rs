//! The binary interface, with the tables, interface pointers and IIDs that the contract gives.

use core::ffi::c_void;

use bytemuck::CheckedBitPattern;

use ntcom_exec::NTSTATUS;

use super::status::RawAsyncStatus;
use crate::com::{
    AbiType, ComRc, Derived, GUID, IUnknownRaw, IUnknownVtbl, Interface, Queryable, write::whole,
};

/// The table of `IAsyncOperation<T>`, which has 40 bytes on 64-bit and 20 on 32-bit.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// use ntcom::{AsyncStatus, NTSTATUS, RawAsyncStatus};
/// let operation = ntcom::spawn_async_operation(async { 5_u8 });
/// let this = operation.as_ptr();
/// // SAFETY: an operation of our own; its table is complete.
/// let get_status = unsafe { (*(*this).vtbl).get_status }.unwrap();
/// let mut status = RawAsyncStatus(-1);
/// // SAFETY: the operation lives, and `out` is writable.
/// assert_eq!(unsafe { get_status(this.cast(), &mut status) }, NTSTATUS::SUCCESS);
/// assert_eq!(AsyncStatus::try_from(status), Ok(AsyncStatus::Completed));
/// # }).unwrap();
/// # }
/// ```
#[repr(C)]
pub struct AsyncOperationVtbl<T> {
    /// Slots 0–2.
    pub base: IUnknownVtbl,
    /// Slot 3 `[C4]` writes the status. IRQL ≤ DISPATCH_LEVEL.
    pub get_status:
        Option<unsafe extern "system" fn(this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS>,
    /// Slot 4 `[C5]` copies the value out, or zeroes `out` and returns the reason.
    ///
    /// `out` needs no alignment. `STATUS_PENDING` passes `NT_SUCCESS`, so compare the answer with
    /// `STATUS_SUCCESS`. IRQL ≤ DISPATCH_LEVEL.
    pub get_result: Option<unsafe extern "system" fn(this: *mut c_void, out: *mut T) -> NTSTATUS>,
}

/// The interface `IAsyncOperation<T>`, which is one pointer to its table.
///
/// The caller of a method that returns a pointer to it owns one reference.
///
/// ```
/// use ntcom::{AsyncOperationRaw, AsyncStatus, ComRc, NTSTATUS};
///
/// /// Takes over the pointer that a method returned.
/// ///
/// /// # Safety
/// /// `returned` is null, or an operation with a reference.
/// unsafe fn poll_once(returned: *mut AsyncOperationRaw<u32>) -> Result<AsyncStatus, NTSTATUS> {
///     // SAFETY: null, or an operation with a reference.
///     unsafe { ComRc::from_raw(returned) }?.status()
/// }
/// # // SAFETY: null is allowed.
/// # assert!(unsafe { poll_once(core::ptr::null_mut()) }.is_err());
/// ```
#[repr(C)]
pub struct AsyncOperationRaw<T> {
    /// The table.
    pub vtbl: *const AsyncOperationVtbl<T>,
}

// SAFETY: the type is `repr(C)` with the table's pointer first, and the IID is the contract's.
unsafe impl<T> Interface for AsyncOperationRaw<T> {
    const IID: GUID = GUID::from_u128(0xe18c01f5_0ed4_455b_9038_9d691621387b);

    /// Compares the sizes, because `get_result` writes as many bytes as the object's values have.
    fn __check(found: &ComRc<Self>) -> Result<(), NTSTATUS> {
        let size = found.control()?.result_size()?;
        if usize::try_from(size) == Ok(size_of::<T>()) { Ok(()) } else { Err(NTSTATUS::NOINTERFACE) }
    }
}

// SAFETY: `__check` has compared the size of the object's values with `T`'s. Safe code reads a `T`
// after `CheckedBitPattern` has accepted its bytes. All of them are initialised, because our
// objects write so by `AsyncValueType::write_to`, and the bytes of a foreign object count as
// initialised [C17].
unsafe impl<T: CheckedBitPattern> Queryable for AsyncOperationRaw<T> {}

// SAFETY: the table begins with IUnknown's slots.
unsafe impl<T> Derived for AsyncOperationRaw<T> {
    type Base = IUnknownRaw;
}

// SAFETY: the type is `repr(C)`, with one pointer.
unsafe impl<T> AbiType for AsyncOperationRaw<T> {}

// SAFETY: every slot may be called on any processor [C13]; the value crosses by copy.
unsafe impl<T: Send + Sync> Send for AsyncOperationRaw<T> {}
// SAFETY: every slot may be called on any processor [C13]; the value crosses by copy.
unsafe impl<T: Send + Sync> Sync for AsyncOperationRaw<T> {}

/// A completion handler, which the operation calls once, after it has ended `[C14]`.
///
/// The operation passes the handler its context and the terminal status. IRQL ≤ DISPATCH_LEVEL. A
/// handler does not begin the next operation itself, because handlers of operations that have ended
/// already would nest without bound.
///
/// ```
/// use core::{ffi::c_void, sync::atomic::{AtomicI32, Ordering}};
/// use ntcom::{RawAsyncStatus, async_com::CompletedHandler};
///
/// unsafe extern "system" fn record(context: *mut c_void, status: RawAsyncStatus) {
///     // SAFETY: the client that sets this handler passes a counter that outlives the call.
///     unsafe { &*context.cast::<AtomicI32>() }.store(status.0, Ordering::Release);
/// }
/// let handler: CompletedHandler = record;
/// ```
pub type CompletedHandler = unsafe extern "system" fn(context: *mut c_void, status: RawAsyncStatus);

/// The table of `IAsyncControl`, which has 64 bytes on 64-bit and 32 on 32-bit.
#[repr(C)]
pub struct AsyncControlVtbl {
    /// Slots 0–2.
    pub base: IUnknownVtbl,
    /// Slot 3 `[C10]` requests cancellation, and always answers `STATUS_SUCCESS`. IRQL
    /// ≤ DISPATCH_LEVEL.
    pub cancel: Option<unsafe extern "system" fn(this: *mut c_void) -> NTSTATUS>,
    /// Slot 4 `[C16]` writes the status with which the operation failed. IRQL ≤ DISPATCH_LEVEL.
    pub get_error: Option<unsafe extern "system" fn(this: *mut c_void, out: *mut NTSTATUS) -> NTSTATUS>,
    /// Slot 5 `[C14]` sets the one completion handler. IRQL ≤ DISPATCH_LEVEL.
    pub set_completed: Option<
        unsafe extern "system" fn(
            this: *mut c_void,
            handler: Option<CompletedHandler>,
            context: *mut c_void,
        ) -> NTSTATUS,
    >,
    /// Slot 6 `[C15]` waits for the end.
    ///
    /// `timeout` has units of 100 ns. A negative value counts from now on, a positive one is a
    /// moment of system time, and null waits for ever. In the operation's own body the slot answers
    /// `STATUS_POSSIBLE_DEADLOCK`, unless the timeout is zero. IRQL: PASSIVE_LEVEL; with a zero
    /// timeout ≤ DISPATCH_LEVEL.
    pub wait: Option<unsafe extern "system" fn(this: *mut c_void, timeout: *const i64) -> NTSTATUS>,
    /// Slot 7 `[C16]` writes the size of the value in bytes. IRQL ≤ DISPATCH_LEVEL.
    pub get_result_size: Option<unsafe extern "system" fn(this: *mut c_void, size: *mut u32) -> NTSTATUS>,
}

/// The interface `IAsyncControl`, which is one pointer to its table. Our operations all have it.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// use ntcom::{AsyncControlRaw, AsyncStatus, ComRc};
/// let operation = ntcom::spawn_async_operation(core::future::pending::<u8>());
/// let control: ComRc<AsyncControlRaw> = operation.query().unwrap();
/// control.cancel().unwrap();
/// assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
/// # }).unwrap();
/// # }
/// ```
#[repr(C)]
pub struct AsyncControlRaw {
    /// The table.
    pub vtbl: *const AsyncControlVtbl,
}

// SAFETY: the type is `repr(C)` with the table's pointer first, and the IID is the contract's.
unsafe impl Interface for AsyncControlRaw {
    const IID: GUID = GUID::from_u128(0xd0d7cfee_ce81_4ca0_965e_49cff7a6d598);
}

// SAFETY: the table begins with IUnknown's slots.
unsafe impl Derived for AsyncControlRaw {
    type Base = IUnknownRaw;
}

// SAFETY: the IID is the contract's, for this one interface.
unsafe impl Queryable for AsyncControlRaw {}

// SAFETY: the type is `repr(C)`, with one pointer.
unsafe impl AbiType for AsyncControlRaw {}
whole! { AsyncControlRaw, @[T] AsyncOperationRaw<T> }

// SAFETY: every slot may be called on any processor [C13].
unsafe impl Send for AsyncControlRaw {}
// SAFETY: every slot may be called on any processor [C13].
unsafe impl Sync for AsyncControlRaw {}

const _: () = {
    const P: usize = size_of::<usize>();
    assert!(size_of::<RawAsyncStatus>() == 4 && size_of::<NTSTATUS>() == 4);
    assert!(size_of::<IUnknownVtbl>() == 3 * P);
    assert!(size_of::<AsyncOperationVtbl<u64>>() == 5 * P);
    assert!(size_of::<AsyncControlVtbl>() == 8 * P);
    assert!(size_of::<AsyncOperationRaw<u64>>() == P && size_of::<AsyncControlRaw>() == P);
};
