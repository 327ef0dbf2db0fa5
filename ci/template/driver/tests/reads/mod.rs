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

/// A request's parties and its end.
#[derive(Default)]
struct Request {
    /// The parties that may use the request. The last one frees it.
    users: Cell<u32>,
    /// The status and the information, once it is completed.
    ended: Cell<Option<(i32, u64)>>,
}

impl Request {
    /// Ends a party's use.
    fn release(&self, irp: PIRP) {
        self.users.set(self.users.get() - 1);
        if self.users.get() == 0 {
            // SAFETY: the request is completed, and no party uses it any more.
            unsafe { ddi::IoFreeIrp(irp) };
        }
    }
}

/// The completion routine. It frees the request, unless a client is about to cancel it, so a use of
/// it after that is found.
unsafe extern "C" fn completed(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> i32 {
    // SAFETY: the context is that of `read`, which waits for this routine.
    let request = unsafe { &*context.cast::<Request>() };
    // SAFETY: the request is being completed, and it belongs to its maker again.
    let status = unsafe { (*irp).IoStatus };
    request.release(irp);
    request.ended.set(Some((status.Status, status.Information)));
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Reads up to `room` bytes, and returns the item if it is a whole one. The read is cancelled after
/// so many moments, if there is a number.
pub fn read(room: u32, cancelled_after: Option<u64>) -> Result<Option<u32>, NTSTATUS> {
    // SAFETY: this runs on the simulated kernel.
    let irp = unsafe { ddi::IoAllocateIrp(1, 0) };
    if irp.is_null() {
        return Err(NTSTATUS::INSUFFICIENT_RESOURCES);
    }
    let mut buffer = [0_u8; 4];
    let request: Rc<Request> = Rc::default();
    request.users.set(1 + u32::from(cancelled_after.is_some()));
    let context = Rc::as_ptr(&request).cast_mut().cast();
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
    if let Some(moments) = cancelled_after {
        (0..moments).for_each(|_| super::wait_a_moment());
        // SAFETY: this party has not released the request, so it is not freed.
        unsafe { ddi::IoCancelIrp(irp) };
        request.release(irp);
    }
    loop {
        match request.ended.get() {
            Some((0, 4)) => return Ok(Some(u32::from_ne_bytes(buffer))),
            Some((0, _)) => return Ok(None),
            Some((status, _)) => return Err(NTSTATUS(status)),
            None => super::wait_a_moment(),
        }
    }
}
