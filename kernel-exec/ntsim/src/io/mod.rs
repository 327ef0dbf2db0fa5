//! A client of the driver: it opens a device, reads, writes, controls, cancels and closes as a
//! program does through NT's I/O manager.
//!
//! A test need not make IRPs by hand. [`open`] sends IRP_MJ_CREATE and returns a [`File`], which
//! several programs may share. [`File::read`], [`File::write`] and [`File::ioctl`] send a request
//! and wait for it as a thread. [`File::start_read`] and its relatives do not wait, and their
//! [`Request`] can be cancelled. The last [`File`] of a file object sends IRP_MJ_CLEANUP when it is
//! closed or dropped. IRP_MJ_CLOSE follows when the last request is over.
//!
//! ```
//! use ntsim::{Config, Schedule, Simulation, ddi, driver_object, io, types::*};
//!
//! /// Answers each request with four bytes, if it has room for them.
//! unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
//!     // SAFETY: the driver owns the request. A buffered read has a buffer of the stated length.
//!     unsafe {
//!         let location = ddi::IoGetCurrentIrpStackLocation(irp);
//!         if (*location).MajorFunction == IRP_MJ_READ as u8 && (*location).Parameters[0] >= 4 {
//!             (*irp).AssociatedIrp.cast::<[u8; 4]>().write(*b"ping");
//!             (*irp).IoStatus.Information = 4;
//!         }
//!         (*irp).IoStatus.Status = STATUS_SUCCESS;
//!         ddi::IofCompleteRequest(irp, 0);
//!     }
//!     STATUS_SUCCESS
//! }
//!
//! unsafe extern "C" fn unload(driver: PDRIVER_OBJECT) {
//!     // SAFETY: the system passes the driver's object, and its only device is no longer open.
//!     unsafe { ddi::IoDeleteDevice((*driver).DeviceObject) }
//! }
//!
//! unsafe extern "C" fn driver_entry(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
//!     let (none, mut device) = (core::ptr::null_mut(), core::ptr::null_mut());
//!     // SAFETY: the system passes the driver's object, and the arguments are valid.
//!     unsafe {
//!         let status = ddi::IoCreateDevice(driver, 0, none, FILE_DEVICE_UNKNOWN, 0, 0, &mut device);
//!         if status != STATUS_SUCCESS {
//!             return status;
//!         }
//!         (*device).Flags |= DO_BUFFERED_IO;
//!         (*driver).MajorFunction = [dispatch as *mut _; 28];
//!         (*driver).DriverUnload = Some(unload);
//!     }
//!     STATUS_SUCCESS
//! }
//!
//! let mut kernel = Simulation::new(Config::default(), Schedule::seed(1));
//! // SAFETY: the driver calls the DDIs by their rules.
//! unsafe { kernel.load_driver(0, driver_entry) }?;
//! kernel.run_on(0, || {
//!     // SAFETY: the simulated kernel keeps the driver's object.
//!     let file = io::open(unsafe { (*driver_object()).DeviceObject }).unwrap();
//!     let mut buffer = [0; 8];
//!     assert_eq!(file.read(&mut buffer), Ok(4));
//!     assert_eq!(buffer, *b"ping\0\0\0\0");
//! })?;
//! // SAFETY: the driver calls the DDIs by their rules.
//! unsafe { kernel.unload_driver(0) }?;
//! # Ok::<(), ntsim::Stop>(())
//! ```
//!
//! # Rules
//!
//! - A request has as many stack locations as the device's `StackSize`. Its next location has the
//!   function, its parameters, the device and the file object.
//! - Reads and writes of a device with DO_BUFFERED_IO, and control requests with METHOD_BUFFERED,
//!   have a system buffer. After a success or a warning, `Information` bytes go to the client. More
//!   than the client has room for end the run with oracle `I/O request`. On NT the client would get
//!   memory that is not the request's.
//! - ntsim has no memory descriptor lists. A request that needs one ends the run as not supported:
//!   a read or write of a device with DO_DIRECT_IO, or a control request with METHOD_IN_DIRECT or
//!   METHOD_OUT_DIRECT and a length of output.
//! - Without any of these the driver gets the client's own buffers, in `UserBuffer` and, for the
//!   input of a control request, in `Type3InputBuffer`. They are non-paged memory.
//! - Requests come from kernel mode, as those of ZwReadFile in a driver, so no address needs a
//!   probe. IRP_MJ_CREATE has no security context.
//! - The IRP and its buffers are freed when the driver completes it, and not when the client looks
//!   at the result. A driver that uses the IRP after it has completed it or given it away uses freed
//!   memory: bug check 0xCC at once with [`Config::special_pool`](crate::Config::special_pool), and
//!   for a write at the unload without it.
//! - The dispatch routine's status must be that of the completed request, or STATUS_PENDING after
//!   IoMarkIrpPending. See [`ddi::IofCallDriver`](crate::ddi::IofCallDriver).
//! - A cancel that meets the completion is safe: a complete request is left alone.
//! - If IRP_MJ_CREATE fails, the file object is freed without IRP_MJ_CLEANUP and IRP_MJ_CLOSE. The
//!   system ignores the status of these two.
//! - [`Simulation::unload_driver`](crate::Simulation::unload_driver) refuses while a file object
//!   exists.
//!
//! Calls are at PASSIVE_LEVEL and in a run; otherwise the run ends as not supported, or the call
//! panics. A [`File`] that is dropped outside of a run stays open.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/kernel/ (`irp-mj-create`,
//! `irp-mj-cleanup`, `irp-mj-close`, `buffer-descriptions-for-i-o-control-codes`).

mod file;
mod request;

pub use file::{File, open, open_path};
pub use request::{Outcome, Request};

use crate::engine::{
    entry::{here, outside},
    machine::Machine,
};

/// Calls `f` with the machine of the run, without a preemption point.
fn with<R>(name: &str, f: impl FnOnce(&Machine) -> R) -> R {
    let Some(machine) = here() else { outside(name) };
    f(&machine)
}
