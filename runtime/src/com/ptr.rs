//! `ComRc`, a counted pointer to an interface.

use core::{ffi::c_void, ptr::NonNull};

use super::{Callable, Derived, E_NOINTERFACE, GUID, IUnknownVtbl, Interface, Queryable};
use crate::NTSTATUS;

/// A counted pointer to an interface of any object, our own or foreign, with one reference.
///
/// Clone is AddRef, and Drop is Release. Their IRQL is as the object documents, which for
/// operations is ≤ DISPATCH_LEVEL.
///
/// The slots of IUnknown are checked when the pointer is made `[C17]`, and again at each use,
/// because the other side may change them. If AddRef has become null, cloning fails fast, because a
/// copy without a reference would lead to a use after free. If Release has become null, dropping
/// leaks the reference. If QueryInterface has become null, [`query`](Self::query) is an error.
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
/// # kernel.run_on(0, || assert_eq!(same_object(), Ok(true))).unwrap();
/// # }
/// ```
///
/// # In a device extension
///
/// The type is one pointer, and `None` of an `Option` of it is null. So a device extension, which
/// the system fills with zeros, can hold an `Option<ComRc<I>>`, which is `None` at first.
///
/// ```
/// use core::{mem::MaybeUninit, ptr::NonNull};
/// use ntcom::{ComObject, ComRc, IUnknownRaw};
///
/// /// The memory that IoCreateDevice allocates with the device.
/// type Extension = Option<ComRc<IUnknownRaw>>;
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let mut memory = MaybeUninit::<Extension>::zeroed();
/// let device_extension: *mut Extension = memory.as_mut_ptr();
///
/// // DriverEntry gives the reference to the device.
/// let object = ComObject::<_, IUnknownRaw>::new(5_u32).unwrap();
/// // SAFETY: the device is new, and nothing else uses its extension.
/// unsafe { device_extension.write(Some(object)) };
///
/// // A dispatch routine takes another one.
/// // SAFETY: the driver does not write to the extension while the device is open.
/// let one_more = unsafe { &*device_extension }.clone();
/// assert!(one_more.is_some());
///
/// // Unload releases the device's reference, before IoDeleteDevice.
/// // SAFETY: the device is not open, so nothing else uses the extension.
/// drop(unsafe { device_extension.replace(None) });
/// # }).unwrap();
/// ```
#[repr(transparent)]
pub struct ComRc<I: Interface>(NonNull<I>);

// SAFETY: the count may change on any processor [C3], and `I: Send + Sync` allows the same for the
// interface itself.
unsafe impl<I: Interface + Send + Sync> Send for ComRc<I> {}
// SAFETY: the count may change on any processor [C3], and `I: Send + Sync` allows the same for the
// interface itself.
unsafe impl<I: Interface + Send + Sync> Sync for ComRc<I> {}

impl<I: Interface> ComRc<I> {
    /// Takes over one reference. IRQL: any.
    ///
    /// # Errors
    /// - `STATUS_INVALID_PARAMETER`: the pointer is null.
    /// - `STATUS_DRIVER_INTERNAL_ERROR`: its table, or one of the slots of IUnknown in it, is null
    ///   `[C17]`. The reference is lost.
    ///
    /// # Safety
    /// Unless `raw` is null, it points to an object with interface `I` and one reference, which the
    /// result takes over. A table pointer that is not null points to a table of `I`; its slots
    /// that are not null may be called as the interface says.
    ///
    /// The object guarantees the points that no client can check. It stays while it is referenced,
    /// and its slots write where they are told to. A pointer that QueryInterface gives out with
    /// `STATUS_SUCCESS` is null or such a pointer, too.
    pub unsafe fn from_raw(raw: *mut I) -> Result<Self, NTSTATUS> {
        // SAFETY: the caller passes the reference, which lasts longer than the borrow.
        unsafe { Self::from_raw_borrowed(&raw) }.map(|this| Self(this.0))
    }

    /// Borrows a pointer, such as an argument, and leaves the reference with its owner. IRQL: any.
    ///
    /// [`clone`](Clone::clone) takes another reference.
    ///
    /// # Errors
    /// As for [`from_raw`](Self::from_raw); no reference is lost.
    ///
    /// # Safety
    /// As for [`from_raw`](Self::from_raw), except that the result takes over no reference. The
    /// caller guarantees that the object has one as long as the result is used.
    ///
    /// ```
    /// use ntcom::{ComRc, IUnknownRaw, NTSTATUS};
    ///
    /// /// Keeps the object that a slot was passed.
    /// ///
    /// /// # Safety
    /// /// `theirs` is null, or an object that is alive until this function returns.
    /// unsafe fn keep(theirs: *mut IUnknownRaw) -> Result<ComRc<IUnknownRaw>, NTSTATUS> {
    ///     // SAFETY: the caller passes null, or a live object.
    ///     unsafe { ComRc::from_raw_borrowed(&theirs) }.cloned()
    /// }
    /// # // SAFETY: null is allowed.
    /// # assert_eq!(unsafe { keep(core::ptr::null_mut()) }.err(), Some(NTSTATUS::INVALID_PARAMETER));
    /// ```
    pub unsafe fn from_raw_borrowed(raw: &*mut I) -> Result<&Self, NTSTATUS> {
        if raw.is_null() {
            return Err(NTSTATUS::INVALID_PARAMETER);
        }
        // SAFETY: `ComRc` is transparent over a pointer that is not null, and the caller
        // guarantees the reference.
        let this = unsafe { &*core::ptr::from_ref(raw).cast::<Self>() };
        let complete = this.unknown().is_some_and(|table| {
            table.QueryInterface.is_some() && table.AddRef.is_some() && table.Release.is_some()
        });
        if complete { Ok(this) } else { Err(NTSTATUS::DRIVER_INTERNAL_ERROR) }
    }

    /// Returns the counted pointer behind a reference that has its interface's methods.
    ///
    /// ```
    /// use ntcom::{ComRc, IUnknownRaw, com::IUnknownRef};
    ///
    /// /// Takes a pointer to any declared interface.
    /// fn keep(object: &IUnknownRef) -> ComRc<IUnknownRaw> {
    ///     ComRc::<IUnknownRaw>::from_ref(object).clone()
    /// }
    /// ```
    #[must_use]
    pub const fn from_ref(interface: &I::Ref) -> &Self
    where
        I: Callable,
    {
        // SAFETY: the type is transparent over this `ComRc` (`Callable`).
        unsafe { &*core::ptr::from_ref(interface).cast::<Self>() }
    }

    /// Returns the same pointer, as one to the interface's base.
    ///
    /// ```
    /// use ntcom::{ComRc, Derived, IUnknownRaw};
    ///
    /// fn unknown<I: Derived<Base = IUnknownRaw>>(interface: &ComRc<I>) -> ComRc<IUnknownRaw> {
    ///     interface.base().clone()
    /// }
    /// ```
    #[must_use]
    pub const fn base(&self) -> &ComRc<I::Base>
    where
        I: Derived,
    {
        let this = core::ptr::from_ref(self).cast::<ComRc<I::Base>>();
        // SAFETY: `ComRc` is transparent, and a pointer to an interface is also one to its base
        // (`Derived`).
        unsafe { &*this }
    }

    /// Returns the pointer, without its reference.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut I {
        self.0.as_ptr()
    }

    /// Returns the pointer, with its reference.
    #[must_use]
    pub fn into_raw(self) -> *mut I {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// Returns the pointer in the type that slots take.
    pub(crate) fn this(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    /// Reads the slots of IUnknown afresh, because the other side may change them.
    fn unknown(&self) -> Option<IUnknownVtbl> {
        let table = self.0.cast::<*const IUnknownVtbl>();
        // SAFETY: every interface begins with the pointer to its table, and our reference keeps the
        // object alive.
        let table = unsafe { table.read() };
        // SAFETY: the pointer is null, or points to a table that begins with these slots.
        unsafe { table.as_ref() }.copied()
    }

    /// Asks for another interface of the same object `[C1]`. IRQL: as the object documents.
    ///
    /// All types of operations have one IID. So for `AsyncOperationRaw<T>` the object is also asked
    /// for the size of its values, and an operation with values of another size is refused. So is
    /// an operation without `IAsyncControl`, which a foreign operation need not have, because
    /// nothing tells that size. The size is the only check. So a query takes only a `T` with bytes
    /// that are checked when they are read ([`Queryable`]).
    ///
    /// # Errors
    /// - `STATUS_NOINTERFACE`, also for an object that answers `E_NOINTERFACE`, or the object's own
    ///   failure.
    /// - `STATUS_DRIVER_INTERNAL_ERROR` if the object breaks the contract, as with a success code
    ///   other than `STATUS_SUCCESS`. A reference that came with that answer is lost.
    pub fn query<J: Queryable>(&self) -> Result<ComRc<J>, NTSTATUS> {
        let found = self.query_raw(&J::IID)?;
        // SAFETY: the object answered STATUS_SUCCESS, so `found` is null or, by COM's rules, an
        // AddRef'd pointer to this interface. No client can check that. The caller of `from_raw`
        // vouched for the object, which guarantees its answers.
        let found = unsafe { ComRc::from_raw(found.as_ptr().cast()) };
        let found = found.map_err(|_| NTSTATUS::DRIVER_INTERNAL_ERROR)?;
        J::__check(&found)?;
        Ok(found)
    }

    /// Asks for the interface with this IID, and returns it AddRef'd. Errors as for
    /// [`query`](Self::query).
    pub(super) fn query_raw(&self, iid: &GUID) -> Result<NonNull<c_void>, NTSTATUS> {
        let slot = self.unknown().and_then(|table| table.QueryInterface);
        let query = slot.ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR)?;
        let mut out = core::ptr::null_mut();
        // SAFETY: our reference keeps the object alive, and both pointers are valid for the call.
        let status = unsafe { query(self.this(), iid, &raw mut out) };
        match status {
            E_NOINTERFACE => Err(NTSTATUS::NOINTERFACE),
            NTSTATUS::SUCCESS => NonNull::new(out).ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR),
            status if !status.is_success() => Err(status),
            _ => Err(NTSTATUS::DRIVER_INTERNAL_ERROR),
        }
    }
}

/// A counted pointer has the methods of the interface and of its bases.
impl<I: Callable> core::ops::Deref for ComRc<I> {
    type Target = I::Ref;

    fn deref(&self) -> &I::Ref {
        // SAFETY: the type is transparent over this `ComRc` (`Callable`).
        unsafe { &*core::ptr::from_ref(self).cast::<I::Ref>() }
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
            // SAFETY: our reference keeps the object alive.
            unsafe { add_ref(self.this()) };
            Self(self.0)
        } else {
            // `from_raw` saw this slot, so the other side has corrupted its own table since.
            ntcom_exec::fail_fast_corrupt_interface()
        }
    }
}

impl<I: Interface> Drop for ComRc<I> {
    fn drop(&mut self) {
        if let Some(release) = self.unknown().and_then(|table| table.Release) {
            // SAFETY: this pointer gives up its own reference.
            unsafe { release(self.this()) };
        }
    }
}
