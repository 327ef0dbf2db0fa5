//! Requests on a file.

extern crate alloc;

use alloc::vec::Vec;
use core::ptr::null_mut;

use super::{file, with};
use crate::{
    ddi,
    engine::entry::{enter, here},
    subsystem::{
        cancel, file_object,
        io_request::{self, Ask},
        irp,
    },
    trace::Value,
    types::{_KWAIT_REASON, _MODE, NTSTATUS, PIRP, STATUS_CANCELLED, STATUS_INSUFFICIENT_RESOURCES},
    verifier::irql::Ddi,
};

/// The end of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// The status with which the driver has completed it.
    pub status: NTSTATUS,
    /// The driver's further information, which is the number of bytes for reads and writes.
    pub information: u64,
    /// The bytes that the client gets. Empty if the status is an error, and after writes.
    pub data: Vec<u8>,
}

impl Ended {
    /// The data, or the status if that is no success.
    ///
    /// # Errors
    /// The status with which the driver has completed the request.
    pub fn into_data(self) -> Result<Vec<u8>, NTSTATUS> {
        if self.status >= 0 { Ok(self.data) } else { Err(self.status) }
    }
}

/// A request that the driver has, or has completed.
///
/// A request that is dropped before its end is cancelled, and its end is waited for, as at the end
/// of a thread. That needs PASSIVE_LEVEL.
#[derive(Debug)]
#[must_use = "a request that is dropped is cancelled"]
pub struct Request {
    number: u64,
    file: u64,
    /// The address of the event that is set at the end.
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

/// Allocates an IRP with so many stack locations. Null if memory is low.
fn allocate(stack: i8, memory: Memory) -> PIRP {
    match memory {
        // SAFETY: this is in a run.
        Memory::Scarce => unsafe { ddi::IoAllocateIrp(stack, 0) },
        Memory::Reserved => with("io", |machine| machine.checked(irp::allocate_of_reserve(machine, stack))),
    }
}

/// Sends a request to a file's device.
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory.
pub(super) fn send(file: u64, memory: Memory, ask: &Ask<'_>) -> Result<Request, NTSTATUS> {
    let open = file::begin(file, ask.what);
    let (device, value) = file_object::target(open);
    let irp = allocate(value.StackSize, memory);
    if irp.is_null() {
        file::end(file);
        return Err(STATUS_INSUFFICIENT_RESOURCES);
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
            return Err(status);
        }
    };
    // SAFETY: the driver that was loaded keeps the promises of the DDIs. The IRP is new and not
    // used here again.
    let status = unsafe { ddi::IofCallDriver(device, irp) };
    let pending = with("io", |machine| io_request::sent(machine, number, status));
    Ok(Request { number, file, event, pending })
}

impl Request {
    /// Whether the driver has completed the request. IRQL: any.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        // SAFETY: the event is the request's, which lives until this value is gone.
        !self.pending
            || unsafe { ddi::KeReadStateEvent(core::ptr::with_exposed_provenance_mut(self.event)) } != 0
    }

    /// Cancels the request, unless it has been completed. Returns whether a cancel routine was
    /// called. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// The rules of [`IoCancelIrp`](ddi::IoCancelIrp). The request has not ended before
    /// [`Request::wait`] has returned.
    pub fn cancel(&self) -> bool {
        let ddi = Ddi::IoCancelIrp;
        let machine = &*enter(ddi);
        // No preemption point lies between this look at the request and the end of the kernel's use
        // of the IRP, so the IRP needs no further reference.
        let canceled = machine.checked(cancel::cancel_if(machine, |machine| {
            let kernel = machine.kernel.borrow();
            let request = kernel.io.request(self.number).filter(|request| request.completed.is_none())?;
            Some(core::ptr::with_exposed_provenance_mut(request.irp))
        }));
        machine.called(ddi, |machine| ([machine.pointer(self.event)], Some(Value::Boolean(canceled))));
        canceled
    }

    /// Waits for the request's end. IRQL: PASSIVE_LEVEL.
    pub fn wait(self) -> Ended {
        let ended = self.finish();
        // The request is over, so its drop does nothing.
        drop(self);
        ended
    }

    /// Waits for the end, takes the result, and lets the file go.
    fn finish(&self) -> Ended {
        if self.pending {
            let event = core::ptr::with_exposed_provenance_mut(self.event);
            let mode = _MODE::KernelMode as i8;
            // SAFETY: the event is the request's, which lives until `take`.
            unsafe { ddi::KeWaitForSingleObject(event, _KWAIT_REASON::Executive, mode, 0, null_mut()) };
        }
        let completed = with("io", |machine| machine.checked(io_request::take(machine, self.number)));
        file::end(self.file);
        let (status, information, data) = completed
            .map_or((STATUS_CANCELLED, 0, Vec::new()), |done| (done.status, done.information, done.data));
        Ended { status, information: information as u64, data }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Between two runs no driver can end the request. Its file stays open then.
        let is_left = here().is_some_and(|machine| machine.kernel.borrow().io.request(self.number).is_some());
        if is_left && !std::thread::panicking() {
            self.cancel();
            self.finish();
        }
    }
}
