//! `This`: a counted pointer to an object of our own.

use core::{ops::Deref, ptr::NonNull};

use super::{
    ComRc, Interface,
    block::{self, Core},
};
use crate::NTSTATUS;

/// A counted pointer to an object of our own whose type is known: what a body uses to reach its object
/// ([`InitBox::with_this`](crate::InitBox::with_this)), and what [`of`](Self::of) finds behind an interface.
///
/// Clone is AddRef, Drop is Release; the last one destroys the object, at the caller's IRQL. `Send` and `Sync`, because objects are. It
/// does not depend on which interfaces the object has. Of a part of an aggregate it counts the aggregate, as clients do: so while there is one,
/// the outer object is there, too.
///
/// ```
/// # fn reads<T: Send + Sync + 'static>(this: ntcom::This<T>) {
/// let again = this.clone();
/// let value: &T = &again;
/// # }
/// ```
pub struct This<T>(NonNull<Core<T>>);

// SAFETY: the count may change on any processor, and so may the value be used and dropped.
unsafe impl<T: Send + Sync> Send for This<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for This<T> {}

impl<T> This<T> {
    /// One more reference to an object.
    ///
    /// # Safety
    /// The core of an object that the caller has a reference to: as clients have it, to the aggregate if it is a part of one.
    pub(crate) unsafe fn from_core(core: NonNull<Core<T>>) -> Self {
        // SAFETY: this function's contract.
        unsafe { block::hold(core) };
        Self(core)
    }

    /// The object behind an interface, if this image made it of a `T`: any of its interfaces leads to it.
    ///
    /// The interfaces of an aggregate lead to the outer object. IRQL: QueryInterface's, which is called; for
    /// objects of this driver ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_NOINTERFACE`: another type's object, or another image's; else as for [`ComRc::query`].
    ///
    /// ```
    /// use ntcom::{ComObject, ComRc, GUID, IUnknown, NTSTATUS, This, declare_com_interface};
    ///
    /// declare_com_interface! {
    ///     /// A stream of a device.
    ///     pub trait IStream: IUnknown {
    ///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a13);
    ///         /// What has been played.
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
    /// # kernel.run(vec![(0, Box::new(|| {
    /// let stream = ComObject::<_, IStreamRaw>::new(Stream { pin: 3 }).unwrap();
    /// assert_eq!(pin_of(&stream), Ok(3));
    /// assert_eq!(This::<u32>::of(&stream).err(), Some(NTSTATUS::NOINTERFACE));
    /// # }))]).unwrap();
    /// ```
    pub fn of<I: Interface>(interface: &ComRc<I>) -> Result<Self, NTSTATUS>
    where
        T: 'static,
    {
        let core = interface.query_raw(&block::core_iid())?;
        // The reference that came with it.
        let object = This::<()>(core.cast());
        // SAFETY: only this image's objects answer for that IID, with the core; what is read stands there
        // whatever the value is.
        if !unsafe { object.0.as_ref() }.holds::<T>() {
            return Err(NTSTATUS::NOINTERFACE);
        }
        let object = core::mem::ManuallyDrop::new(object);
        Ok(Self(object.0.cast()))
    }

    fn core(&self) -> &Core<T> {
        // SAFETY: the object lives while there is a reference.
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
        // SAFETY: this reference.
        unsafe { block::hold(self.0) };
        Self(self.0)
    }
}

impl<T> Drop for This<T> {
    fn drop(&mut self) {
        // SAFETY: this reference, which is gone afterwards.
        unsafe { block::let_go(self.0) };
    }
}

impl<T: core::fmt::Debug> core::fmt::Debug for This<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        T::fmt(self, f)
    }
}
