//! A request on a file.

extern crate alloc;

use alloc::{rc::Rc, string::String, vec::Vec};
use core::{
    cell::{Cell, RefCell, UnsafeCell},
    ptr::null_mut,
};

use super::{buffer::Buffer, file::Open};
use crate::{
    ddi,
    program::{fail, is_active},
    types::{
        IO_STACK_LOCATION, KEVENT, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_INSUFFICIENT_RESOURCES,
        STATUS_MORE_PROCESSING_REQUIRED,
    },
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

/// The data of a request.
pub(super) struct Data {
    /// The system buffer, or the client's own memory.
    pub(super) buffer: Buffer,
    /// Further memory of the client's, from which the driver reads.
    pub(super) input: Option<Buffer>,
    /// The bytes that the driver may yield.
    pub(super) room: usize,
}

impl Data {
    fn free(self) {
        self.buffer.free();
        if let Some(input) = self.input {
            input.free();
        }
    }
}

/// What a request's client and its completion routine share.
struct State {
    irp: PIRP,
    /// The parties that may use the IRP: its completion, and the cancels that are under way. The
    /// last one frees it.
    users: Cell<u32>,
    data: Cell<Option<Data>>,
    ended: RefCell<Option<Ended>>,
    /// Set when the request has ended.
    event: UnsafeCell<KEVENT>,
    /// The words for a message.
    what: &'static str,
}

impl State {
    fn release(&self) {
        let left = self.users.get() - 1;
        self.users.set(left);
        if left == 0 {
            // SAFETY: the request is completed, and no other party uses the IRP any more.
            unsafe { ddi::IoFreeIrp(self.irp) };
        }
    }

    /// Takes the driver's result, and frees the IRP.
    fn complete(&self) {
        // SAFETY: the driver has completed the IRP, which is not freed yet.
        let result = unsafe { (*self.irp).IoStatus };
        let (status, information) = (result.Status, result.Information);
        // SAFETY: as above.
        let cancellable = unsafe { (*self.irp).CancelRoutine.is_some() };
        if cancellable {
            fail("io", alloc::format!("the driver completes a {} that has a cancel routine", self.what));
        }
        let mut data = Vec::new();
        if let Some(Data { buffer, input, room }) = self.data.take() {
            // An error (0xC…) yields nothing, and a warning (0x8…) does.
            if status.cast_unsigned() >> 30 != 3 {
                self.check_information(information, room);
                data = buffer.bytes(usize::try_from(information).unwrap_or(room).min(room));
            }
            Data { buffer, input, room }.free();
        }
        self.ended.replace(Some(Ended { status, information, data }));
        self.release();
        // SAFETY: the event was initialised with this state, which outlives the call.
        unsafe { ddi::KeSetEvent(self.event.get(), 0, 0) };
    }

    /// The I/O manager would copy that many bytes out of a buffer that has fewer.
    fn check_information(&self, information: u64, room: usize) {
        if self.copies_out() && information > room as u64 {
            fail(
                "io",
                alloc::format!(
                    "the driver completes a {} with Information {information}, but its buffer has {room} bytes",
                    self.what
                ),
            );
        }
    }

    fn copies_out(&self) -> bool {
        matches!(self.what, READ | CONTROL)
    }
}

pub(super) const READ: &str = "read";
pub(super) const WRITE: &str = "write";
pub(super) const CONTROL: &str = "I/O control";

/// Completes a request. It ends the completion here, because the IRP has been freed.
unsafe extern "C" fn completed(_device: PDEVICE_OBJECT, _irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `send` has leaked one reference to the state for this one call.
    let state = unsafe { Rc::from_raw(context.cast_const().cast::<State>()) };
    state.complete();
    STATUS_MORE_PROCESSING_REQUIRED
}

/// A request that the driver has, or has completed.
///
/// A request that is dropped before its end is cancelled, and its end is waited for, as at the end
/// of a thread. That needs PASSIVE_LEVEL.
#[must_use = "a request that is dropped is cancelled"]
pub struct Request {
    state: Rc<State>,
    /// The file that the request keeps from being closed. `None` for the file's own requests.
    open: Option<Rc<Open>>,
}

impl core::fmt::Debug for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Request").field("what", &self.state.what).field("ended", &self.state.ended).finish()
    }
}

impl Request {
    /// Sends a request to a device.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the IRP.
    pub(super) fn send(
        device: PDEVICE_OBJECT,
        what: &'static str,
        location: IO_STACK_LOCATION,
        data: Option<Data>,
        fill: impl FnOnce(PIRP, &Data),
    ) -> Result<Self, NTSTATUS> {
        // SAFETY: the client has the device open, so it exists.
        let stack = unsafe { (*device).StackSize };
        // SAFETY: the IRQL is at most DISPATCH_LEVEL, or the call ends the run.
        let irp = unsafe { ddi::IoAllocateIrp(stack, 0) };
        if irp.is_null() {
            if let Some(data) = data {
                data.free();
            }
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        if let Some(data) = &data {
            fill(irp, data);
        }
        let state = Rc::new(State {
            irp,
            users: Cell::new(1),
            data: Cell::new(data),
            ended: RefCell::new(None),
            event: UnsafeCell::default(),
            what,
        });
        // SAFETY: the state's event is at its final address.
        unsafe { ddi::KeInitializeEvent(state.event.get(), 0, 0) };
        // SAFETY: the IRP is new, and has at least one stack location.
        let next = unsafe { ddi::IoGetNextIrpStackLocation(irp) };
        // SAFETY: the location belongs to the new IRP.
        unsafe { next.write(location) };
        let context = Rc::into_raw(Rc::clone(&state)).cast_mut().cast();
        // SAFETY: the IRP has a next location. Its routine gets a reference to the state.
        unsafe { ddi::IoSetCompletionRoutine(irp, Some(completed), context, 1, 1, 1) };
        // SAFETY: the device exists, and the IRP is set up for it. It is not used after this call
        // but by parties that are counted.
        unsafe { ddi::IofCallDriver(device, irp) };
        Ok(Self { state, open: None })
    }

    /// Makes the request keep its file from being closed.
    pub(super) fn of(mut self, open: &Rc<Open>) -> Self {
        open.begin();
        self.open = Some(Rc::clone(open));
        self
    }

    /// Whether the driver has completed the request. IRQL: any.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state.ended.borrow().is_some()
    }

    /// Cancels the request, unless it has been completed. Returns whether a cancel routine was
    /// called. IRQL: ≤ DISPATCH_LEVEL.
    pub fn cancel(&self) -> bool {
        if self.is_complete() {
            return false;
        }
        self.state.users.set(self.state.users.get() + 1);
        // SAFETY: this party is counted, so the IRP is not freed before `release`.
        let called = unsafe { ddi::IoCancelIrp(self.state.irp) };
        self.state.release();
        called != 0
    }

    /// Waits for the request's end. IRQL: PASSIVE_LEVEL.
    pub fn wait(self) -> Ended {
        self.wait_for_the_end();
        let ended = self.state.ended.borrow().clone();
        ended.unwrap_or_else(|| fail("io", String::from("a request's event is set before its end")))
    }

    fn wait_for_the_end(&self) {
        if self.is_complete() {
            return;
        }
        // SAFETY: the state has its event initialised, and lives until this call returns.
        unsafe { ddi::KeWaitForSingleObject(self.state.event.get().cast(), 0, 0, 0, null_mut()) };
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Between two runs no driver can end the request. Its file stays open then.
        if !is_active() {
            return;
        }
        if !self.is_complete() {
            self.cancel();
            self.wait_for_the_end();
        }
        if let Some(open) = self.open.take() {
            open.end();
        }
    }
}
