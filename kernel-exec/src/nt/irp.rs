//! I/O request packets: what the executor does with one, on either kernel.
//!
//! Most of this is inline in C, so neither kernel has all of it as functions. Each function is for an IRP that the driver has.

use super::ddi::{DEVICE_OBJECT, IRP, IoReleaseCancelSpinLock, IofCompleteRequest, PIRP, PVOID};

/// A cancel routine: called at DISPATCH_LEVEL with the cancel spin lock held.
pub(crate) type CancelRoutine = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP);

/// Priority that the requestor's thread gains by a completion: none.
const IO_NO_INCREMENT: i8 = 0;

/// Lets the cancel spin lock go, in a cancel routine of this IRP.
///
/// # Safety
/// As said.
pub(crate) unsafe fn release_cancel_lock(irp: PIRP) {
    // SAFETY: by this function's contract.
    let irql = unsafe { (*irp).CancelIrql };
    // SAFETY: the lock is held, and this is what it was acquired at.
    unsafe { IoReleaseCancelSpinLock(irql) }
}

/// Completes it. It is not the driver's any more. IRQL ≤ DISPATCH_LEVEL.
///
/// # Safety
/// The driver has the IRP, without a cancel routine, and nobody uses it any more.
pub(crate) unsafe fn complete(irp: PIRP) {
    // SAFETY: by this function's contract.
    unsafe { IofCompleteRequest(irp, IO_NO_INCREMENT) }
}

#[cfg(kernel = "sim")]
mod fields {
    use super::{CancelRoutine, PIRP, PVOID};
    use ntsim::ddi::{IoMarkIrpPending, IoSetCancelRoutine};

    /// The driver's dispatch routine will answer STATUS_PENDING.
    ///
    /// # Safety
    /// The driver has the IRP, in its dispatch routine.
    pub(crate) unsafe fn mark_pending(irp: PIRP) {
        // SAFETY: by this function's contract.
        unsafe { IoMarkIrpPending(irp) }
    }

    /// Replaces the cancel routine: whether there was one.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn set_cancel_routine(irp: PIRP, routine: Option<CancelRoutine>) -> bool {
        // SAFETY: by this function's contract.
        unsafe { IoSetCancelRoutine(irp, routine) }.is_some()
    }

    /// Has somebody tried to cancel it?
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn is_canceled(irp: PIRP) -> bool {
        // SAFETY: by this function's contract.
        let flag = unsafe { &raw const (*irp).Cancel };
        // SAFETY: as above; volatile: the I/O manager sets it at any time.
        unsafe { flag.read_volatile() != 0 }
    }

    /// Four pointers that are the driver's own while it has the IRP.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn context(irp: PIRP) -> *mut [PVOID; 4] {
        // SAFETY: by this function's contract.
        unsafe { &raw mut (*irp).DriverContext }
    }

    /// Says what the request came to.
    ///
    /// # Safety
    /// The driver has the IRP, and nobody else writes this.
    pub(crate) unsafe fn set_outcome(irp: PIRP, status: i32, information: usize) {
        // SAFETY: by this function's contract.
        let block = unsafe { &mut (*irp).IoStatus };
        block.Status = status;
        block.Information = information as _;
    }
}

#[cfg(kernel = "wdk")]
mod fields {
    use super::{CancelRoutine, PIRP, PVOID};
    use crate::sync::{load_byte, swap_pointer};

    /// The driver's dispatch routine will answer STATUS_PENDING.
    ///
    /// # Safety
    /// The driver has the IRP, in its dispatch routine.
    pub(crate) unsafe fn mark_pending(irp: PIRP) {
        // SAFETY: by this function's contract.
        let location = unsafe { (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation };
        // SAFETY: the driver's own location of the IRP.
        let location = unsafe { &mut *location };
        location.Control |= wdk_sys::SL_PENDING_RETURNED as u8;
    }

    /// Replaces the cancel routine: whether there was one.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn set_cancel_routine(irp: PIRP, routine: Option<CancelRoutine>) -> bool {
        let routine = routine.map_or(core::ptr::null_mut(), |routine| routine as PVOID);
        // SAFETY: by this function's contract; an optional function pointer is a pointer that may be null.
        let place = unsafe { &raw mut (*irp).CancelRoutine }.cast::<PVOID>();
        // SAFETY: as above; everybody changes it by an interlocked exchange.
        let before = unsafe { swap_pointer(place, routine) };
        !before.is_null()
    }

    /// Has somebody tried to cancel it? After [`set_cancel_routine`], in the order of all: the I/O manager sets the flag, and then takes the routine out.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn is_canceled(irp: PIRP) -> bool {
        // SAFETY: by this function's contract.
        let flag = unsafe { &raw mut (*irp).Cancel };
        // SAFETY: as above; the I/O manager sets it at any time, and waits for nobody.
        unsafe { load_byte(flag) != 0 }
    }

    /// Four pointers that are the driver's own while it has the IRP.
    ///
    /// # Safety
    /// The driver has the IRP.
    pub(crate) unsafe fn context(irp: PIRP) -> *mut [PVOID; 4] {
        // SAFETY: by this function's contract.
        unsafe { &raw mut (*irp).Tail.Overlay.__bindgen_anon_1.__bindgen_anon_1.DriverContext }
    }

    /// Says what the request came to.
    ///
    /// # Safety
    /// The driver has the IRP, and nobody else writes this.
    pub(crate) unsafe fn set_outcome(irp: PIRP, status: i32, information: usize) {
        // SAFETY: by this function's contract.
        let block = unsafe { &mut (*irp).IoStatus };
        block.__bindgen_anon_1.Status = status;
        block.Information = information as _;
    }
}

pub(crate) use fields::{context, is_canceled, mark_pending, set_cancel_routine, set_outcome};
