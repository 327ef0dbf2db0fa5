//! Reads of the device, as the I/O manager makes them. A request is freed as soon as it has been
//! completed.

use std::{cell::Cell, rc::Rc};

use ntcom::NTSTATUS;
use ntsim::{
    ddi,
    types::{IRP_MJ_READ, PDEVICE_OBJECT, PIRP, PVOID, STATUS_MORE_PROCESSING_REQUIRED},
};

/// The driver's device, which is valid while the driver is loaded.
fn device() -> PDEVICE_OBJECT {
    // SAFETY: the simulated kernel keeps the driver's object while the driver is loaded.
    unsafe { (*ntsim::driver_object()).DeviceObject }
}

/// The status and the information of a request, once it is completed.
type Ended = Cell<Option<(i32, u64)>>;

/// The completion routine. It frees the request, so whatever still uses it is found.
unsafe extern "C" fn completed(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> i32 {
    // SAFETY: the context is the cell of `read`, which waits for this routine.
    let ended = unsafe { &*context.cast::<Ended>() };
    // SAFETY: the request is being completed, and it belongs to its maker again.
    let status = unsafe { (*irp).IoStatus };
    // SAFETY: its maker does not use the request any more.
    unsafe { ddi::IoFreeIrp(irp) };
    ended.set(Some((status.Status, status.Information)));
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Reads up to `room` bytes, and returns the item if it is a whole one.
pub fn read(room: u32) -> Result<Option<u32>, NTSTATUS> {
    // SAFETY: this runs on the simulated kernel.
    let irp = unsafe { ddi::IoAllocateIrp(1, 0) };
    if irp.is_null() {
        return Err(NTSTATUS::INSUFFICIENT_RESOURCES);
    }
    let mut buffer = [0_u8; 4];
    let ended: Rc<Ended> = Rc::default();
    let context = Rc::as_ptr(&ended).cast_mut().cast();
    // SAFETY: the request is new, and has one stack location. Its context and buffer live until it
    // has been completed.
    unsafe {
        (*irp).AssociatedIrp = (&raw mut buffer).cast();
        let location = ddi::IoGetNextIrpStackLocation(irp);
        (*location).MajorFunction = IRP_MJ_READ as u8;
        (*location).Parameters[0] = room.into();
        ddi::IoSetCompletionRoutine(irp, Some(completed), context, 1, 1, 1);
        ddi::IofCallDriver(device(), irp);
    }
    while ended.get().is_none() {
        super::wait_a_moment();
    }
    match ended.get() {
        Some((0, information)) => Ok((information == 4).then(|| u32::from_ne_bytes(buffer))),
        Some((status, _)) => Err(NTSTATUS(status)),
        None => unreachable!(),
    }
}
