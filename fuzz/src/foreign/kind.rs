//! The types of values of the other side's operations, and the client's operation of each with its
//! type erased.

use core::{
    ffi::c_void,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytemuck::CheckedBitPattern;
use ntcom::{
    AsyncOperation, AsyncOperationRaw, AsyncValueType, ComRc, IUnknownRaw, InterfacePtr, NTSTATUS,
    OperationFuture,
};

use super::{input::How, thing::IThingRaw};

/// A type of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Four bytes.
    U32,
    /// `()`, for which nothing is written.
    Unit,
    /// One byte.
    U8,
    /// One byte with two valid values. The client trusts the other side to write one of them.
    Bool,
    /// Eight bytes.
    U64,
    /// A struct of sixteen bytes.
    Wide,
    /// An interface, which comes with a reference each time.
    Interface,
}

/// A struct of two words. It is too large for a register, so that a value in the wrong place shows.
#[repr(C)]
#[derive(Clone, Copy, ntcom::AbiType)]
pub(super) struct Wide {
    low: u64,
    high: u64,
}

/// Calls a generic function with the type of a kind.
macro_rules! with_type {
    ($kind:expr, $function:ident($($argument:expr),*)) => {
        match $kind {
            Kind::U32 => $function::<u32>($($argument),*),
            Kind::Unit => $function::<()>($($argument),*),
            Kind::U8 => $function::<u8>($($argument),*),
            Kind::Bool => $function::<bool>($($argument),*),
            Kind::U64 => $function::<u64>($($argument),*),
            Kind::Wide => $function::<Wide>($($argument),*),
            Kind::Interface => $function::<InterfacePtr<IThingRaw>>($($argument),*),
        }
    };
}

impl Kind {
    /// All types, in the order of their numbers in inputs.
    pub const ALL: [Self; 8] = [
        Self::U32,
        Self::Unit,
        Self::U8,
        Self::Bool,
        Self::U64,
        Self::Wide,
        Self::Interface,
        Self::Interface,
    ];

    /// The size of a value.
    #[must_use]
    pub fn size(self) -> usize {
        const fn size<T>() -> usize {
            size_of::<T>()
        }
        with_type!(self, size())
    }

    /// Takes the client's operation.
    ///
    /// # Safety
    /// `operation` is an operation with values of this type, and its reference passes to the
    /// client.
    pub(super) unsafe fn take(self, operation: *mut c_void) -> Result<Box<dyn Held>, NTSTATUS> {
        /// # Safety
        /// `operation` is an operation with values of type `T`, and its reference passes to the
        /// client.
        unsafe fn take<T: Value>(operation: *mut c_void) -> Result<Box<dyn Held>, NTSTATUS> {
            // SAFETY: the caller passes such an operation with its reference.
            let operation = unsafe { AsyncOperation::<T>::from_raw(operation.cast()) }?;
            Ok(Box::new(operation))
        }
        // SAFETY: the caller passes an operation with values of this type, with its reference.
        unsafe { with_type!(self, take(operation)) }
    }
}

/// A value that the client has got.
pub(crate) struct Got {
    /// The value's bytes, as a number.
    pub(super) worth: u128,
    /// The reference, which the client owns.
    pub(super) interface: Option<ComRc<IThingRaw>>,
}

/// A type of values, with the client's way to read them.
trait Value: AsyncValueType {
    /// The result of reading it.
    type Read: 'static;
    fn read(operation: &AsyncOperation<Self>) -> Result<Self::Read, NTSTATUS>;
    fn future(operation: AsyncOperation<Self>) -> OperationFuture<Self, Self::Read>;
    fn got(read: Self::Read) -> Got;
}

macro_rules! checked {
    ($($type:ty: $value:ident => $worth:expr;)*) => { $(
        impl Value for $type {
            type Read = Self;
            fn read(operation: &AsyncOperation<Self>) -> Result<Self, NTSTATUS> {
                operation.result()
            }
            fn future(operation: AsyncOperation<Self>) -> OperationFuture<Self> {
                operation.into_future()
            }
            fn got($value: Self) -> Got {
                Got { worth: $worth, interface: None }
            }
        }
    )* };
}

checked! {
    (): _value => 0;
    bool: value => value.into();
    u8: value => value.into();
    u32: value => value.into();
    u64: value => value.into();
    Wide: value => u128::from(value.low) | u128::from(value.high) << 64;
}

impl Value for InterfacePtr<IThingRaw> {
    type Read = ComRc<IThingRaw>;
    fn read(operation: &AsyncOperation<Self>) -> Result<Self::Read, NTSTATUS> {
        operation.interface()
    }
    fn future(operation: AsyncOperation<Self>) -> OperationFuture<Self, Self::Read> {
        operation.into_future()
    }
    fn got(interface: Self::Read) -> Got {
        Got { worth: interface.as_ptr().addr() as u128, interface: Some(interface) }
    }
}

/// A future of an operation, with its type erased.
pub(crate) type Awaiting = Pin<Box<dyn Future<Output = Result<Got, NTSTATUS>> + Send>>;

/// A future of an operation, with its type.
struct Await<T: Value>(Pin<Box<OperationFuture<T, T::Read>>>);

impl<T: Value> Future for Await<T> {
    type Output = Result<Got, NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map_ok(T::got)
    }
}

/// An operation that the client holds, with a method for each call.
pub(crate) trait Held {
    fn status(&self) -> Result<i32, NTSTATUS>;
    fn result(&self) -> Result<Got, NTSTATUS>;
    fn error(&self) -> Result<NTSTATUS, NTSTATUS>;
    fn cancel(&self) -> Result<(), NTSTATUS>;
    fn wait(&self, limit: Option<Duration>) -> Result<(), NTSTATUS>;
    /// get_result_size.
    fn size(&self) -> Result<u32, NTSTATUS>;
    /// Queries IUnknown, and releases it.
    fn unknown(&self) -> Result<(), NTSTATUS>;
    /// Queries an operation with values of that size, and asks that operation for its status.
    fn again(&self, kind: Kind) -> Result<i32, NTSTATUS>;
    fn another(&self) -> Box<dyn Held>;
    fn awaiting(self: Box<Self>, how: How) -> Awaiting;
}

impl<T: Value> Held for AsyncOperation<T> {
    fn status(&self) -> Result<i32, NTSTATUS> {
        Self::status(self).map(|status| status as i32)
    }
    fn result(&self) -> Result<Got, NTSTATUS> {
        T::read(self).map(T::got)
    }
    fn error(&self) -> Result<NTSTATUS, NTSTATUS> {
        Self::error(self)
    }
    fn cancel(&self) -> Result<(), NTSTATUS> {
        Self::cancel(self)
    }
    fn wait(&self, limit: Option<Duration>) -> Result<(), NTSTATUS> {
        Self::wait(self, limit)
    }
    fn size(&self) -> Result<u32, NTSTATUS> {
        self.control()?.result_size()
    }
    fn unknown(&self) -> Result<(), NTSTATUS> {
        self.query::<IUnknownRaw>().map(drop)
    }
    fn again(&self, kind: Kind) -> Result<i32, NTSTATUS> {
        fn again<T: CheckedBitPattern>(operation: &ComRc<IUnknownRaw>) -> Result<i32, NTSTATUS> {
            operation.query::<AsyncOperationRaw<T>>()?.status().map(|status| status as i32)
        }
        let operation = self.base();
        match kind {
            Kind::Unit => again::<()>(operation),
            Kind::U8 => again::<u8>(operation),
            Kind::Bool => again::<bool>(operation),
            Kind::U32 => again::<u32>(operation),
            // No query finds an operation of interfaces: ask for values of a pointer's size.
            Kind::U64 | Kind::Interface => again::<u64>(operation),
            Kind::Wide => again::<Wide>(operation),
        }
    }
    fn another(&self) -> Box<dyn Held> {
        Box::new(self.clone())
    }
    fn awaiting(self: Box<Self>, how: How) -> Awaiting {
        let mut future = T::future(*self);
        if how.cancels {
            future = future.cancel_on_drop();
        }
        if how.watched {
            future = future.watched();
        }
        if how.often {
            future = future.look_every(Duration::ZERO);
        }
        Box::pin(Await::<T>(Box::pin(future)))
    }
}
