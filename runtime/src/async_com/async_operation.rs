//! `AsyncOperation`: anybody's operation as a value of Rust's, which can be awaited.

use core::{future::IntoFuture, time::Duration};

use bytemuck::AnyBitPattern;
use ntcom_exec::NTSTATUS;

use super::{
    AsyncValueType,
    abi::{AsyncControlRaw, AsyncOperationRaw},
    awaiting::OperationFuture,
    client::{BROKEN, checked_error},
    owned::InterfacePtr,
    status::AsyncStatus,
};
use crate::{ComRc, Interface};

/// An operation, our own or foreign, that yields a `T`. It owns one reference.
///
/// Nothing that comes from the other side is believed unchecked `[C17]`: what breaks the contract is `STATUS_DRIVER_INTERNAL_ERROR`. Dropping
/// it is not cancelling `[C9]`.
///
/// Awaiting it, or [`into_future`](IntoFuture::into_future), needs a `T` for which every bit pattern is a value; for others there is
/// [`into_future_trusted`](Self::into_future_trusted). See [`OperationFuture`] for how it hears of the end.
///
/// ```
/// # #[cfg(feature = "async-com-kernel")] {
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// use ntcom::{AsyncOperation, NTSTATUS, spawn_async_operation};
///
/// async fn twice(operation: AsyncOperation<u32>) -> Result<u32, NTSTATUS> {
///     Ok(operation.await? * 2)
/// }
///
/// let inner = AsyncOperation::from(spawn_async_operation(async { 21_u32 }));
/// let outer = AsyncOperation::from(spawn_async_operation(async { twice(inner).await.unwrap_or(0) }));
/// outer.wait(None).unwrap();
/// assert_eq!(outer.result(), Ok(42));
/// # }))]).unwrap();
/// # }
/// ```
pub struct AsyncOperation<T: AsyncValueType>(ComRc<AsyncOperationRaw<T>>);

impl<T: AsyncValueType> AsyncOperation<T> {
    /// Takes over what a method returned.
    ///
    /// # Errors
    /// As for [`ComRc::from_raw`].
    ///
    /// # Safety
    /// As for [`ComRc::from_raw`].
    pub unsafe fn from_raw(raw: *mut AsyncOperationRaw<T>) -> Result<Self, NTSTATUS> {
        // SAFETY: this function's contract.
        unsafe { ComRc::from_raw(raw) }.map(Self)
    }

    /// The counted pointer.
    #[must_use]
    pub const fn as_com(&self) -> &ComRc<AsyncOperationRaw<T>> {
        &self.0
    }

    /// The counted pointer, itself.
    #[must_use]
    pub fn into_com(self) -> ComRc<AsyncOperationRaw<T>> {
        self.0
    }

    /// How far it is. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`ComRc::status`](ComRc#method.status).
    pub fn status(&self) -> Result<AsyncStatus, NTSTATUS> {
        self.0.status()
    }

    /// The value, for types for which every bit pattern is one. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// - `STATUS_PENDING`: there is none yet. The one error for which [`NTSTATUS::is_success`] is true.
    /// - `STATUS_CANCELLED`, or why the operation failed.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: it breaks the contract.
    pub fn result(&self) -> Result<T, NTSTATUS>
    where
        T: AnyBitPattern,
    {
        self.0.result()
    }

    /// The value, for all other types. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`result`](Self::result).
    ///
    /// # Safety
    /// Whoever made this object is trusted to write a valid `T` when it answers `STATUS_SUCCESS`: for instance, it is our own.
    pub unsafe fn result_trusted(&self) -> Result<T, NTSTATUS> {
        // SAFETY: this function's contract.
        unsafe { self.0.result_trusted() }
    }

    fn control(&self) -> Result<ComRc<AsyncControlRaw>, NTSTATUS> {
        self.0.control()
    }

    /// Requests cancellation `[C10]`: it may complete all the same, and has ended when its status says so. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// - `STATUS_NOINTERFACE`, or what else it answers for `IAsyncControl`: it cannot be cancelled.
    /// - What it answers; `STATUS_DRIVER_INTERNAL_ERROR`: it breaks the contract.
    pub fn cancel(&self) -> Result<(), NTSTATUS> {
        self.control()?.cancel()
    }

    /// Why it failed: `STATUS_PENDING` while it has not ended, `STATUS_SUCCESS` if it completed `[C16]`. What it says is held against its
    /// status. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`cancel`](Self::cancel).
    pub fn error(&self) -> Result<NTSTATUS, NTSTATUS> {
        let control = self.control()?;
        let before = self.status()?;
        let error = control.error()?;
        // It may have ended in between; what it says then is held against what it is by now.
        let moved = before == AsyncStatus::Started && error != NTSTATUS::PENDING;
        let status = if moved { self.status()? } else { before };
        checked_error(status, error)
    }

    /// Waits until it has ended `[C15]`. `limit`: how long at most; zero only looks; none, or what the kernel's clock cannot show (29,000
    /// years), is for ever.
    ///
    /// IRQL: PASSIVE_LEVEL; with a limit of zero ≤ DISPATCH_LEVEL. Never in the context that the operation needs to go on: in a task,
    /// await it.
    ///
    /// # Errors
    /// - `STATUS_TIMEOUT`: the time is over. [`NTSTATUS::is_success`] is true for it.
    /// - `STATUS_NOT_SUPPORTED`: this IRQL is no place to wait.
    /// - `STATUS_POSSIBLE_DEADLOCK`: the operation's own body calls this, with a limit that is not
    ///   zero, or none.
    /// - As for [`cancel`](Self::cancel); `STATUS_DRIVER_INTERNAL_ERROR`, too, if it has not ended when it says that it has.
    ///
    /// ```
    /// # #[cfg(feature = "async-com-kernel")] {
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run(vec![(0, Box::new(|| {
    /// use core::time::Duration;
    /// use ntcom::{AsyncOperation, NTSTATUS};
    ///
    /// let operation = AsyncOperation::from(ntcom::spawn_async_operation(core::future::pending::<u8>()));
    /// assert_eq!(operation.wait(Some(Duration::from_millis(20))), Err(NTSTATUS::TIMEOUT));
    /// operation.cancel().unwrap();
    /// assert_eq!(operation.wait(None), Ok(()));
    /// assert_eq!(operation.error(), Ok(NTSTATUS::CANCELLED));
    /// # }))]).unwrap();
    /// # }
    /// ```
    pub fn wait(&self, limit: Option<Duration>) -> Result<(), NTSTATUS> {
        self.control()?.wait(limit)?;
        if self.status()?.is_terminal() { Ok(()) } else { Err(BROKEN) }
    }

    /// The future of the value, for types that are not [`AnyBitPattern`].
    ///
    /// # Safety
    /// As for [`result_trusted`](Self::result_trusted).
    ///
    /// ```
    /// # #[cfg(feature = "async-com-kernel")] {
    /// # use ntsim::{Config, Schedule, Simulation};
    /// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    /// # kernel.run(vec![(0, Box::new(|| {
    /// use ntcom::{AsyncOperation, spawn_async_operation};
    ///
    /// let inner = AsyncOperation::from(spawn_async_operation(async { true }));
    /// // SAFETY: the operation is our own.
    /// let inner = unsafe { inner.into_future_trusted() };
    /// let outer = spawn_async_operation(async { u8::from(inner.await == Ok(true)) });
    /// assert_eq!(outer.result(), Ok(1));
    /// # }))]).unwrap();
    /// # }
    /// ```
    pub unsafe fn into_future_trusted(self) -> OperationFuture<T> {
        OperationFuture::new(self.0, |operation| {
            // SAFETY: the contract of the function that this is in.
            unsafe { operation.result_trusted() }
        })
    }
}

impl<T: AsyncValueType> From<ComRc<AsyncOperationRaw<T>>> for AsyncOperation<T> {
    fn from(operation: ComRc<AsyncOperationRaw<T>>) -> Self {
        Self(operation)
    }
}

impl<T: AsyncValueType> Clone for AsyncOperation<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: AsyncValueType> core::fmt::Debug for AsyncOperation<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("AsyncOperation").field(&self.0).finish()
    }
}

impl<T: AsyncValueType + AnyBitPattern> IntoFuture for AsyncOperation<T> {
    type Output = Result<T, NTSTATUS>;
    type IntoFuture = OperationFuture<T>;

    fn into_future(self) -> OperationFuture<T> {
        OperationFuture::new(self.0, ComRc::result)
    }
}

/// What a method returned can be awaited as it is.
impl<T: AsyncValueType + AnyBitPattern> IntoFuture for ComRc<AsyncOperationRaw<T>> {
    type Output = Result<T, NTSTATUS>;
    type IntoFuture = OperationFuture<T>;

    fn into_future(self) -> OperationFuture<T> {
        OperationFuture::new(self, ComRc::result)
    }
}

impl<I: Interface + Send + Sync + 'static> AsyncOperation<InterfacePtr<I>> {
    /// The interface that the operation has yielded: a reference of one's own, each time. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// As for [`result`](Self::result), of which it is the like; `STATUS_DRIVER_INTERNAL_ERROR`, too, if what it hands out is null or without
    /// the slots of IUnknown.
    pub fn interface(&self) -> Result<ComRc<I>, NTSTATUS> {
        self.0.interface()
    }
}

/// It ends with the interface.
impl<I: Interface + Send + Sync + 'static> IntoFuture for AsyncOperation<InterfacePtr<I>> {
    type Output = Result<ComRc<I>, NTSTATUS>;
    type IntoFuture = OperationFuture<InterfacePtr<I>, ComRc<I>>;

    fn into_future(self) -> Self::IntoFuture {
        OperationFuture::new(self.0, ComRc::interface)
    }
}

/// It ends with the interface.
impl<I: Interface + Send + Sync + 'static> IntoFuture for ComRc<AsyncOperationRaw<InterfacePtr<I>>> {
    type Output = Result<ComRc<I>, NTSTATUS>;
    type IntoFuture = OperationFuture<InterfacePtr<I>, ComRc<I>>;

    fn into_future(self) -> Self::IntoFuture {
        OperationFuture::new(self, ComRc::interface)
    }
}
