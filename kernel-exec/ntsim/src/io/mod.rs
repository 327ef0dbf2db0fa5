//! A client of the driver's devices: files and requests, as a well-behaved I/O manager makes them.
//!
//! ```
//! # use ntsim::{Config, Schedule, Simulation, ddi, io, types::*};
//! # use std::ptr::null_mut;
//! /// Completes every request at once. A read yields two bytes.
//! unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
//!     // SAFETY: the system passes a request that this driver owns now.
//!     unsafe {
//!         let location = ddi::IoGetCurrentIrpStackLocation(irp);
//!         if usize::from((*location).MajorFunction) == IRP_MJ_READ {
//!             (*irp).AssociatedIrp.cast::<[u8; 2]>().write(*b"hi");
//!             (*irp).IoStatus.Information = 2;
//!         }
//!         (*irp).IoStatus.Status = STATUS_SUCCESS;
//!         ddi::IofCompleteRequest(irp, 0);
//!     }
//!     STATUS_SUCCESS
//! }
//!
//! # unsafe extern "C" fn unload(driver: PDRIVER_OBJECT) {
//! #     // SAFETY: the driver's device, which no file has open.
//! #     unsafe { ddi::IoDeleteDevice((*driver).DeviceObject) };
//! # }
//! # unsafe extern "C" fn driver_entry(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
//! #     // SAFETY: the system passes the driver's own object.
//! #     let driver = unsafe { &mut *driver };
//! #     driver.DriverUnload = Some(unload);
//! #     driver.MajorFunction.fill(dispatch as *mut std::ffi::c_void);
//! #     let mut device = null_mut();
//! #     // SAFETY: the arguments are valid.
//! #     let status = unsafe {
//! #         ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &mut device)
//! #     };
//! #     if status == STATUS_SUCCESS {
//! #         // SAFETY: the new device.
//! #         unsafe { (*device).Flags |= DO_BUFFERED_IO };
//! #     }
//! #     status
//! # }
//! let mut kernel = Simulation::new(Config::default(), Schedule::seed(1));
//! // SAFETY: the driver keeps the promises of the functions that it calls.
//! unsafe { kernel.load_driver(0, driver_entry) }?;
//! kernel.run_on(0, || {
//!     let file = io::open().unwrap();
//!     assert_eq!(file.read(2), Ok(b"hi".to_vec()));
//! })?;
//! // SAFETY: as for DriverEntry.
//! unsafe { kernel.unload_driver(0) }?;
//! # Ok::<(), ntsim::Stop>(())
//! ```
//!
//! # The rules
//!
//! - A request has an IRP with a stack location for each device of the stack. The IRP is freed as
//!   soon as it has been completed. So a driver that still uses it is found, as on NT.
//! - A device with DO_BUFFERED_IO, and an I/O control of METHOD_BUFFERED, has its data in a system
//!   buffer. The driver's Information says how much of it is copied to the client.
//! - Each open of a device has a file object, in which the driver may keep a context.
//!   IRP_MJ_CREATE comes first. IRP_MJ_CLEANUP comes when the last handle is closed, which may be
//!   while requests are pending. IRP_MJ_CLOSE comes after the last request has been completed.
//! - Unload is not called while a device is open.
//!
//! The [verifier](crate#bug-checks) checks the driver's answers: that it returns STATUS_PENDING
//! exactly where it has marked the request pending, and the status with which it has completed the
//! request elsewhere.
//!
//! # Limits
//!
//! Direct I/O needs memory descriptor lists, which ntsim does not have, so it is refused with a
//! failure of oracle `not supported`. There is no Plug and Play, and no security. A client is a
//! program of a simulated run or of a thread in it, and not of a free run.

mod buffer;
mod file;
mod request;

pub use file::File;
pub use request::{Ended, Request};

use crate::{
    program::driver_object,
    types::{NTSTATUS, PDEVICE_OBJECT},
};

/// The device that the loaded driver created last, or null if it has none.
///
/// IRQL: any.
#[must_use]
pub fn device() -> PDEVICE_OBJECT {
    // SAFETY: the machine's driver object lives as long as the machine.
    unsafe { (*driver_object()).DeviceObject }
}

/// Opens the device that the loaded driver created last. IRQL: PASSIVE_LEVEL.
///
/// # Errors
/// As for [`File::open`].
pub fn open() -> Result<File, NTSTATUS> {
    // SAFETY: a device in its driver's list exists.
    unsafe { File::open(device()) }
}
