//! The kernel's names, and the few items that wdk-sys and the simulated kernel spell differently.
//!
//! The types that `ntcom` and its executor take have one path in both builds, `ntcom::nt`. A driver
//! that is not tested on the simulated kernel needs no such module, and names `wdk_sys` directly.

pub(crate) use ntcom::nt::{DEVICE_OBJECT, IRP};

#[cfg(feature = "sim")]
mod names {
    pub(crate) use ntsim::{
        ddi::{DbgPrintEx, IoCreateDevice, IoDeleteDevice, IoGetCurrentIrpStackLocation, IofCompleteRequest},
        types::{
            DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IO_STACK_LOCATION, IRP_MJ_CLEANUP,
            IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_READ, UNICODE_STRING,
        },
    };

    use super::{DEVICE_OBJECT, IRP};

    pub(crate) type Dispatch = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP) -> i32;

    pub(crate) fn set_dispatch(driver: &mut DRIVER_OBJECT, major: usize, routine: Dispatch) {
        if let Some(entry) = driver.MajorFunction.get_mut(major) {
            *entry = routine as *mut core::ffi::c_void;
        }
    }

    pub(crate) fn set_status(irp: &mut IRP, status: i32) {
        irp.IoStatus.Status = status;
    }

    /// The number of bytes for which a read request has room.
    pub(crate) fn read_length(location: &IO_STACK_LOCATION) -> usize {
        location.Parameters[0] as u32 as usize
    }

    /// The buffer of a request to a device with DO_BUFFERED_IO.
    pub(crate) fn system_buffer(irp: &IRP) -> *mut u8 {
        irp.AssociatedIrp.cast()
    }
}

#[cfg(not(feature = "sim"))]
mod names {
    pub(crate) use wdk_sys::{
        DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IO_STACK_LOCATION, UNICODE_STRING,
        ntddk::{DbgPrintEx, IoCreateDevice, IoDeleteDevice, IofCompleteRequest},
    };

    pub(crate) const IRP_MJ_CREATE: usize = wdk_sys::IRP_MJ_CREATE as usize;
    pub(crate) const IRP_MJ_CLOSE: usize = wdk_sys::IRP_MJ_CLOSE as usize;
    pub(crate) const IRP_MJ_CLEANUP: usize = wdk_sys::IRP_MJ_CLEANUP as usize;
    pub(crate) const IRP_MJ_READ: usize = wdk_sys::IRP_MJ_READ as usize;

    use super::{DEVICE_OBJECT, IRP};

    pub(crate) type Dispatch = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP) -> i32;

    pub(crate) fn set_dispatch(driver: &mut DRIVER_OBJECT, major: usize, routine: Dispatch) {
        if let Some(entry) = driver.MajorFunction.get_mut(major) {
            *entry = Some(routine);
        }
    }

    /// IoGetCurrentIrpStackLocation, which is an inline function in C.
    ///
    /// # Safety
    /// The driver owns the IRP.
    #[expect(non_snake_case, reason = "the name is the kernel's")]
    pub(crate) unsafe fn IoGetCurrentIrpStackLocation(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
        // SAFETY: the caller owns the IRP, so its current location is valid.
        unsafe { (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation }
    }

    pub(crate) fn set_status(irp: &mut IRP, status: i32) {
        irp.IoStatus.__bindgen_anon_1.Status = status;
    }

    /// The number of bytes for which a read request has room.
    pub(crate) fn read_length(location: &IO_STACK_LOCATION) -> usize {
        // SAFETY: `Read` is the part of the union that is written for a read request.
        unsafe { location.Parameters.Read.Length as usize }
    }

    /// The buffer of a request to a device with DO_BUFFERED_IO.
    pub(crate) fn system_buffer(irp: &IRP) -> *mut u8 {
        // SAFETY: `SystemBuffer` is the part of the union that is written for a request to such a
        // device.
        unsafe { irp.AssociatedIrp.SystemBuffer }.cast()
    }
}

pub(crate) use names::*;
