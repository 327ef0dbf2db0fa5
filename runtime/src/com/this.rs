//! `This`: a counted pointer to an object of our own.

use core::{ops::Deref, ptr::NonNull};

use super::block::{self, Core};

/// A counted pointer to an object of our own whose type is known: what a body uses to reach its object
/// ([`InitBox::with_this`](crate::InitBox::with_this)). See also [`ComObject::this`](super::ComObject::this).
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
