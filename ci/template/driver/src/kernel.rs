//! The kernel's names, and the few items that wdk-sys and ntsim spell differently.
//!
//! Add the functions and types that your driver uses, in both halves.

pub(crate) use ntcom::nt::{DEVICE_OBJECT, IRP};

#[cfg(feature = "sim")]
mod names {
    use core::ffi::c_void;

    use ntcom::NTSTATUS;
    use ntsim::ddi::{IoGetCurrentIrpStackLocation, IofCompleteRequest};
    pub(crate) use ntsim::{
        ddi::{IoCreateDevice, IoDeleteDevice, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock},
        types::{
            DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IRP_MJ_READ, KSPIN_LOCK,
            UNICODE_STRING,
        },
    };

    use super::{Dispatch, IRP};

    pub(crate) const IRP_MJ_CREATE: usize = 0;
    pub(crate) const IRP_MJ_CLOSE: usize = 2;

    pub(crate) fn set_dispatch(driver: &mut DRIVER_OBJECT, major: usize, routine: Dispatch) {
        driver.MajorFunction[major] = routine as *mut c_void;
    }

    /// The number of bytes that a read request asks for.
    ///
    /// # Safety
    /// The driver owns the request.
    pub(crate) unsafe fn read_length(irp: *mut IRP) -> usize {
        // SAFETY: the caller's driver owns the request, so its location is valid.
        unsafe { (*IoGetCurrentIrpStackLocation(irp)).Parameters[0] as u32 as usize }
    }

    /// The buffer of a request to a device with DO_BUFFERED_IO.
    ///
    /// # Safety
    /// The driver owns the request.
    pub(crate) unsafe fn system_buffer(irp: *mut IRP) -> *mut u8 {
        // SAFETY: the caller's driver owns the request.
        unsafe { (*irp).AssociatedIrp }.cast()
    }

    /// Completes a request without data, and returns its status.
    ///
    /// # Safety
    /// The driver owns the request, and does not use it again.
    pub(crate) unsafe fn complete(irp: *mut IRP, status: NTSTATUS) -> i32 {
        // SAFETY: the caller's driver owns the request.
        unsafe {
            (*irp).IoStatus.Status = status.0;
            (*irp).IoStatus.Information = 0;
            IofCompleteRequest(irp, 0);
        }
        status.0
    }
}

#[cfg(not(feature = "sim"))]
mod names {
    use ntcom::NTSTATUS;
    pub(crate) use wdk_sys::{
        DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, KSPIN_LOCK, UNICODE_STRING,
        ntddk::{IoCreateDevice, IoDeleteDevice, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock},
    };
    use wdk_sys::{IO_STACK_LOCATION, ntddk::IofCompleteRequest};

    use super::{Dispatch, IRP};

    pub(crate) const IRP_MJ_CREATE: usize = wdk_sys::IRP_MJ_CREATE as usize;
    pub(crate) const IRP_MJ_CLOSE: usize = wdk_sys::IRP_MJ_CLOSE as usize;
    pub(crate) const IRP_MJ_READ: usize = wdk_sys::IRP_MJ_READ as usize;

    pub(crate) fn set_dispatch(driver: &mut DRIVER_OBJECT, major: usize, routine: Dispatch) {
        driver.MajorFunction[major] = Some(routine);
    }

    /// The number of bytes that a read request asks for.
    ///
    /// # Safety
    /// The driver owns the request.
    pub(crate) unsafe fn read_length(irp: *mut IRP) -> usize {
        // SAFETY: the caller's driver owns the request, so its location is valid, and `Read` is the
        // part of the union that is written for a read.
        unsafe {
            let overlay = &raw const (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1;
            let location: *mut IO_STACK_LOCATION = (*overlay).CurrentStackLocation;
            (*location).Parameters.Read.Length as usize
        }
    }

    /// The buffer of a request to a device with DO_BUFFERED_IO.
    ///
    /// # Safety
    /// The driver owns the request.
    pub(crate) unsafe fn system_buffer(irp: *mut IRP) -> *mut u8 {
        // SAFETY: the caller's driver owns the request, and `SystemBuffer` is the part of the union
        // that is written for such a device.
        unsafe { (*irp).AssociatedIrp.SystemBuffer }.cast()
    }

    /// Completes a request without data, and returns its status.
    ///
    /// # Safety
    /// The driver owns the request, and does not use it again.
    pub(crate) unsafe fn complete(irp: *mut IRP, status: NTSTATUS) -> i32 {
        // SAFETY: the caller's driver owns the request.
        unsafe {
            (*irp).IoStatus.__bindgen_anon_1.Status = status.0;
            (*irp).IoStatus.Information = 0;
            IofCompleteRequest(irp, 0);
        }
        status.0
    }
}

/// A dispatch routine.
pub(crate) type Dispatch = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP) -> i32;

pub(crate) use names::*;
