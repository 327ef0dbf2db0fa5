//! A client of the driver's devices, with files and requests as a good I/O manager makes them.
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
//! - A request has an IRP with a stack location for each device of the stack. The IRP and its
//!   buffers are freed as soon as the driver has completed it, also while a client cancels it. So a
//!   driver that uses it after it has completed it or given it away uses freed memory. That is bug
//!   check 0xCC at once with [`Config::special_pool`](crate::Config::special_pool). Without it a
//!   write is found at the unload.
//! - A device with DO_BUFFERED_IO, and an I/O control of METHOD_BUFFERED, has its data in a system
//!   buffer. After a success or a warning, the driver's Information says how much of it goes to the
//!   client. More than the client has room for is a failure of oracle `io`. On NT the client would
//!   get memory that is not the request's.
//! - Without a system buffer the driver gets the client's own addresses, in non-paged memory.
//!   Requests come from kernel mode, as those of ZwReadFile, so no address needs a probe.
//! - Each open of a device has a file object, in which the driver may keep a context.
//!   IRP_MJ_CREATE comes first, without a security context. IRP_MJ_CLEANUP comes when the last
//!   handle is closed, which may be while requests are pending. IRP_MJ_CLOSE comes after the last
//!   request has been completed. The status of these two has no effect, and they need no memory
//!   that could be short. A file that the driver does not open gets neither.
//! - A device that is deleted while it is open exists until its last file is closed.
//! - Unload is not called while a device is open.
//!
//! The verifier checks the driver's answers. It must return STATUS_PENDING exactly where it has
//! marked the request pending, and the status with which it has completed the request elsewhere
//! ([`IofCallDriver`](crate::ddi::IofCallDriver)). A driver that has sent the request on and
//! returns a final status before the end of the request is a failure of oracle `io`.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/kernel/ (`irp-mj-create`,
//! `irp-mj-cleanup`, `irp-mj-close`, `buffer-descriptions-for-i-o-control-codes`).
//!
//! # Limits
//!
//! Direct I/O needs memory descriptor lists, which ntsim does not have, so it is refused with a
//! failure of oracle `not supported`. There is no Plug and Play, and no security. A file that is
//! dropped between two runs stays open.

mod file;
mod request;

pub use file::File;
pub use request::{Ended, Request};

use crate::{
    engine::{
        entry::{here, outside},
        machine::Machine,
    },
    program::driver_object,
    types::{NTSTATUS, PDEVICE_OBJECT},
};

/// Calls `f` with the machine of the run, without a preemption point.
fn with<R>(name: &str, f: impl FnOnce(&Machine) -> R) -> R {
    let Some(machine) = here() else { outside(name) };
    f(&machine)
}

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
    File::open(device())
}
