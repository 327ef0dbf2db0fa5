//! The executor's operations on I/O request packets (IRPs), on either kernel.
//!
//! Most of this is inline in C, so neither kernel has all of it as functions. Each function is for
//! an IRP that the driver has.

use super::ddi::{DEVICE_OBJECT, IRP, IoReleaseCancelSpinLock, IofCompleteRequest, PIRP, PVOID};

/// A cancel routine, which is called at DISPATCH_LEVEL with the cancel spin lock held.
pub(crate) type CancelRoutine = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP);

/// The priority boost of the requestor's thread at a completion, which is none.
const IO_NO_INCREMENT: i8 = 0;

/// Releases the cancel spin lock, in a cancel routine of this IRP.
///
/// # Safety
/// The caller is a cancel routine of this IRP, and holds the cancel spin lock.
pub(crate) unsafe fn release_cancel_lock(irp: PIRP) {
    // SAFETY: the caller is the IRP's cancel routine, so the IRP is valid.
    let irql = unsafe { (*irp).CancelIrql };
    // SAFETY: the lock is held, and `irql` is the IRQL at which it was acquired.
    unsafe { IoReleaseCancelSpinLock(irql) }
}

/// Completes the IRP, which the driver has no longer afterwards. IRQL: ≤ DISPATCH_LEVEL.
///
/// # Safety
/// The driver has the IRP, without a cancel routine, and no code uses it any more.
pub(crate) unsafe fn complete(irp: PIRP) {
    // SAFETY: the driver has the IRP, without a cancel routine, and no code uses it any more.
    unsafe { IofCompleteRequest(irp, IO_NO_INCREMENT) }
}

#[cfg(kernel = "sim")]
mod fields {
    use super::{CancelRoutine, PIRP, PVOID};
    use ntsim::ddi::{IoMarkIrpPending, IoSetCancelRoutine};

    /// Marks the IRP pending, so the driver's dispatch routine must return STATUS_PENDING.
    ///
    /// # Safety
    /// The driver has the IRP, in its dispatch routine.
    pub(crate) unsafe fn mark_pending(irp: PIRP) {
        // SAFETY: the driver has the IRP, in its dispatch routine.
        unsafe { IoMarkIrpPending(irp) }
    }

    /// Replaces the cancel routine. Returns whether there was one.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn set_cancel_routine(irp: PIRP, routine: Option<CancelRoutine>) -> bool {
        // SAFETY: the driver has the IRP.
        unsafe { IoSetCancelRoutine(irp, routine) }.is_some()
    }

    /// Tells whether the IRP has been asked to cancel.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn is_cancelled(irp: PIRP) -> bool {
        // SAFETY: the driver has the IRP.
        let flag = unsafe { &raw const (*irp).Cancel };
        // SAFETY: the driver has the IRP; the read is volatile because the I/O manager sets the
        // flag at any time.
        unsafe { flag.read_volatile() != 0 }
    }

    /// Returns four pointers that are the driver's own while it has the IRP.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn context(irp: PIRP) -> *mut [PVOID; 4] {
        // SAFETY: the driver has the IRP.
        unsafe { &raw mut (*irp).DriverContext }
    }

    /// Writes the outcome of the request.
    ///
    /// # Safety
    /// The driver has the IRP, and no other code writes its IoStatus.
    pub(crate) unsafe fn set_outcome(irp: PIRP, status: i32, information: usize) {
        // SAFETY: the driver has the IRP, and no other code writes its IoStatus.
        let block = unsafe { &mut (*irp).IoStatus };
        block.Status = status;
        block.Information = information as _;
    }
}

#[cfg(kernel = "wdk")]
mod fields {
    use super::{CancelRoutine, PIRP, PVOID};
    use crate::sync::{load_byte, swap_pointer};

    /// Marks the IRP pending, so the driver's dispatch routine must return STATUS_PENDING.
    ///
    /// # Safety
    /// The driver has the IRP, in its dispatch routine.
    pub(crate) unsafe fn mark_pending(irp: PIRP) {
        // SAFETY: the driver has the IRP, in its dispatch routine.
        let location = unsafe { (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation };
        // SAFETY: the location is the driver's own in the IRP.
        let location = unsafe { &mut *location };
        location.Control |= wdk_sys::SL_PENDING_RETURNED as u8;
    }

    /// Replaces the cancel routine. Returns whether there was one.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn set_cancel_routine(irp: PIRP, routine: Option<CancelRoutine>) -> bool {
        let routine = routine.map_or(core::ptr::null_mut(), |routine| routine as PVOID);
        // SAFETY: the driver has the IRP; an optional function pointer is a pointer that may be
        // null.
        let place = unsafe { &raw mut (*irp).CancelRoutine }.cast::<PVOID>();
        // SAFETY: the driver has the IRP; all code changes the field by an interlocked exchange.
        let before = unsafe { swap_pointer(place, routine) };
        !before.is_null()
    }

    /// Tells whether the IRP has been asked to cancel. The load is ordered after
    /// [`set_cancel_routine`], because the I/O manager sets the flag and then takes the routine
    /// out.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn is_cancelled(irp: PIRP) -> bool {
        // SAFETY: the driver has the IRP.
        let flag = unsafe { &raw mut (*irp).Cancel };
        // SAFETY: the driver has the IRP; the I/O manager sets the flag at any time, without a
        // lock, so the load is atomic.
        unsafe { load_byte(flag) != 0 }
    }

    /// Returns four pointers that are the driver's own while it has the IRP.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn context(irp: PIRP) -> *mut [PVOID; 4] {
        // SAFETY: the driver has the IRP.
        unsafe { &raw mut (*irp).Tail.Overlay.__bindgen_anon_1.__bindgen_anon_1.DriverContext }
    }

    /// Writes the outcome of the request.
    ///
    /// # Safety
    /// The driver has the IRP, and no other code writes its IoStatus.
    pub(crate) unsafe fn set_outcome(irp: PIRP, status: i32, information: usize) {
        // SAFETY: the driver has the IRP, and no other code writes its IoStatus.
        let block = unsafe { &mut (*irp).IoStatus };
        block.__bindgen_anon_1.Status = status;
        block.Information = information as _;
    }
}

pub(crate) use fields::{context, is_cancelled, mark_pending, set_cancel_routine, set_outcome};
