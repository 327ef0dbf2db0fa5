//! A client's pointer to an operation, our own or foreign.
//!
//! The client distrusts the object `[C17]`. An answer that breaks the contract becomes
//! `STATUS_DRIVER_INTERNAL_ERROR`.

use core::{future::IntoFuture, mem::MaybeUninit, time::Duration};

use bytemuck::CheckedBitPattern;
use ntcom_exec::NTSTATUS;

use super::{
    AsyncValueType,
    abi::{AsyncControlRaw, AsyncOperationRaw, AsyncOperationVtbl},
    awaiting::OperationFuture,
    client::{BROKEN, checked_error},
    status::{AsyncStatus, RawAsyncStatus},
};
use crate::{
    ComRc,
    com::{bits::checked_value, outcome::checked, write::fits_a_stack},
};

/// A client's pointer to an operation that yields a `T`, with one reference.
///
/// The spawning functions and the methods of declared interfaces return it, and [`ComRc::from_raw`]
/// makes it of a pointer. The operation may be our own or foreign. An answer that breaks the
/// contract is the error `STATUS_DRIVER_INTERNAL_ERROR` `[C17]`. Dropping the pointer does not
/// cancel the operation `[C9]`.
///
/// [`result`](ComRc::result), `await` and [`query`](ComRc::query) need a `T` with bytes that can be
/// checked, a [`CheckedBitPattern`]. Numbers, `bool`, `char`, `NTSTATUS`, `GUID` and
/// [`AsyncStatus`] are such types, and so are structs with a derive of this crate and fields of
/// such types. Other types have [`result_trusted`](ComRc::result_trusted) and
/// [`into_future_trusted`](ComRc::into_future_trusted). [`OperationFuture`] says how the future
/// learns of the end.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// use ntcom::{AsyncOperation, NTSTATUS, spawn_async_operation};
///
/// async fn twice(operation: AsyncOperation<u32>) -> Result<u32, NTSTATUS> {
///     Ok(operation.await? * 2)
/// }
///
/// let inner = spawn_async_operation(async { 21_u32 });
/// let outer = spawn_async_operation(async { twice(inner).await.unwrap_or(0) });
/// outer.wait(None).unwrap();
/// assert_eq!(outer.result(), Ok(42));
/// # }).unwrap();
/// # }
/// ```
pub type AsyncOperation<T> = ComRc<AsyncOperationRaw<T>>;

impl<T> AsyncOperationRaw<T> {
    /// Calls the slot `get_status`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// It takes a pointer, because a `&AsyncOperationRaw` may be used for its one field only, and
    /// the object's slots use the whole object.
    ///
    /// # Errors
    /// - The object's answer.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: the object breaks the contract. It has no such slot,
    ///   writes an unknown status, or answers with a success code other than `STATUS_SUCCESS`.
    ///
    /// # Safety
    /// `this` points to an operation, to which the caller holds a reference.
    ///
    /// ```
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// use ntcom::{AsyncOperationRaw, AsyncStatus, NTSTATUS};
    /// let operation = ntcom::spawn_async_operation_error::<u32>(NTSTATUS::CANCELLED);
    /// // SAFETY: `operation` holds a reference.
    /// let status = unsafe { AsyncOperationRaw::get_status(operation.as_ptr()) };
    /// assert_eq!(status, Ok(AsyncStatus::Error));
    /// # }).unwrap();
    /// ```
    pub unsafe fn get_status(this: *mut Self) -> Result<AsyncStatus, NTSTATUS> {
        // SAFETY: `this` points to an operation, which the caller's reference keeps alive.
        let get_status = unsafe { Self::table(this) }.and_then(|table| table.get_status).ok_or(BROKEN)?;
        let mut status = RawAsyncStatus(-1);
        // SAFETY: the caller's reference keeps the object alive; `status` is writable.
        checked(unsafe { get_status(this.cast(), &raw mut status) })?;
        status.try_into()
    }

    /// Calls the slot `get_result`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// [`result`](ComRc::result) of the client also compares the answer with the status.
    ///
    /// # Errors
    /// - `STATUS_PENDING`: there is no value yet. [`NTSTATUS::is_success`] is true for it.
    /// - `STATUS_CANCELLED`, or the status with which the operation failed.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: the object breaks the contract. It has no such slot,
    ///   answers with another success code, or writes bytes that are not a `T`.
    ///
    /// # Safety
    /// `this` points to an operation, to which the caller holds a reference.
    pub unsafe fn get_result(this: *mut Self) -> Result<T, NTSTATUS>
    where
        T: CheckedBitPattern,
    {
        // SAFETY: `this` points to an operation, which the caller's reference keeps alive.
        let (answer, value) = unsafe { Self::call_get_result(this) }?;
        match answer {
            NTSTATUS::SUCCESS => checked_value(&value).ok_or(BROKEN),
            NTSTATUS::PENDING => Err(NTSTATUS::PENDING),
            failure if !failure.is_success() => Err(failure),
            _ => Err(BROKEN),
        }
    }

    /// Returns the answer of `get_result`, and the bytes that it wrote over zeros.
    ///
    /// # Safety
    /// `this` points to an operation, to which the caller holds a reference.
    unsafe fn call_get_result(this: *mut Self) -> Result<(NTSTATUS, MaybeUninit<T>), NTSTATUS> {
        const { fits_a_stack::<T>() };
        // SAFETY: `this` points to an operation, which the caller's reference keeps alive.
        let get_result = unsafe { Self::table(this) }.and_then(|table| table.get_result).ok_or(BROKEN)?;
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: the caller's reference keeps the object alive; `value` is writable.
        let answer = unsafe { get_result(this.cast(), value.as_mut_ptr()) };
        Ok((answer, value))
    }

    /// # Safety
    /// `this` points to an operation, to which the caller holds a reference for `'a`.
    unsafe fn table<'a>(this: *mut Self) -> Option<&'a AsyncOperationVtbl<T>> {
        // SAFETY: `this` points to an operation, which begins with its table's pointer.
        let table = unsafe { (*this).vtbl };
        // SAFETY: the pointer is null, or points to this interface's table.
        unsafe { table.as_ref() }
    }
}

impl<T> ComRc<AsyncOperationRaw<T>> {
    /// Calls the slot `get_status`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`AsyncOperationRaw::get_status`].
    pub fn get_status(&self) -> Result<AsyncStatus, NTSTATUS> {
        // SAFETY: the pointer owns a reference.
        unsafe { AsyncOperationRaw::get_status(self.as_ptr()) }
    }

    /// Calls the slot `get_result`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// [`result`](Self::result) also compares the answer with the status.
    ///
    /// # Errors
    /// As for [`AsyncOperationRaw::get_result`].
    pub fn get_result(&self) -> Result<T, NTSTATUS>
    where
        T: CheckedBitPattern,
    {
        // SAFETY: the pointer owns a reference.
        unsafe { AsyncOperationRaw::get_result(self.as_ptr()) }
    }

    /// Returns the operation's status, as [`get_status`](Self::get_status) does. IRQL:
    /// ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`AsyncOperationRaw::get_status`].
    pub fn status(&self) -> Result<AsyncStatus, NTSTATUS> {
        self.get_status()
    }

    /// Returns the value, if its bytes are a `T`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// The bytes of a foreign producer count as initialised, whatever it made them from. Our own
    /// producers write only initialised bytes ([`AsyncValueType`]).
    ///
    /// # Errors
    /// - `STATUS_PENDING`: there is no value yet. [`NTSTATUS::is_success`] is true for it.
    /// - `STATUS_CANCELLED`, or the status with which the operation failed.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: the object breaks the contract. Its answer contradicts its
    ///   status, for example, or it writes a `bool` of 2.
    pub fn result(&self) -> Result<T, NTSTATUS>
    where
        T: CheckedBitPattern,
    {
        checked_value(&self.value()?).ok_or(BROKEN)
    }

    /// Returns the value of a type with bytes that cannot be checked. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`result`](Self::result).
    ///
    /// # Safety
    /// The object writes a valid `T` when it answers `STATUS_SUCCESS`, as our own objects do.
    pub unsafe fn result_trusted(&self) -> Result<T, NTSTATUS> {
        let value = self.value()?;
        // SAFETY: the caller vouches for the object, which has answered `STATUS_SUCCESS`.
        Ok(unsafe { value.assume_init() })
    }

    fn value(&self) -> Result<MaybeUninit<T>, NTSTATUS> {
        let before = self.get_status()?;
        // SAFETY: the pointer owns a reference.
        let (answer, value) = unsafe { AsyncOperationRaw::call_get_result(self.as_ptr()) }?;
        match (before, answer) {
            (AsyncStatus::Started | AsyncStatus::Completed, NTSTATUS::SUCCESS) => Ok(value),
            (AsyncStatus::Started, NTSTATUS::PENDING) => Err(NTSTATUS::PENDING),
            (AsyncStatus::Completed, _) => Err(BROKEN),
            (_, failure) if !failure.is_success() => Err(failure),
            _ => Err(BROKEN),
        }
    }

    /// Returns the operation's control interface. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`ComRc::query`].
    pub fn control(&self) -> Result<ComRc<AsyncControlRaw>, NTSTATUS> {
        self.query()
    }

    /// Requests cancellation `[C10]`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// The operation may complete all the same. It has ended when its status says so.
    ///
    /// # Errors
    /// - `STATUS_NOINTERFACE`, or another answer of the object to a query for `IAsyncControl`: the
    ///   operation cannot be cancelled.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: the object breaks the contract.
    /// - Otherwise the answer of the slot `cancel`.
    pub fn cancel(&self) -> Result<(), NTSTATUS> {
        self.control()?.cancel()
    }

    /// Returns the status with which the operation failed `[C16]`. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// It is `STATUS_PENDING` before the end, and `STATUS_SUCCESS` if the operation completed. The
    /// client compares it with the operation's status.
    ///
    /// # Errors
    /// As for [`cancel`](Self::cancel).
    pub fn error(&self) -> Result<NTSTATUS, NTSTATUS> {
        let control = self.control()?;
        let before = self.status()?;
        let error = control.error()?;
        // The operation may have ended in between, so its status is asked for again.
        let moved = before == AsyncStatus::Started && error != NTSTATUS::PENDING;
        let status = if moved { self.status()? } else { before };
        checked_error(status, error)
    }

    /// Waits until the operation has ended `[C15]`, or until `limit` has passed.
    ///
    /// A limit of zero only looks. Without a limit, or with one that the kernel's clock cannot show
    /// (29,000 years), it waits for ever.
    ///
    /// IRQL: PASSIVE_LEVEL; with a limit of zero ≤ DISPATCH_LEVEL. Never wait in the context that
    /// the operation needs to go on. In a task, await the operation instead.
    ///
    /// # Errors
    /// - `STATUS_TIMEOUT`: the limit has passed. [`NTSTATUS::is_success`] is true for it.
    /// - `STATUS_NOT_SUPPORTED`: waiting is not allowed at this IRQL.
    /// - `STATUS_POSSIBLE_DEADLOCK`: the operation's own body calls this, with a limit that is not
    ///   zero, or without one.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: the wait succeeds, and the operation has not ended.
    /// - Otherwise as for [`cancel`](Self::cancel).
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// use core::time::Duration;
    /// use ntcom::NTSTATUS;
    ///
    /// let operation = ntcom::spawn_async_operation(core::future::pending::<u8>());
    /// assert_eq!(operation.wait(Some(Duration::from_millis(20))), Err(NTSTATUS::TIMEOUT));
    /// operation.cancel().unwrap();
    /// assert_eq!(operation.wait(None), Ok(()));
    /// assert_eq!(operation.error(), Ok(NTSTATUS::CANCELLED));
    /// # }).unwrap();
    /// # }
    /// ```
    pub fn wait(&self, limit: Option<Duration>) -> Result<(), NTSTATUS> {
        self.control()?.wait(limit)?;
        if self.status()?.is_terminal() { Ok(()) } else { Err(BROKEN) }
    }

    /// Returns the future of the value, for types that are not [`CheckedBitPattern`].
    ///
    /// # Safety
    /// As for [`result_trusted`](Self::result_trusted).
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// type Callback = extern "C" fn(u32) -> u32;
    /// extern "C" fn twice(n: u32) -> u32 { n * 2 }
    ///
    /// let inner = ntcom::spawn_async_operation(async { Some(twice as Callback) });
    /// // SAFETY: the operation is our own.
    /// let inner = unsafe { inner.into_future_trusted() };
    /// let outer = ntcom::spawn_async_operation(async {
    ///     let callback = inner.await.ok().flatten();
    ///     callback.map_or(0, |callback| callback(21))
    /// });
    /// assert_eq!(outer.result(), Ok(42));
    /// # }).unwrap();
    /// # }
    /// ```
    pub unsafe fn into_future_trusted(self) -> OperationFuture<T>
    where
        T: AsyncValueType,
    {
        OperationFuture::new(self, |operation| {
            // SAFETY: the caller of `into_future_trusted` vouches for the object.
            unsafe { operation.result_trusted() }
        })
    }
}

/// The future of the value.
impl<T: AsyncValueType + CheckedBitPattern> IntoFuture for ComRc<AsyncOperationRaw<T>> {
    type Output = Result<T, NTSTATUS>;
    type IntoFuture = OperationFuture<T>;

    fn into_future(self) -> OperationFuture<T> {
        OperationFuture::new(self, ComRc::result)
    }
}
