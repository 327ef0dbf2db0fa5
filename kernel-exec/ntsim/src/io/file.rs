//! Files, which are opens of a device.

extern crate alloc;

use alloc::{string::String, vec::Vec};

use super::{
    request::{Memory, Request, send},
    with,
};
use crate::{
    engine::{entry::here, machine::Machine},
    kernel::io::OpenFile,
    subsystem::{
        file_object,
        io_request::{Ask, Buffers},
    },
    types::{
        DO_BUFFERED_IO, DO_DIRECT_IO, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL,
        IRP_MJ_READ, IRP_MJ_WRITE, METHOD_BUFFERED, METHOD_NEITHER, NTSTATUS, PDEVICE_OBJECT, PFILE_OBJECT,
        STATUS_OBJECT_NAME_NOT_FOUND,
    },
};

/// The `IRP_*` flags of requests.
const IRP_SYNCHRONOUS_API: u32 = 0x4;
const IRP_CREATE_OPERATION: u32 = 0x80;
const IRP_READ_OPERATION: u32 = 0x100;
const IRP_WRITE_OPERATION: u32 = 0x200;
const IRP_CLOSE_OPERATION: u32 = 0x400;

/// FILE_OPEN as the disposition of a create request.
const OPEN_EXISTING: usize = 1 << 24;
/// FILE_SHARE_READ and FILE_SHARE_WRITE, behind the file's attributes.
const SHARED: usize = 3 << 16;

/// A request without data.
const NOTHING: Ask<'static> = Ask {
    what: "create request",
    major: IRP_MJ_CREATE as u8,
    parameters: [0; 4],
    flags: IRP_SYNCHRONOUS_API,
    buffers: Buffers::None,
    input: &[],
    room: 0,
    limit: None,
};

/// A handle to a file. Its clones are further handles to the same file.
///
/// Programs may share it, or have a clone each. Dropping the last handle closes the file:
/// IRP_MJ_CLEANUP is sent, and, as soon as no request is pending, IRP_MJ_CLOSE. That needs
/// PASSIVE_LEVEL.
#[derive(Debug)]
pub struct File {
    number: u64,
}

fn open_named(device: PDEVICE_OBJECT, name: &[u16]) -> Result<File, NTSTATUS> {
    let number = with("io::open", |machine| {
        check_irql(machine, "create request");
        machine.checked(file_object::create(machine, device, name))
    })?;
    let create = Ask {
        parameters: [0, OPEN_EXISTING, SHARED, 0],
        flags: IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API,
        ..NOTHING
    };
    let status =
        send(number, Memory::Scarce, &create).map_or_else(|status| status, |sent| sent.wait().status);
    if status < 0 {
        // A file that was not opened gets neither IRP_MJ_CLEANUP nor IRP_MJ_CLOSE.
        with("io::open", |machine| {
            let refused = machine.kernel.borrow().io.file(number);
            if let Some(file) = refused {
                machine.checked(file_object::delete(machine, file));
            }
        });
        return Err(status);
    }
    Ok(File { number })
}

fn check_irql(machine: &Machine, what: &str) {
    let irql = machine.irql();
    if irql != 0 {
        machine.fail("not supported", alloc::format!("a {what} at IRQL {irql}, above PASSIVE_LEVEL"));
    }
}

/// Counts a request for a file.
#[expect(clippy::panic, reason = "a test's mistake, which it has to hear of")]
pub(super) fn begin(number: u64, what: &str) -> OpenFile {
    let file =
        with(what, |machine| machine.kernel.borrow_mut().io.update_file(number, |file| file.requests += 1));
    match file {
        Some(file) => file,
        None => panic!("ntsim: a {what} for a File of another simulation, or of one that was reset"),
    }
}

/// Gives up a request of a file. After the last one of a file without handles the driver hears that
/// the file is closed, and then the file is deleted.
pub(super) fn end(number: u64) {
    let is_over = with("io", |machine| {
        let change = |file: &mut OpenFile| file.requests -= 1;
        let ended = machine.kernel.borrow_mut().io.update_file(number, change);
        let Some(file) = ended.filter(|file| file.handles == 0 && file.requests == 0) else { return false };
        if file.closed {
            machine.checked(file_object::delete(machine, file));
        } else {
            machine.kernel.borrow_mut().io.update_file(number, |file| file.closed = true);
        }
        !file.closed
    });
    if is_over {
        let close = Ask {
            what: "close request",
            major: IRP_MJ_CLOSE as u8,
            flags: IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API,
            ..NOTHING
        };
        // The status of a close request has no effect.
        drop(send(number, Memory::Reserved, &close).map(Request::wait));
    }
}

impl File {
    /// Opens a device. IRQL: PASSIVE_LEVEL.
    ///
    /// The driver must have a dispatch routine for IRP_MJ_CREATE. The routine of a driver that sets
    /// none answers STATUS_INVALID_DEVICE_REQUEST. Requests go to the top of the stack of devices
    /// that the device is in.
    ///
    /// # Errors
    /// - The status with which the driver has completed IRP_MJ_CREATE.
    /// - `STATUS_NO_SUCH_DEVICE` if the device is null, is deleted, or still has
    ///   DO_DEVICE_INITIALIZING, or if its driver is being unloaded.
    /// - `STATUS_ACCESS_DENIED` if the device is DO_EXCLUSIVE, and open.
    /// - `STATUS_INSUFFICIENT_RESOURCES` if there is no memory.
    pub fn open(device: PDEVICE_OBJECT) -> Result<Self, NTSTATUS> {
        open_named(device, &[])
    }

    /// Opens a device by its path, such as `\Device\Sensor`. The part behind the device's name is
    /// the file object's `FileName`. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As for [`File::open`], and `STATUS_OBJECT_NAME_NOT_FOUND` if no device has such a name.
    pub fn open_path(path: &str) -> Result<Self, NTSTATUS> {
        let found = with("File::open_path", |machine| file_object::find(machine, path));
        let (device, rest) = found.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
        open_named(device, &rest)
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
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory.
    pub fn start_read(&self, length: usize) -> Result<Request, NTSTATUS> {
        let read = Ask {
            what: "read",
            major: IRP_MJ_READ as u8,
            parameters: [length, 0, 0, 0],
            flags: IRP_READ_OPERATION,
            buffers: self.buffers("read", length),
            room: length,
            limit: Some(length),
            ..NOTHING
        };
        send(self.number, Memory::Scarce, &read)
    }

    /// Sends a write of these bytes. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory.
    pub fn start_write(&self, bytes: &[u8]) -> Result<Request, NTSTATUS> {
        let write = Ask {
            what: "write",
            major: IRP_MJ_WRITE as u8,
            parameters: [bytes.len(), 0, 0, 0],
            flags: IRP_WRITE_OPERATION,
            buffers: self.buffers("write", bytes.len()),
            input: bytes,
            limit: Some(bytes.len()),
            ..NOTHING
        };
        send(self.number, Memory::Scarce, &write)
    }

    /// Sends an I/O control code with input and room for output. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// The code's low two bits are its method. METHOD_BUFFERED has one system buffer for input and
    /// output, and METHOD_NEITHER has the client's own addresses. The direct methods need room of
    /// zero.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES` if there is no memory.
    pub fn start_control(&self, code: u32, input: &[u8], room: usize) -> Result<Request, NTSTATUS> {
        let buffers = match code & 3 {
            METHOD_BUFFERED => Buffers::System,
            METHOD_NEITHER => Buffers::Client,
            _ if room == 0 => Buffers::SystemInput,
            _ => refuse_direct(),
        };
        let control = Ask {
            what: "I/O control",
            major: IRP_MJ_DEVICE_CONTROL as u8,
            parameters: [room, input.len(), code as usize, 0],
            flags: 0,
            buffers,
            input,
            room,
            limit: (buffers == Buffers::System).then_some(room),
        };
        send(self.number, Memory::Scarce, &control)
    }

    /// The file object. It is the driver's to look at while a request or this handle is open.
    ///
    /// Null if the file is of another simulation.
    #[must_use]
    pub fn object(&self) -> PFILE_OBJECT {
        let file = here().and_then(|machine| machine.kernel.borrow().io.file(self.number));
        file.map_or(core::ptr::null_mut(), |file| file_object::pointer(file.address))
    }

    /// Closes this handle, as its drop does. IRQL: PASSIVE_LEVEL.
    pub fn close(self) {
        drop(self);
    }

    /// Where the data of a read or write goes.
    fn buffers(&self, what: &str, length: usize) -> Buffers {
        let file = with(what, |machine| machine.kernel.borrow().io.file(self.number));
        let flags = file.map_or(0, |file| file_object::target(file).1.Flags);
        match length {
            0 => Buffers::None,
            _ if flags & DO_BUFFERED_IO != 0 => Buffers::System,
            _ if flags & DO_DIRECT_IO != 0 => refuse_direct(),
            _ => Buffers::Client,
        }
    }
}

/// Ends the run because a request needs a memory descriptor list.
fn refuse_direct() -> ! {
    let message = "ntsim::io has no direct I/O: use DO_BUFFERED_IO or METHOD_BUFFERED";
    with("io", |machine| machine.fail("not supported", String::from(message)))
}

impl Clone for File {
    fn clone(&self) -> Self {
        if let Some(machine) = here() {
            machine.kernel.borrow_mut().io.update_file(self.number, |file| file.handles += 1);
        }
        Self { number: self.number }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let number = self.number;
        let last = here().and_then(|machine| {
            let file = machine.kernel.borrow().io.file(number).filter(|_| !std::thread::panicking())?;
            check_irql(&machine, "cleanup request");
            let change = |file: &mut OpenFile| {
                file.handles -= 1;
                // The cleanup request holds the file until it has ended.
                file.requests += usize::from(file.handles == 0);
            };
            machine.kernel.borrow_mut().io.update_file(file.number, change)
        });
        if last.is_some_and(|file| file.handles == 0) {
            let cleanup = Ask {
                what: "cleanup request",
                major: IRP_MJ_CLEANUP as u8,
                flags: IRP_CLOSE_OPERATION | IRP_SYNCHRONOUS_API,
                ..NOTHING
            };
            // The status of a cleanup request has no effect.
            drop(send(number, Memory::Reserved, &cleanup).map(Request::wait));
            end(number);
        }
    }
}
