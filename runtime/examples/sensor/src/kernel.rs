//! Which kernel: its names, and the few things that the two spell differently.
//!
//! A driver that is not tested on the simulated kernel needs none of this, and names `wdk_sys` where it is used.

#[cfg(feature = "sim")]
mod names {
    pub(crate) use ntsim::{
        ddi::{DbgPrintEx, IoCreateDevice, IoDeleteDevice, IoGetCurrentIrpStackLocation},
        types::{
            DEVICE_OBJECT, DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IO_STACK_LOCATION, IRP,
            IRP_MJ_READ, UNICODE_STRING,
        },
    };

    pub(crate) type Dispatch = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP) -> i32;

    pub(crate) fn set_dispatch(driver: &mut DRIVER_OBJECT, major: usize, routine: Dispatch) {
        if let Some(entry) = driver.MajorFunction.get_mut(major) {
            *entry = routine as *mut core::ffi::c_void;
        }
    }

    /// How many bytes a read request has room for.
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
        DEVICE_OBJECT, DO_BUFFERED_IO, DRIVER_OBJECT, FILE_DEVICE_UNKNOWN, IO_STACK_LOCATION, IRP,
        UNICODE_STRING,
        ntddk::{DbgPrintEx, IoCreateDevice, IoDeleteDevice},
    };

    pub(crate) const IRP_MJ_READ: usize = wdk_sys::IRP_MJ_READ as usize;

    pub(crate) type Dispatch = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP) -> i32;

    pub(crate) fn set_dispatch(driver: &mut DRIVER_OBJECT, major: usize, routine: Dispatch) {
        if let Some(entry) = driver.MajorFunction.get_mut(major) {
            *entry = Some(routine);
        }
    }

    /// Inline in C.
    ///
    /// # Safety
    /// The driver has the IRP.
    #[expect(non_snake_case, reason = "the name is the kernel's")]
    pub(crate) unsafe fn IoGetCurrentIrpStackLocation(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
        // SAFETY: by this function's contract.
        unsafe { (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation }
    }

    /// How many bytes a read request has room for.
    pub(crate) fn read_length(location: &IO_STACK_LOCATION) -> usize {
        // SAFETY: of a read request this is the part of the union that is written.
        unsafe { location.Parameters.Read.Length as usize }
    }

    /// The buffer of a request to a device with DO_BUFFERED_IO.
    pub(crate) fn system_buffer(irp: &IRP) -> *mut u8 {
        // SAFETY: of such a request this is the part of the union that is written.
        unsafe { irp.AssociatedIrp.SystemBuffer }.cast()
    }
}

pub(crate) use names::*;
