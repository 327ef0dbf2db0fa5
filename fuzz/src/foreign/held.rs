//! The client's operation of each type of values, with its type erased.

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

use super::{input::How, kind::ForeignKind, thing::IThingRaw};

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
            ForeignKind::U32 => $function::<u32>($($argument),*),
            ForeignKind::Unit => $function::<()>($($argument),*),
            ForeignKind::U8 => $function::<u8>($($argument),*),
            ForeignKind::Bool => $function::<bool>($($argument),*),
            ForeignKind::U64 => $function::<u64>($($argument),*),
            ForeignKind::Wide => $function::<Wide>($($argument),*),
            ForeignKind::Interface => $function::<InterfacePtr<IThingRaw>>($($argument),*),
        }
    };
}

/// Takes the client's operation with values of a type.
///
/// # Safety
/// `operation` is an operation with values of this type, and its reference passes to the
/// client.
pub(super) unsafe fn take(kind: ForeignKind, operation: *mut c_void) -> Result<Box<dyn Held>, NTSTATUS> {
    /// # Safety
    /// `operation` is an operation with values of type `T`, and its reference passes to the
    /// client.
    unsafe fn typed<T: ForeignValue>(operation: *mut c_void) -> Result<Box<dyn Held>, NTSTATUS> {
        // SAFETY: the caller passes such an operation with its reference.
        let operation = unsafe { AsyncOperation::<T>::from_raw(operation.cast()) }?;
        Ok(Box::new(operation))
    }
    // SAFETY: the caller passes an operation with values of this type, with its reference.
    unsafe { with_type!(kind, typed(operation)) }
}

/// A value that the client has got.
pub(crate) struct Received {
    /// The value's bytes, as a number.
    pub(super) worth: u128,
    /// The reference, which the client owns.
    pub(super) interface: Option<ComRc<IThingRaw>>,
}

/// A type of values, with the client's way to read them.
trait ForeignValue: AsyncValueType {
    /// The result of reading it.
    type Read: 'static;
    fn read(operation: &AsyncOperation<Self>) -> Result<Self::Read, NTSTATUS>;
    fn future(operation: AsyncOperation<Self>) -> OperationFuture<Self, Self::Read>;
    fn got(read: Self::Read) -> Received;
}

macro_rules! checked {
    ($($type:ty: $value:ident => $worth:expr;)*) => { $(
        impl ForeignValue for $type {
            type Read = Self;
            fn read(operation: &AsyncOperation<Self>) -> Result<Self, NTSTATUS> {
                operation.result()
            }
            fn future(operation: AsyncOperation<Self>) -> OperationFuture<Self> {
                operation.into_future()
            }
            fn got($value: Self) -> Received {
                Received { worth: $worth, interface: None }
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

impl ForeignValue for InterfacePtr<IThingRaw> {
    type Read = ComRc<IThingRaw>;
    fn read(operation: &AsyncOperation<Self>) -> Result<Self::Read, NTSTATUS> {
        operation.interface()
    }
    fn future(operation: AsyncOperation<Self>) -> OperationFuture<Self, Self::Read> {
        operation.into_future()
    }
    fn got(interface: Self::Read) -> Received {
        Received { worth: interface.as_ptr().addr() as u128, interface: Some(interface) }
    }
}

/// A future of an operation, with its type erased.
pub(crate) type Awaiting = Pin<Box<dyn Future<Output = Result<Received, NTSTATUS>> + Send>>;

/// A future of an operation, with its type.
struct Await<T: ForeignValue>(Pin<Box<OperationFuture<T, T::Read>>>);

impl<T: ForeignValue> Future for Await<T> {
    type Output = Result<Received, NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map_ok(T::got)
    }
}

/// An operation that the client holds, with a method for each call.
pub(crate) trait Held {
    fn status(&self) -> Result<i32, NTSTATUS>;
    fn result(&self) -> Result<Received, NTSTATUS>;
    fn error(&self) -> Result<NTSTATUS, NTSTATUS>;
    fn cancel(&self) -> Result<(), NTSTATUS>;
    fn wait(&self, limit: Option<Duration>) -> Result<(), NTSTATUS>;
    /// get_result_size.
    fn size(&self) -> Result<u32, NTSTATUS>;
    /// Queries IUnknown, and releases it.
    fn unknown(&self) -> Result<(), NTSTATUS>;
    /// Queries an operation with values of that size, and asks that operation for its status.
    fn again(&self, kind: ForeignKind) -> Result<i32, NTSTATUS>;
    fn another(&self) -> Box<dyn Held>;
    fn awaiting(self: Box<Self>, how: How) -> Awaiting;
}

impl<T: ForeignValue> Held for AsyncOperation<T> {
    fn status(&self) -> Result<i32, NTSTATUS> {
        Self::status(self).map(|status| status as i32)
    }
    fn result(&self) -> Result<Received, NTSTATUS> {
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
    fn again(&self, kind: ForeignKind) -> Result<i32, NTSTATUS> {
        fn again<T: CheckedBitPattern>(operation: &ComRc<IUnknownRaw>) -> Result<i32, NTSTATUS> {
            operation.query::<AsyncOperationRaw<T>>()?.status().map(|status| status as i32)
        }
        let operation = self.base();
        match kind {
            ForeignKind::Unit => again::<()>(operation),
            ForeignKind::U8 => again::<u8>(operation),
            ForeignKind::Bool => again::<bool>(operation),
            ForeignKind::U32 => again::<u32>(operation),
            ForeignKind::U64 | ForeignKind::Interface => again::<u64>(operation),
            ForeignKind::Wide => again::<Wide>(operation),
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
        if how.polls {
            future = future.with_polling();
        }
        if how.often {
            future = future.poll_interval(Duration::ZERO);
        }
        Box::pin(Await::<T>(Box::pin(future)))
    }
}

/// The size of each type, which the other side computes from the kind.
const _: () = {
    assert!(ForeignKind::U32.size() == size_of::<u32>() && ForeignKind::U64.size() == size_of::<u64>());
    assert!(ForeignKind::Wide.size() == size_of::<Wide>());
    assert!(ForeignKind::Interface.size() == size_of::<InterfacePtr<IThingRaw>>());
};
