//! A file, which is an open of a device.

extern crate alloc;

use alloc::{rc::Rc, string::String, vec::Vec};
use core::cell::Cell;

use super::{
    buffer::Buffer,
    request::{CONTROL, Data, READ, Request, WRITE},
};
use crate::{
    ddi,
    program::{fail, is_active},
    types::{
        DO_BUFFERED_IO, DO_DEVICE_INITIALIZING, DO_DIRECT_IO, DO_EXCLUSIVE, FILE_OBJECT, IO_STACK_LOCATION,
        IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE,
        METHOD_BUFFERED, METHOD_NEITHER, NTSTATUS, PDEVICE_OBJECT, PFILE_OBJECT, PIRP, POOL_FLAG_NON_PAGED,
        STATUS_ACCESS_DENIED, STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_SUCH_DEVICE,
    },
};

/// The tag of file objects.
const TAG: u32 = u32::from_le_bytes(*b"File");

/// An open of a device.
pub(super) struct Open {
    device: PDEVICE_OBJECT,
    object: PFILE_OBJECT,
    handles: Cell<u32>,
    /// The requests that have not ended, or that their clients have not seen end.
    requests: Cell<u32>,
}

impl Open {
    pub(super) fn begin(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// Ends a request. The last one closes a file that has no handle.
    pub(super) fn end(&self) {
        self.requests.set(self.requests.get() - 1);
        self.close_if_unused();
    }

    fn close_if_unused(&self) {
        if self.handles.get() > 0 || self.requests.get() > 0 {
            return;
        }
        self.send(IRP_MJ_CLOSE);
        self.give_up();
    }

    /// Sends a request without data, and waits for its end.
    fn send(&self, major: usize) -> NTSTATUS {
        let sent = loop {
            match Request::send(self.device, "request", self.location(major, [0; 4]), None, |_, _| {}) {
                // The system keeps memory for these, because a handle can always be closed.
                Err(_) if major != IRP_MJ_CREATE => {}
                other => break other,
            }
        };
        sent.map_or_else(|status| status, |request| request.wait().status)
    }

    /// Frees the file object, and counts the device's opens.
    fn give_up(&self) {
        // SAFETY: no request uses the file object any more.
        unsafe { ddi::ExFreePoolWithTag(self.object.cast(), TAG) };
        // SAFETY: a device that is open exists.
        unsafe { (*self.device).ReferenceCount -= 1 };
    }

    fn location(&self, major: usize, parameters: [u64; 4]) -> IO_STACK_LOCATION {
        IO_STACK_LOCATION {
            MajorFunction: major as u8,
            Parameters: parameters,
            DeviceObject: self.device,
            FileObject: self.object,
            ..IO_STACK_LOCATION::default()
        }
    }

    fn flags(&self) -> u32 {
        // SAFETY: a device that is open exists.
        unsafe { (*self.device).Flags }
    }
}

/// A handle to a file. Its clones are further handles to the same file.
///
/// Dropping the last handle closes the file: IRP_MJ_CLEANUP is sent, and, as soon as no request is
/// pending, IRP_MJ_CLOSE. That needs PASSIVE_LEVEL.
pub struct File(Rc<Open>);

impl core::fmt::Debug for File {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("File").field("handles", &self.0.handles).field("requests", &self.0.requests).finish()
    }
}

impl File {
    /// Opens a device, or the top of the stack of devices that it is in. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// - The status with which the driver has completed IRP_MJ_CREATE.
    /// - `STATUS_NO_SUCH_DEVICE`: the device is null, or still has DO_DEVICE_INITIALIZING.
    /// - `STATUS_ACCESS_DENIED`: the device is DO_EXCLUSIVE, and open.
    /// - `STATUS_INSUFFICIENT_RESOURCES`: there is no memory.
    ///
    /// # Safety
    /// The device is null, or exists.
    pub unsafe fn open(device: PDEVICE_OBJECT) -> Result<Self, NTSTATUS> {
        // SAFETY: the caller passes null or a device that exists.
        let Some(named) = (unsafe { device.as_ref() }) else { return Err(STATUS_NO_SUCH_DEVICE) };
        if named.Flags & DO_DEVICE_INITIALIZING != 0 {
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        if named.Flags & DO_EXCLUSIVE != 0 && named.ReferenceCount > 0 {
            return Err(STATUS_ACCESS_DENIED);
        }
        let device = top(device);
        // SAFETY: the size is not zero, and the IRQL is at most DISPATCH_LEVEL or the call ends the
        // run.
        let object =
            unsafe { ddi::ExAllocatePool2(POOL_FLAG_NON_PAGED, size_of::<FILE_OBJECT>() as u64, TAG) };
        let object: PFILE_OBJECT = object.cast();
        if object.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        // SAFETY: the new block has room for a file object.
        unsafe { object.write(FILE_OBJECT { DeviceObject: device, ..FILE_OBJECT::default() }) };
        // SAFETY: the device exists.
        unsafe { (*device).ReferenceCount += 1 };
        let open = Open { device, object, handles: Cell::new(1), requests: Cell::new(0) };
        let status = open.send(IRP_MJ_CREATE);
        if status < 0 {
            // A file that was not opened gets neither IRP_MJ_CLEANUP nor IRP_MJ_CLOSE.
            open.give_up();
            return Err(status);
        }
        Ok(Self(Rc::new(open)))
    }

    /// Reads, and waits for the end. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The status with which the driver has completed the request, or
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn read(&self, length: usize) -> Result<Vec<u8>, NTSTATUS> {
        self.start_read(length)?.wait().into_data()
    }

    /// Writes, waits for the end, and returns the number of bytes written. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As for [`File::read`].
    pub fn write(&self, data: &[u8]) -> Result<u64, NTSTATUS> {
        let ended = self.start_write(data)?.wait();
        if ended.status >= 0 { Ok(ended.information) } else { Err(ended.status) }
    }

    /// Sends an I/O control code with input and room for output, and waits for the end.
    /// IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As for [`File::read`].
    pub fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NTSTATUS> {
        self.start_control(code, input, room)?.wait().into_data()
    }

    /// Sends a read of so many bytes. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory.
    pub fn start_read(&self, length: usize) -> Result<Request, NTSTATUS> {
        let data = Data { buffer: Buffer::new(&[], length)?, input: None, room: length };
        self.transfer(READ, IRP_MJ_READ, length, data)
    }

    /// Sends a write of these bytes. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory.
    pub fn start_write(&self, bytes: &[u8]) -> Result<Request, NTSTATUS> {
        let data = Data { buffer: Buffer::new(bytes, bytes.len())?, input: None, room: 0 };
        self.transfer(WRITE, IRP_MJ_WRITE, bytes.len(), data)
    }

    fn transfer(
        &self,
        what: &'static str,
        major: usize,
        length: usize,
        data: Data,
    ) -> Result<Request, NTSTATUS> {
        let flags = self.0.flags();
        if flags & DO_DIRECT_IO != 0 {
            refuse_direct();
        }
        let location = self.0.location(major, [length as u64, 0, 0, 0]);
        let is_buffered = flags & DO_BUFFERED_IO != 0;
        let sent = Request::send(self.0.device, what, location, Some(data), |irp, data| {
            set_buffer(irp, &data.buffer, is_buffered);
        })?;
        Ok(sent.of(&self.0))
    }

    /// Sends an I/O control code with input and room for output. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// The code's low two bits are its method. METHOD_BUFFERED has one system buffer for input and
    /// output, and METHOD_NEITHER has the client's own addresses.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory.
    pub fn start_control(&self, code: u32, input: &[u8], room: usize) -> Result<Request, NTSTATUS> {
        let mut parameters = [room as u64, input.len() as u64, code.into(), 0];
        let (is_buffered, data) = match code & 3 {
            METHOD_BUFFERED => (true, Data { buffer: Buffer::new(input, room)?, input: None, room }),
            METHOD_NEITHER => {
                let source = Buffer::new(input, input.len())?;
                let buffer = match Buffer::new(&[], room) {
                    Ok(buffer) => buffer,
                    Err(status) => {
                        source.free();
                        return Err(status);
                    }
                };
                parameters[3] = source.pointer().addr() as u64;
                (false, Data { buffer, input: Some(source), room })
            }
            _ => refuse_direct(),
        };
        let location = self.0.location(IRP_MJ_DEVICE_CONTROL, parameters);
        let sent = Request::send(self.0.device, CONTROL, location, Some(data), |irp, data| {
            set_buffer(irp, &data.buffer, is_buffered);
        })?;
        Ok(sent.of(&self.0))
    }

    /// Closes this handle, as its drop does. IRQL: PASSIVE_LEVEL.
    pub fn close(self) {
        drop(self);
    }
}

impl Clone for File {
    fn clone(&self) -> Self {
        self.0.handles.set(self.0.handles.get() + 1);
        Self(Rc::clone(&self.0))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Between two runs no driver can answer. The file stays open, so Unload is refused.
        if !is_active() {
            return;
        }
        let handles = self.0.handles.get();
        if handles == 1 {
            // Requests that come meanwhile must not close the file before its cleanup.
            self.0.send(IRP_MJ_CLEANUP);
        }
        self.0.handles.set(handles - 1);
        self.0.close_if_unused();
    }
}

/// Puts a request's memory into its IRP, as the system buffer or as the client's address.
fn set_buffer(irp: PIRP, buffer: &Buffer, is_buffered: bool) {
    // SAFETY: the IRP is new, and no other code has it yet.
    let irp = unsafe { &mut *irp };
    if is_buffered {
        irp.AssociatedIrp = buffer.pointer();
    } else {
        irp.UserBuffer = buffer.pointer();
    }
}

/// The device on top of a stack of devices.
fn top(device: PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    let mut top = device;
    loop {
        // SAFETY: a device in a stack exists.
        let attached = unsafe { (*top).AttachedDevice };
        if attached.is_null() {
            return top;
        }
        top = attached;
    }
}

fn refuse_direct() -> ! {
    fail("not supported", String::from("ntsim::io has no direct I/O: use DO_BUFFERED_IO or METHOD_BUFFERED"))
}
