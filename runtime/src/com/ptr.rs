//! `ComRc`: a counted pointer to an interface.

use core::{ffi::c_void, ptr::NonNull};

use super::{Derived, E_NOINTERFACE, GUID, IUnknownVtbl, Interface, Queryable};
use crate::NTSTATUS;

/// A counted pointer to an interface of any object, our own or foreign: it owns one reference.
///
/// Clone is AddRef, Drop is Release. IRQL: what the object documents; for operations ≤ DISPATCH_LEVEL.
///
/// The slots of IUnknown are looked at when it is made `[C17]`, and again at each use: the other side may change them. If AddRef has become null
/// since, cloning fails fast: a copy without a reference would be a use after free to come. If Release has, dropping leaks the reference, and
/// if QueryInterface has, [`query`](Self::query) is an error.
///
/// ```
/// # #[cfg(feature = "async-com")] {
/// use ntcom::{AsyncOperationRaw, ComRc, IUnknownRaw, NTSTATUS, spawn_async_operation_error};
/// # use ntsim::{Config, Schedule, Simulation};
///
/// fn same_object() -> Result<bool, NTSTATUS> {
///     let operation = spawn_async_operation_error::<u32>(NTSTATUS::CANCELLED);
///     let unknown: ComRc<IUnknownRaw> = operation.query()?;
///     let again: ComRc<AsyncOperationRaw<u32>> = unknown.query()?;
///     Ok(again.as_ptr() == operation.as_ptr())
/// }
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| assert_eq!(same_object(), Ok(true))))]).unwrap();
/// # }
/// ```
#[repr(transparent)]
pub struct ComRc<I: Interface>(NonNull<I>);

// SAFETY: the count may be changed on any processor [C3]; the interface itself may be used on another one.
unsafe impl<I: Interface + Send + Sync> Send for ComRc<I> {}
// SAFETY: as above.
unsafe impl<I: Interface + Send + Sync> Sync for ComRc<I> {}

impl<I: Interface> ComRc<I> {
    /// Takes over one reference.
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: the pointer is null.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: its table, or one of the slots of IUnknown in it, is null `[C17]`. The reference is lost.
    ///
    /// # Safety
    /// Unless it is null, `raw` points to an object with interface `I` and one reference that is the result's afterwards; a table
    /// pointer that is not null points to a table of `I`, whose slots that are not null may be called as the interface says. What no client can
    /// check is the object's to keep: it stays while it is referenced, its slots write where they are told to, and what QueryInterface gives
    /// out with `STATUS_SUCCESS` is null or such a pointer, too.
    pub unsafe fn from_raw(raw: *mut I) -> Result<Self, NTSTATUS> {
        let this = Self(NonNull::new(raw).ok_or(NTSTATUS::INVALID_PARAMETER)?);
        let complete = this.unknown().is_some_and(|table| {
            table.QueryInterface.is_some() && table.AddRef.is_some() && table.Release.is_some()
        });
        if complete {
            Ok(this)
        } else {
            let _lost = core::mem::ManuallyDrop::new(this);
            Err(NTSTATUS::DRIVER_INTERNAL_ERROR)
        }
    }

    /// The pointer, without its reference.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut I {
        self.0.as_ptr()
    }

    /// The pointer, with its reference.
    #[must_use]
    pub fn into_raw(self) -> *mut I {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// The pointer as slots take it.
    pub(crate) fn this(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    /// The slots of IUnknown, read afresh: the other side may change them.
    fn unknown(&self) -> Option<IUnknownVtbl> {
        let table = self.0.cast::<*const IUnknownVtbl>();
        // SAFETY: every interface begins with its table's pointer, and the object lives while we have a reference.
        let table = unsafe { table.read() };
        // SAFETY: null, or a table that begins with these slots.
        unsafe { table.as_ref() }.copied()
    }

    /// Another interface of the same object `[C1]`. All types of operations have one IID: for `AsyncOperationRaw<T>` the object is also asked
    /// for the size of its values, and one of another size has no such interface. Nor has one
    /// without `IAsyncControl`, which another implementation's operation need not have, because
    /// nothing tells that size. Only a `T` of which the bytes can be checked can be asked for,
    /// because the size is all that the query checks ([`Queryable`]).
    ///
    /// # Errors
    /// `STATUS_NOINTERFACE` (also for an object that answers `E_NOINTERFACE`), or what the object answered;
    /// `STATUS_DRIVER_INTERNAL_ERROR` if it breaks the contract, as with a success code other than `STATUS_SUCCESS`; a reference that
    /// came with that is lost.
    pub fn query<J: Queryable>(&self) -> Result<ComRc<J>, NTSTATUS> {
        let found = self.query_raw(&J::IID)?;
        // SAFETY: the object answered STATUS_SUCCESS, so this is null or, by COM's rules, an AddRef'd pointer to this interface. No client can check
        // that: who made this object answers for it, as `from_raw`'s caller has promised that it is an object.
        let found = unsafe { ComRc::from_raw(found.as_ptr().cast()) };
        let found = found.map_err(|_| NTSTATUS::DRIVER_INTERNAL_ERROR)?;
        J::__check(&found)?;
        Ok(found)
    }

    /// The interface with this IID, AddRef'd, whatever it is. Errors as for [`query`](Self::query).
    pub(super) fn query_raw(&self, iid: &GUID) -> Result<NonNull<c_void>, NTSTATUS> {
        let slot = self.unknown().and_then(|table| table.QueryInterface);
        let query = slot.ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR)?;
        let mut out = core::ptr::null_mut();
        // SAFETY: the object lives while we have a reference; both pointers are valid for the call.
        let status = unsafe { query(self.this(), iid, &raw mut out) };
        match status {
            E_NOINTERFACE => Err(NTSTATUS::NOINTERFACE),
            NTSTATUS::SUCCESS => NonNull::new(out).ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR),
            status if !status.is_success() => Err(status),
            _ => Err(NTSTATUS::DRIVER_INTERNAL_ERROR),
        }
    }
}

/// A pointer to an interface is one to its base.
impl<I: Derived> core::ops::Deref for ComRc<I> {
    type Target = ComRc<I::Base>;

    fn deref(&self) -> &ComRc<I::Base> {
        let this = core::ptr::from_ref(self).cast::<ComRc<I::Base>>();
        // SAFETY: transparent, and a pointer to an interface is one to its base.
        unsafe { &*this }
    }
}

impl<I: Interface> core::fmt::Debug for ComRc<I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ComRc({:p}, {})", self.0, I::IID)
    }
}

impl<I: Interface> Clone for ComRc<I> {
    fn clone(&self) -> Self {
        if let Some(add_ref) = self.unknown().and_then(|table| table.AddRef) {
            // SAFETY: the object lives while we have a reference.
            unsafe { add_ref(self.this()) };
            Self(self.0)
        } else {
            // The slot was there when this pointer was made: the other side corrupts its own tables.
            ntcom_exec::fail_fast_corrupt_interface()
        }
    }
}

impl<I: Interface> Drop for ComRc<I> {
    fn drop(&mut self) {
        if let Some(release) = self.unknown().and_then(|table| table.Release) {
            // SAFETY: our reference, which is gone afterwards.
            unsafe { release(self.this()) };
        }
    }
}
