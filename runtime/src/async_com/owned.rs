//! Operations that yield an interface. Such an operation owns a reference, and hands out one more
//! at each call of `get_result`.

use core::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
};

use ntcom_exec::{NTSTATUS, TaskBody};

use super::{abi::AsyncOperationRaw, awaiting::OperationFuture, client::BROKEN, method::BodyOf};
use crate::{
    ComRc, Interface,
    com::{value::values, write::whole},
};

/// The value of an operation that yields an interface, as it crosses, a pointer `I *`.
///
/// Each call of `get_result` hands the pointer out with a reference, which is the client's. The
/// last reference to the operation (a client's, a handle's or a waker's) releases the operation's
/// own reference with its block, at ≤ DISPATCH_LEVEL. A client in Rust calls [`ComRc::interface`].
#[repr(transparent)]
#[derive(Debug)]
pub struct InterfacePtr<I>(*mut I);

impl<I> InterfacePtr<I> {
    /// Returns the pointer, which may be null.
    #[must_use]
    pub const fn as_ptr(self) -> *mut I {
        self.0
    }
}

impl<I> Clone for InterfacePtr<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for InterfacePtr<I> {}

// SAFETY: the bounds say that the interface may be used on any processor.
unsafe impl<I: Send + Sync> Send for InterfacePtr<I> {}
// SAFETY: the bounds say that the interface may be used on any processor.
unsafe impl<I: Send + Sync> Sync for InterfacePtr<I> {}

whole! { @[I] InterfacePtr<I> }
values! { @[I: Send + Sync + 'static] InterfacePtr<I> }

#[doc(hidden)]
/// The body of a future that ends with an interface. It is transparent over the future.
#[repr(transparent)]
pub struct Owned<F>(F);

#[doc(hidden)]
/// The body of a future that ends with an interface, or with an error. It is transparent over the
/// future.
#[repr(transparent)]
pub struct FallibleOwned<F>(F);

/// Returns the place for a future in the place for its body.
///
/// # Safety
/// `field` returns the only field.
unsafe fn project<B, F>(body: Pin<&mut B>, field: impl FnOnce(&mut B) -> &mut F) -> Pin<&mut F> {
    // SAFETY: the future is pinned with the whole, and never moved out of it.
    unsafe { body.map_unchecked_mut(field) }
}

impl<I, F> TaskBody for Owned<F>
where
    I: Interface + Send + Sync + 'static,
    F: Future<Output = ComRc<I>> + Send + 'static,
{
    type Value = InterfacePtr<I>;
    const OWNS: bool = true;

    fn poll_body(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Self::Value, NTSTATUS>> {
        // SAFETY: the closure gives the only field.
        let future = unsafe { project(self, |body| &mut body.0) };
        future.poll(context).map(|interface| Ok(InterfacePtr(interface.into_raw())))
    }

    fn share(value: &Self::Value) {
        share(*value);
    }

    fn discard(value: Self::Value) {
        discard(value);
    }
}

impl<I, F> TaskBody for FallibleOwned<F>
where
    I: Interface + Send + Sync + 'static,
    F: Future<Output = Result<ComRc<I>, NTSTATUS>> + Send + 'static,
{
    type Value = InterfacePtr<I>;
    const OWNS: bool = true;

    fn poll_body(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Self::Value, NTSTATUS>> {
        // SAFETY: the closure gives the only field.
        let future = unsafe { project(self, |body| &mut body.0) };
        future.poll(context).map_ok(|interface| InterfacePtr(interface.into_raw()))
    }

    fn share(value: &Self::Value) {
        share(*value);
    }

    fn discard(value: Self::Value) {
        discard(value);
    }
}

/// Returns the operation's own reference, which it holds as long as the value is in its block.
fn own<I: Interface>(value: InterfacePtr<I>) -> Option<ComRc<I>> {
    // SAFETY: `poll_body` made the pointer by `into_raw`, with a reference; the callers keep that
    // reference, or give it up for good.
    unsafe { ComRc::from_raw(value.0) }.ok()
}

fn share<I: Interface>(value: InterfacePtr<I>) {
    let Some(own) = own(value) else { ntcom_exec::fail_fast_corrupt_interface() };
    let _theirs = own.clone().into_raw();
    let _still_ours = own.into_raw();
}

fn discard<I: Interface>(value: InterfacePtr<I>) {
    drop(own(value));
}

// SAFETY: the type is declared transparent over `F`.
unsafe impl<I, F> BodyOf<F> for Owned<F>
where
    I: Interface + Send + Sync + 'static,
    F: Future<Output = ComRc<I>> + Send + 'static,
{
}

// SAFETY: the type is declared transparent over `F`.
unsafe impl<I, F> BodyOf<F> for FallibleOwned<F>
where
    I: Interface + Send + Sync + 'static,
    F: Future<Output = Result<ComRc<I>, NTSTATUS>> + Send + 'static,
{
}

impl<I: Interface> ComRc<AsyncOperationRaw<InterfacePtr<I>>> {
    /// Returns the interface that the operation has yielded, with a new reference. IRQL:
    /// ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// - `STATUS_PENDING`: there is no interface yet. [`NTSTATUS::is_success`] is true for it.
    /// - `STATUS_CANCELLED`, or the status with which the operation failed.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: the object breaks the contract, or its pointer is null or
    ///   without the slots of IUnknown. A reference that comes with that pointer is lost.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// use ntcom::{
    ///     AsyncBody, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, declare_com_interface, pin_init,
    /// };
    ///
    /// declare_com_interface! {
    ///     /// A channel.
    ///     pub trait IChannel: IUnknown {
    ///         const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a0d";
    ///         /// Its number.
    ///         fn number(&self) -> u32;
    ///     }
    /// }
    /// declare_com_interface! {
    ///     /// Has channels.
    ///     pub trait IChannels: IUnknown {
    ///         const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a0e";
    ///         /// Opens one.
    ///         #[opaque]
    ///         async fn open(&self, number: u32) -> Result<ComRc<IChannelRaw>, NTSTATUS>;
    ///     }
    /// }
    /// struct Channel(u32);
    /// impl IChannel for Channel {
    ///     fn number(&self) -> u32 { self.0 }
    /// }
    /// struct Channels;
    /// // SAFETY: the body touches no pageable memory and waits for nothing.
    /// unsafe impl IChannels for Channels {
    ///     type Allocator = GlobalAllocator;
    ///     fn open(&self, number: u32) -> impl AsyncBody<Result<ComRc<IChannelRaw>, NTSTATUS>, GlobalAllocator, NTSTATUS> {
    ///         InitBox::new(GlobalAllocator, pin_init!(async move { ComObject::<_, IChannelRaw>::new(Channel(number)) }))
    ///     }
    /// }
    /// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let channels = ComObject::<_, IChannelsRaw>::new(Channels).unwrap();
    /// let channel = channels.open(3).unwrap().interface().unwrap();
    /// assert_eq!(channel.number(), Ok(3));
    ///
    /// // Or, in a task:
    /// async fn number(channels: ComRc<IChannelsRaw>) -> Result<u32, NTSTATUS> {
    ///     let channel: ComRc<IChannelRaw> = channels.open(4)?.await?;
    ///     channel.number()
    /// }
    /// let task = ntcom::spawn_async_operation(async move { number(channels).await.unwrap_or(0) });
    /// assert_eq!(task.result(), Ok(4));
    /// # }).unwrap();
    /// # }
    /// ```
    pub fn interface(&self) -> Result<ComRc<I>, NTSTATUS> {
        // SAFETY: any bytes are a pointer.
        let pointer = unsafe { self.result_trusted() }?;
        // SAFETY: the pointer is null, or the operation handed it out with a reference.
        unsafe { ComRc::from_raw(pointer.0) }.map_err(|_| BROKEN)
    }
}

/// The future of the interface.
impl<I: Interface + Send + Sync + 'static> IntoFuture for ComRc<AsyncOperationRaw<InterfacePtr<I>>> {
    type Output = Result<ComRc<I>, NTSTATUS>;
    type IntoFuture = OperationFuture<InterfacePtr<I>, ComRc<I>>;

    fn into_future(self) -> Self::IntoFuture {
        OperationFuture::new(self, ComRc::interface)
    }
}
