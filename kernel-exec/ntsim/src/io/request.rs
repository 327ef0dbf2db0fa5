//! Requests: how they are sent, waited for and cancelled.

extern crate alloc;

use alloc::vec::Vec;
use core::ptr::null_mut;

use super::{file, with};
use crate::{
    ddi,
    engine::entry::{enter, here},
    subsystem::{
        cancel,
        io_request::{self, Ask},
        irp,
    },
    trace::Value,
    types::{_KWAIT_REASON, _MODE, NTSTATUS, PDEVICE_OBJECT, PIRP, STATUS_INSUFFICIENT_RESOURCES},
    verifier::irql::Ddi,
};

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The final status.
    pub status: NTSTATUS,
    /// The driver's further information, such as the number of bytes.
    pub information: usize,
    /// The bytes that the client has got.
    pub data: Vec<u8>,
}

impl Outcome {
    /// The further information of a success, or the status of a warning or an error.
    ///
    /// # Errors
    /// The status, if it is negative.
    pub fn result(&self) -> Result<usize, NTSTATUS> {
        if self.status < 0 { Err(self.status) } else { Ok(self.information) }
    }
}

/// A request that was sent and whose completion the client has not waited for.
///
/// Dropping it in a run cancels it and waits for it, as the system does for the requests of a
/// thread that ends.
#[derive(Debug)]
#[must_use = "dropping a request cancels it and waits for it"]
pub struct Request {
    /// The request's number, its file's number, and the address of its event. The status if it was
    /// not sent.
    sent: Result<Sent, NTSTATUS>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    file: u64,
    event: usize,
    /// Whether the dispatch routine has returned STATUS_PENDING.
    pending: bool,
}

/// Whether a request may fail because memory is low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Scarce,
    /// The system has a reserve for the request, because no caller could handle its failure.
    Reserved,
}

/// Allocates the IRP of a request for a device. Null if memory is low.
fn allocate(device: PDEVICE_OBJECT, memory: Memory) -> PIRP {
    // SAFETY: the file's reference keeps the device alive.
    let stack = unsafe { device.read() }.StackSize;
    match memory {
        // SAFETY: this is in a run.
        Memory::Scarce => unsafe { ddi::IoAllocateIrp(stack, 0) },
        Memory::Reserved => with("io", |machine| machine.checked(irp::allocate_of_reserve(machine, stack))),
    }
}

/// Sends a request to a file's device.
pub(super) fn send(file: u64, memory: Memory, ask: &Ask<'_>) -> Request {
    let open = file::begin(file, ask.what);
    let device: PDEVICE_OBJECT = core::ptr::with_exposed_provenance_mut(open.device);
    let irp = allocate(device, memory);
    if irp.is_null() {
        file::end(file);
        return Request { sent: Err(STATUS_INSUFFICIENT_RESOURCES) };
    }
    let prepared = with("io", |machine| {
        let number = machine.checked(io_request::prepare(machine, irp, open, ask))?;
        let event = machine.kernel.borrow().io.request(number).map_or(0, |request| request.event);
        Ok((number, event))
    });
    let (number, event) = match prepared {
        Ok(prepared) => prepared,
        Err(status) => {
            // SAFETY: the IRP is new, and no driver has it.
            unsafe { ddi::IoFreeIrp(irp) };
            file::end(file);
            return Request { sent: Err(status) };
        }
    };
    // SAFETY: the driver that was loaded keeps the promises of the DDIs; the IRP is new and not used
    // here again.
    let status = unsafe { ddi::IofCallDriver(device, irp) };
    let pending = with("io", |machine| io_request::sent(machine, number, status));
    Request { sent: Ok(Sent { number, file, event, pending }) }
}

impl Sent {
    /// Waits for the completion, and gives the file back.
    fn finish(self) -> Outcome {
        if self.pending {
            let (event, executive) =
                (core::ptr::with_exposed_provenance_mut(self.event), _KWAIT_REASON::Executive);
            // SAFETY: the event is the request's, which lives until `take`.
            unsafe {
                ddi::KeWaitForSingleObject(event, executive, _MODE::KernelMode as i8, 0, null_mut());
            }
        }
        let completed = with("io", |machine| machine.checked(io_request::take(machine, self.number)));
        file::end(self.file);
        completed.map_or(Outcome { status: 0, information: 0, data: Vec::new() }, |completed| Outcome {
            status: completed.status,
            information: completed.information,
            data: completed.data,
        })
    }

    fn cancel(self) -> bool {
        let ddi = Ddi::IoCancelIrp;
        let machine = &*enter(ddi);
        let canceled = machine.checked(cancel::cancel_if(machine, |machine| {
            let kernel = machine.kernel.borrow();
            let request = kernel.io.request(self.number).filter(|request| request.completed.is_none())?;
            Some(core::ptr::with_exposed_provenance_mut(request.irp))
        }));
        machine.called(ddi, |machine| ([machine.pointer(self.event)], Some(Value::Boolean(canceled))));
        canceled
    }
}

impl Request {
    /// Asks for the request to be cancelled. Returns whether it had a cancel routine, which has then
    /// been called. The request is not complete before [`Request::wait`] has returned.
    ///
    /// Does nothing to a request that is complete. IRQL ≤ DISPATCH_LEVEL, and the rules of
    /// [`ddi::IoCancelIrp`].
    pub fn cancel(&self) -> bool {
        self.sent.is_ok_and(Sent::cancel)
    }

    /// Whether the request is complete. IRQL ≤ DISPATCH_LEVEL.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let Ok(Sent { event, pending: true, .. }) = self.sent else { return true };
        // SAFETY: the event is the request's, which lives until this value is gone.
        unsafe { ddi::KeReadStateEvent(core::ptr::with_exposed_provenance_mut(event)) != 0 }
    }

    /// Waits for the request. PASSIVE_LEVEL.
    pub fn wait(mut self) -> Outcome {
        let sent = core::mem::replace(&mut self.sent, Err(0));
        match sent {
            Ok(sent) => sent.finish(),
            Err(status) => Outcome { status, information: 0, data: Vec::new() },
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Ok(sent) = self.sent else { return };
        let is_alive =
            here().is_some_and(|machine| machine.kernel.borrow().io.request(sent.number).is_some());
        if is_alive && !std::thread::panicking() {
            if sent.pending {
                sent.cancel();
            }
            sent.finish();
        }
    }
}
