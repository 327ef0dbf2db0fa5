//! `This`, a counted pointer to an object of our own.

use core::{ops::Deref, ptr::NonNull};

use super::{
    ComRc, Interface,
    block::{self, Core},
};
use crate::NTSTATUS;

/// A counted pointer to an object of our own with a known type.
///
/// A body uses it to reach its object ([`InitBox::with_this`](crate::InitBox::with_this));
/// [`of`](Self::of) finds the object behind an interface.
///
/// Clone is AddRef and Drop is Release; the last Release destroys the object, at the caller's IRQL.
/// It is `Send` and `Sync`, because objects are. Its type does not depend on the object's
/// interfaces. For a part of an aggregate it counts the aggregate, as clients do, so it keeps the
/// outer object alive, too.
pub struct This<T>(NonNull<Core<T>>);

// SAFETY: the count may change on any processor, and `T: Send + Sync` allows the value to be used
// and dropped there.
unsafe impl<T: Send + Sync> Send for This<T> {}
// SAFETY: the count may change on any processor, and `T: Send + Sync` allows the value to be used
// and dropped there.
unsafe impl<T: Send + Sync> Sync for This<T> {}

impl<T> This<T> {
    /// Adds a reference to an object.
    ///
    /// # Safety
    /// `core` is the core of an object to which the caller has a reference. As for clients, that is
    /// a reference to the aggregate if the object is a part of one.
    #[cfg(feature = "async-com")]
    pub(crate) unsafe fn from_core(core: NonNull<Core<T>>) -> Self {
        // SAFETY: the caller has a reference to the object, or to its aggregate.
        unsafe { block::hold(core) };
        Self(core)
    }

    /// Returns the object behind an interface, if this image made it with a value of type `T`.
    ///
    /// Any of the object's interfaces leads to it. The interfaces of an aggregate lead to the outer
    /// object.
    ///
    /// It calls QueryInterface. IRQL: as the object documents; for objects of this driver ≤
    /// DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_NOINTERFACE`: the object has a value of another type, or another image made it.
    /// Otherwise as for [`ComRc::query`].
    ///
    /// ```
    /// use ntcom::{ComObject, ComRc, GUID, IUnknown, NTSTATUS, This, declare_com_interface};
    ///
    /// declare_com_interface! {
    ///     /// A stream of a device.
    ///     pub trait IStream: IUnknown {
    ///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a13);
    ///         /// The number of bytes played.
    ///         fn position(&self) -> u64;
    ///     }
    /// }
    /// struct Stream { pin: u32 }
    /// impl IStream for Stream {
    ///     fn position(&self) -> u64 { 0 }
    /// }
    ///
    /// /// Another driver gives back a stream that this one has made.
    /// fn pin_of(theirs: &ComRc<IStreamRaw>) -> Result<u32, NTSTATUS> {
    ///     let stream: This<Stream> = This::of(theirs)?;
    ///     Ok(stream.pin)
    /// }
    /// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
    /// # kernel.run_on(0, || {
    /// let stream = ComObject::<_, IStreamRaw>::new(Stream { pin: 3 }).unwrap();
    /// assert_eq!(pin_of(&stream), Ok(3));
    /// assert_eq!(This::<u32>::of(&stream).err(), Some(NTSTATUS::NOINTERFACE));
    /// # }).unwrap();
    /// ```
    pub fn of<I: Interface>(interface: &ComRc<I>) -> Result<Self, NTSTATUS>
    where
        T: 'static,
    {
        let core = interface.query_raw(&block::core_iid())?;
        // It owns the reference that the query returned.
        let object = This::<()>(core.cast());
        // SAFETY: only objects of this image answer for that IID, with their cores, and the
        // reference keeps this one alive.
        if !unsafe { object.0.as_ref() }.holds::<T>() {
            return Err(NTSTATUS::NOINTERFACE);
        }
        let object = core::mem::ManuallyDrop::new(object);
        Ok(Self(object.0.cast()))
    }

    fn core(&self) -> &Core<T> {
        // SAFETY: this pointer's reference keeps the object alive.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Deref for This<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.core().value()
    }
}

impl<T> Clone for This<T> {
    fn clone(&self) -> Self {
        // SAFETY: this pointer holds a reference to the object, or to its aggregate.
        unsafe { block::hold(self.0) };
        Self(self.0)
    }
}

impl<T> Drop for This<T> {
    fn drop(&mut self) {
        // SAFETY: this pointer gives up its own reference.
        unsafe { block::let_go(self.0) };
    }
}

impl<T: core::fmt::Debug> core::fmt::Debug for This<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        T::fmt(self, f)
    }
}
