//! The client of `IAsyncControl`, which checks every answer of the object `[C17]`.

use core::{ffi::c_void, time::Duration};

use ntcom_exec::NTSTATUS;

use super::{
    abi::{AsyncControlRaw, AsyncControlVtbl, CompletedHandler},
    status::AsyncStatus,
};
use crate::{ComRc, com::outcome::checked};

/// The error where the provider breaks the contract.
pub(super) const BROKEN: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;

/// Returns the error that `get_error` wrote, if it fits the operation's status `[C16]`.
pub(super) const fn checked_error(status: AsyncStatus, error: NTSTATUS) -> Result<NTSTATUS, NTSTATUS> {
    match (status, error) {
        (AsyncStatus::Started, NTSTATUS::PENDING) | (AsyncStatus::Completed, NTSTATUS::SUCCESS) => Ok(error),
        (AsyncStatus::Canceled | AsyncStatus::Error, failure) if !failure.is_success() => Ok(failure),
        _ => Err(BROKEN),
    }
}

/// Converts a time from now on to the kernel's form, a negative number of units of 100 ns, rounded
/// up. Returns `None` if the kernel cannot show it.
fn from_now(limit: Duration) -> Option<i64> {
    let units = limit.as_nanos().div_ceil(100);
    i64::try_from(units).ok().map(i64::wrapping_neg)
}

impl ComRc<AsyncControlRaw> {
    fn table(&self) -> Option<&AsyncControlVtbl> {
        // SAFETY: the pointer's reference keeps the object alive.
        let table = unsafe { (*self.as_ptr()).vtbl };
        // SAFETY: the pointer is null, or points to this interface's table.
        unsafe { table.as_ref() }
    }

    /// Requests cancellation `[C10]`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_DRIVER_INTERNAL_ERROR` if the object breaks the contract; otherwise the object's
    /// answer.
    pub fn cancel(&self) -> Result<(), NTSTATUS> {
        let cancel = self.table().and_then(|table| table.cancel).ok_or(BROKEN)?;
        // SAFETY: the pointer's reference keeps the object alive.
        checked(unsafe { cancel(self.this()) })
    }

    /// Returns the status with which the operation failed `[C16]`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// It is `STATUS_PENDING` before the end, and `STATUS_SUCCESS` if the operation completed. This
    /// interface has no status to compare it with. `error` of
    /// [`AsyncOperation`](super::AsyncOperation) compares the two.
    ///
    /// # Errors
    /// As for [`cancel`](Self::cancel). A success code other than these two breaks the contract.
    pub fn error(&self) -> Result<NTSTATUS, NTSTATUS> {
        let get_error = self.table().and_then(|table| table.get_error).ok_or(BROKEN)?;
        // No provider answers this status, and it stays if the provider writes nothing.
        let mut error = NTSTATUS::TIMEOUT;
        // SAFETY: the pointer's reference keeps the object alive; `out` is writable.
        checked(unsafe { get_error(self.this(), &raw mut error) })?;
        match error {
            NTSTATUS::PENDING | NTSTATUS::SUCCESS => Ok(error),
            failure if !failure.is_success() => Ok(failure),
            _ => Err(BROKEN),
        }
    }

    /// Returns the size of the value in bytes `[C16]`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`cancel`](Self::cancel).
    pub fn result_size(&self) -> Result<u32, NTSTATUS> {
        let get_result_size = self.table().and_then(|table| table.get_result_size).ok_or(BROKEN)?;
        let mut size = 0;
        // SAFETY: the pointer's reference keeps the object alive; `out` is writable.
        checked(unsafe { get_result_size(self.this(), &raw mut size) })?;
        Ok(size)
    }

    /// Waits until the operation has ended `[C15]`, or until `limit` has passed.
    ///
    /// A limit of zero only looks. Without a limit, or with one that the kernel's clock cannot show
    /// (29,000 years), it waits for ever.
    ///
    /// IRQL: PASSIVE_LEVEL; with a limit of zero ≤ DISPATCH_LEVEL. Never wait in the context that
    /// the operation needs to go on.
    ///
    /// # Errors
    /// - `STATUS_TIMEOUT`: the limit has passed. [`NTSTATUS::is_success`] is true for it.
    /// - `STATUS_NOT_SUPPORTED`: waiting is not allowed at this IRQL.
    /// - `STATUS_POSSIBLE_DEADLOCK`: the operation's own body calls this, with a limit that is not
    ///   zero, or without one.
    /// - Otherwise as for [`cancel`](Self::cancel).
    pub fn wait(&self, limit: Option<Duration>) -> Result<(), NTSTATUS> {
        let wait = self.table().and_then(|table| table.wait).ok_or(BROKEN)?;
        let timeout = limit.and_then(from_now);
        let timeout = timeout.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
        // SAFETY: the pointer's reference keeps the object alive; `timeout` is null or ours.
        match unsafe { wait(self.this(), timeout) } {
            NTSTATUS::TIMEOUT => Err(NTSTATUS::TIMEOUT),
            status => checked(status),
        }
    }

    /// Sets the handler that the operation calls with `context` when it has ended `[C14]`.
    ///
    /// If the operation has ended already, it calls the handler at once. A handler cannot be
    /// withdrawn. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// Handlers nest if a handler begins the next operation and sets its handler, and that
    /// operation has ended already. Begin operations in a row from a loop, and let the handler give
    /// the loop a turn (`docs/c-clients.md`), or await the operations.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_STATE` if there is a handler already; otherwise as for
    /// [`cancel`](Self::cancel).
    ///
    /// # Safety
    /// `handler` may be called with `context`, once, on any processor at ≤ DISPATCH_LEVEL, and both
    /// stay valid until it has returned.
    pub unsafe fn set_completed(
        &self,
        handler: CompletedHandler,
        context: *mut c_void,
    ) -> Result<(), NTSTATUS> {
        let set_completed = self.table().and_then(|table| table.set_completed).ok_or(BROKEN)?;
        // SAFETY: the pointer's reference keeps the object alive; the caller vouches for the
        // handler.
        checked(unsafe { set_completed(self.this(), Some(handler), context) })
    }
}
