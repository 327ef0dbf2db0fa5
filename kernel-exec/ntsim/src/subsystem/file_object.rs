//! Makes and deletes file objects, and counts their handles and requests.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use super::{
    device,
    dispatcher::{EVENT_OBJECT, empty_list},
    driver_object, pool,
};
use crate::{
    engine::machine::Machine,
    kernel::{io::OpenFile, pool::Request},
    types::{
        DEVICE_OBJECT, DISPATCHER_HEADER, DO_DEVICE_INITIALIZING, DO_EXCLUSIVE, DRVO_UNLOAD_INVOKED,
        FILE_OBJECT, KEVENT, LIST_ENTRY, NTSTATUS, PDEVICE_OBJECT, PFILE_OBJECT, STATUS_ACCESS_DENIED,
        STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_SUCH_DEVICE, UNICODE_STRING,
    },
    verifier::Checked,
};

/// The tag of file objects.
const TAG: [u8; 4] = *b"File";

/// The numbers of files and requests of all simulations of the process. A handle that a test has
/// kept is not mistaken for another simulation's. No run depends on a number.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Returns a number for a file or request.
pub(crate) fn next_number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// Returns the pointer to the file with this address.
pub(crate) fn pointer(address: usize) -> PFILE_OBJECT {
    core::ptr::with_exposed_provenance_mut(address)
}

/// Returns the status with which the system refuses to open a device, if it does. Something other
/// than a device ends the run.
fn refusal(machine: &Machine, device: PDEVICE_OBJECT) -> Option<NTSTATUS> {
    let address = device as usize;
    if device.is_null() {
        return Some(STATUS_NO_SUCH_DEVICE);
    }
    let found = machine.kernel.borrow().devices.get(address);
    let Some(found) = found else {
        let message = alloc::format!("io: {} is not a device, and was opened", machine.name(address));
        machine.fail("not supported", message);
    };
    // SAFETY: the driver object lives as long as the simulation.
    let driver = unsafe { driver_object::address(machine).read() };
    // SAFETY: the device was found, so it is alive.
    let flags = unsafe { device.read() }.Flags;
    let is_open = machine.kernel.borrow().io.files().iter().any(|file| file.device == address);
    if found.deleted || flags & DO_DEVICE_INITIALIZING != 0 || driver.Flags & DRVO_UNLOAD_INVOKED != 0 {
        Some(STATUS_NO_SUCH_DEVICE)
    } else if flags & DO_EXCLUSIVE != 0 && is_open {
        Some(STATUS_ACCESS_DENIED)
    } else {
        None
    }
}

/// Returns an event in a file object, as the I/O manager initialises it.
fn event(address: usize, kind: u8, signalled: i32) -> KEVENT {
    let header = DISPATCHER_HEADER {
        Type: kind,
        Size: (size_of::<KEVENT>() / 4) as u8,
        SignalState: signalled,
        WaitListHead: empty_list(address),
        ..DISPATCHER_HEADER::default()
    };
    KEVENT { Header: header }
}

/// Makes a file object of a device, with one handle, and returns its number. The status if the
/// system refuses.
pub(crate) fn create(
    machine: &Machine,
    device: PDEVICE_OBJECT,
    name: &[u16],
) -> Checked<Result<u64, NTSTATUS>> {
    if let Some(status) = refusal(machine, device) {
        return Ok(Err(status));
    }
    let size = size_of::<FILE_OBJECT>() + size_of_val(name);
    let file: PFILE_OBJECT = pool::allocate(machine, Request::kernel(size, TAG))?.cast();
    if file.is_null() {
        return Ok(Err(STATUS_INSUFFICIENT_RESOURCES));
    }
    let address = file.expose_provenance();
    let characters: *mut u16 = file.wrapping_add(1).cast();
    // SAFETY: the block was just allocated with room for the characters behind the object, and
    // `name` is not in it.
    unsafe { characters.copy_from_nonoverlapping(name.as_ptr(), name.len()) };
    let bytes = size_of_val(name) as u16;
    let buffer = if name.is_empty() { core::ptr::null_mut() } else { characters };
    let field = |offset: usize| address + offset;
    let list: *mut LIST_ENTRY =
        file.cast::<u8>().wrapping_add(core::mem::offset_of!(FILE_OBJECT, IrpList)).cast();
    let fresh = FILE_OBJECT {
        DeviceObject: device,
        ReadAccess: 1,
        WriteAccess: 1,
        FileName: UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: buffer },
        Lock: event(field(core::mem::offset_of!(FILE_OBJECT, Lock)), EVENT_OBJECT + 1, 1),
        Event: event(field(core::mem::offset_of!(FILE_OBJECT, Event)), EVENT_OBJECT, 0),
        IrpList: LIST_ENTRY { Flink: list, Blink: list },
        ..FILE_OBJECT::default()
    };
    // SAFETY: the block was just allocated with room for the object.
    unsafe { file.write(fresh) };
    device::reference(machine, device as usize)?;
    count(device, 1);
    let number = next_number();
    let open = OpenFile { number, address, device: device as usize, handles: 1, requests: 0, closed: false };
    machine.kernel.borrow_mut().io.add_file(open);
    Ok(Ok(number))
}

/// Returns the device to which a file's requests go, with its fields. It is the top of the stack of
/// devices that the file's device is in.
pub(crate) fn target(file: OpenFile) -> (PDEVICE_OBJECT, DEVICE_OBJECT) {
    let mut device: PDEVICE_OBJECT = core::ptr::with_exposed_provenance_mut(file.device);
    loop {
        // SAFETY: the file's reference keeps its device alive, and a device that is attached to it
        // exists.
        let value = unsafe { device.read() };
        if value.AttachedDevice.is_null() {
            return (device, value);
        }
        device = value.AttachedDevice;
    }
}

/// Changes the number of files of a device.
fn count(device: PDEVICE_OBJECT, change: i32) {
    // SAFETY: the caller's file keeps the device alive, and no other reference to it is used.
    let device = unsafe { &mut *device };
    device.ReferenceCount += change;
}

/// Deletes a file object after its last request.
pub(crate) fn delete(machine: &Machine, file: OpenFile) -> Checked<()> {
    machine.kernel.borrow_mut().io.remove_file(file.number);
    pool::free_kernel(machine, file.address)?;
    count(core::ptr::with_exposed_provenance_mut(file.device), -1);
    device::dereference(machine, file.device)?;
    Ok(())
}

/// Describes a device that is open, if there is one.
pub(crate) fn describe_open(machine: &Machine) -> Option<String> {
    let kernel = machine.kernel.borrow();
    let device = kernel.io.files().first()?.device;
    let files: Vec<_> = kernel.io.files().iter().filter(|file| file.device == device).collect();
    let (handles, requests): (usize, usize) =
        (files.iter().map(|file| file.handles).sum(), files.iter().map(|file| file.requests).sum());
    let count = files.len();
    drop(kernel);
    let name = machine.name(device);
    Some(alloc::format!(
        "the device {name} is open ({count} files); {handles} handles and {requests} requests are left"
    ))
}

/// Returns the device that a path names, and the rest of the path.
pub(crate) fn find(machine: &Machine, path: &str) -> Option<(PDEVICE_OBJECT, Vec<u16>)> {
    let (address, rest) = machine.kernel.borrow().devices.named(path)?;
    Some((core::ptr::with_exposed_provenance_mut(address), rest.encode_utf16().collect()))
}
