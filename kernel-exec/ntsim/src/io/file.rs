//! Files: how they are opened and closed, and their requests.

extern crate alloc;

use super::{
    request::{Memory, Outcome, Request, send},
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

/// A handle to an open device. A clone is another handle to the same file object.
///
/// Programs may share it, or have a clone each. See [the module](super) for the rules.
#[derive(Debug)]
pub struct File {
    number: u64,
}

/// Opens a device, by IRP_MJ_CREATE. PASSIVE_LEVEL.
///
/// The driver must have a dispatch routine for IRP_MJ_CREATE. The routine of a driver that sets none
/// fails with STATUS_INVALID_DEVICE_REQUEST.
///
/// # Errors
/// The driver's status; STATUS_INSUFFICIENT_RESOURCES if memory is low; STATUS_NO_SUCH_DEVICE if the
/// device is still being initialised or is deleted; STATUS_ACCESS_DENIED if another file of a device
/// with DO_EXCLUSIVE exists.
pub fn open(device: PDEVICE_OBJECT) -> Result<File, NTSTATUS> {
    open_named(device, &[])
}

/// Opens a device by its path, such as `\Device\Sensor`. The part behind the device's name is the
/// file object's `FileName`. PASSIVE_LEVEL.
///
/// # Errors
/// Those of [`open`]; STATUS_OBJECT_NAME_NOT_FOUND if no device has such a name.
pub fn open_path(path: &str) -> Result<File, NTSTATUS> {
    let found = with("io::open_path", |machine| file_object::find(machine, path));
    let (device, rest) = found.ok_or(STATUS_OBJECT_NAME_NOT_FOUND)?;
    open_named(device, &rest)
}

fn open_named(device: PDEVICE_OBJECT, name: &[u16]) -> Result<File, NTSTATUS> {
    let number = with("io::open", |machine| {
        check_irql(machine, "io::open");
        machine.checked(file_object::create(machine, device, name))
    })?;
    let create = Ask {
        parameters: [0, OPEN_EXISTING, SHARED, 0],
        flags: IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API,
        ..NOTHING
    };
    let status = send(number, Memory::Scarce, &create).wait().status;
    if status < 0 {
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
    let file = with(what, |machine| {
        check_irql(machine, what);
        machine.kernel.borrow_mut().io.update_file(number, |file| file.requests += 1)
    });
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
        drop(send(number, Memory::Reserved, &close).wait());
    }
}

/// Copies a request's data to the client's buffer.
fn deliver(outcome: &Outcome, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
    for (place, byte) in buffer.iter_mut().zip(&outcome.data) {
        *place = *byte;
    }
    outcome.result()
}

impl File {
    /// Reads, waits, and returns the number of bytes. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The status of a warning or an error. With a warning the buffer has the bytes that came.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, NTSTATUS> {
        deliver(&self.start_read(buffer.len()).wait(), buffer)
    }

    /// Writes, waits, and returns the number of bytes. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The status of a warning or an error.
    pub fn write(&self, data: &[u8]) -> Result<usize, NTSTATUS> {
        self.start_write(data).wait().result()
    }

    /// Sends a control request, waits, and returns the number of bytes of output. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The status of a warning or an error. With a warning the output has the bytes that came.
    pub fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, NTSTATUS> {
        deliver(&self.start_ioctl(code, input, output.len()).wait(), output)
    }

    /// Sends a request to read so many bytes at offset 0. PASSIVE_LEVEL.
    pub fn start_read(&self, length: usize) -> Request {
        self.start_read_at(0, length)
    }

    /// Sends a request to read so many bytes at an offset. PASSIVE_LEVEL.
    pub fn start_read_at(&self, offset: i64, length: usize) -> Request {
        let read = Ask {
            what: "read",
            major: IRP_MJ_READ as u8,
            parameters: [length, 0, offset as usize, 0],
            flags: IRP_READ_OPERATION,
            buffers: self.buffers("read", length),
            room: length,
            limit: Some(length),
            ..NOTHING
        };
        send(self.number, Memory::Scarce, &read)
    }

    /// Sends a request to write at offset 0. PASSIVE_LEVEL.
    pub fn start_write(&self, data: &[u8]) -> Request {
        self.start_write_at(0, data)
    }

    /// Sends a request to write at an offset. PASSIVE_LEVEL.
    pub fn start_write_at(&self, offset: i64, data: &[u8]) -> Request {
        let write = Ask {
            what: "write",
            major: IRP_MJ_WRITE as u8,
            parameters: [data.len(), 0, offset as usize, 0],
            flags: IRP_WRITE_OPERATION,
            buffers: self.buffers("write", data.len()),
            input: data,
            limit: Some(data.len()),
            ..NOTHING
        };
        send(self.number, Memory::Scarce, &write)
    }

    /// Sends a control request with room for so many bytes of output. The code says how the driver
    /// gets the buffers. PASSIVE_LEVEL.
    pub fn start_ioctl(&self, code: u32, input: &[u8], output: usize) -> Request {
        let buffers = match code & 3 {
            METHOD_BUFFERED => Buffers::System,
            METHOD_NEITHER => Buffers::Client,
            _ if output == 0 => Buffers::SystemInput,
            _ => refuse_list(&alloc::format!("a control request with code {code:#x}, a direct method")),
        };
        let control = Ask {
            what: "control request",
            major: IRP_MJ_DEVICE_CONTROL as u8,
            parameters: [output, input.len(), code as usize, 0],
            flags: 0,
            buffers,
            input,
            room: output,
            limit: (buffers == Buffers::System).then_some(output),
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

    /// Closes the handle, as dropping it does. PASSIVE_LEVEL.
    ///
    /// The last handle of the file object sends IRP_MJ_CLEANUP, and IRP_MJ_CLOSE if no request is
    /// left. Otherwise the end of the last request sends IRP_MJ_CLOSE.
    pub fn close(self) {
        drop(self);
    }

    /// Where the data of a read or write goes.
    fn buffers(&self, what: &str, length: usize) -> Buffers {
        let flags = with(what, |machine| {
            let file = machine.kernel.borrow().io.file(self.number);
            file.map_or(0, file_object::device_flags)
        });
        match length {
            0 => Buffers::None,
            _ if flags & DO_BUFFERED_IO != 0 => Buffers::System,
            _ if flags & DO_DIRECT_IO != 0 => {
                refuse_list(&alloc::format!("a {what} of a device with DO_DIRECT_IO"))
            }
            _ => Buffers::Client,
        }
    }
}

/// Ends the run because a request needs a memory descriptor list.
fn refuse_list(what: &str) -> ! {
    let message = alloc::format!("{what} needs a memory descriptor list, which ntsim does not have");
    with("io", |machine| machine.fail("not supported", message))
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
            check_irql(&machine, "close");
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
            drop(send(number, Memory::Reserved, &cleanup).wait());
            end(number);
        }
    }
}
