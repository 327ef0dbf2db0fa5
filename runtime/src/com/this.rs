//! `This`: a counted pointer to an object of our own.

use core::{ops::Deref, ptr::NonNull};

use super::block::{self, Core};

/// A counted pointer to an object of our own with a known type. A body uses it to reach its
/// object ([`InitBox::with_this`](crate::InitBox::with_this)). See also
/// [`ComObject::this`](super::ComObject::this).
///
/// Clone is AddRef and Drop is Release; the last Release destroys the object, at the caller's IRQL.
/// It is `Send` and `Sync`, because objects are. Its type does not depend on the object's
/// interfaces. For a part of an aggregate it counts the aggregate, as clients do, so it keeps the
/// outer object alive, too.
///
/// ```
/// # fn reads<T: Send + Sync + 'static>(this: ntcom::This<T>) {
/// let again = this.clone();
/// let value: &T = &again;
/// # }
/// ```
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
    pub(crate) unsafe fn from_core(core: NonNull<Core<T>>) -> Self {
        // SAFETY: the caller has a reference to the object, or to its aggregate.
        unsafe { block::hold(core) };
        Self(core)
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
