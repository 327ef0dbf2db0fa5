//! Creates, references and deletes devices.

extern crate alloc;

use core::{mem::offset_of, ptr::null_mut};

use super::{
    dispatcher::{EVENT_OBJECT, empty_list},
    driver_object, objects, pool,
    string::{self, characters, upcase},
};
use crate::{
    engine::machine::Machine,
    kernel::pool::Request,
    types::{
        DEVICE_OBJECT, DISPATCHER_HEADER, DO_DEVICE_HAS_NAME, DO_DEVICE_INITIALIZING, DO_EXCLUSIVE, KEVENT,
        NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PUNICODE_STRING, STATUS_OBJECT_NAME_COLLISION,
        STATUS_OBJECT_PATH_NOT_FOUND, STATUS_OBJECT_PATH_SYNTAX_BAD, STATUS_SUCCESS, ULONG,
    },
    verifier::{
        Checked,
        bugcheck::driver_verifier::{objects as violated, objects::Change},
    },
};

/// The tag of device objects.
const TAG: [u8; 4] = *b"Devi";

/// The object directories that may contain a device's name, in uppercase.
const DIRECTORIES: [&str; 5] = ["", r"\DEVICE", r"\??", r"\DOSDEVICES", r"\GLOBAL??"];

/// Returns the device queue of a new device, which is empty.
fn device_queue(device: PDEVICE_OBJECT) -> [u64; 5] {
    /// The `Type` and `Size` of a device queue, as in NT.
    const HEADER: u64 = 20 | 40 << 16;
    let list = (device as usize + offset_of!(DEVICE_OBJECT, DeviceQueue) + size_of::<u64>()) as u64;
    [HEADER, list, list, 0, 0]
}

/// Returns the lock of a new device, which is a synchronization event that is set.
fn device_lock(device: PDEVICE_OBJECT) -> KEVENT {
    let header = DISPATCHER_HEADER {
        Type: EVENT_OBJECT + 1,
        Size: (size_of::<KEVENT>() / 4) as u8,
        SignalState: 1,
        WaitListHead: empty_list(device as usize + offset_of!(DEVICE_OBJECT, DeviceLock)),
        ..DISPATCHER_HEADER::default()
    };
    KEVENT { Header: header }
}

/// Returns the place of the driver's list of devices, a field that the I/O manager maintains.
fn first_device(driver: PDRIVER_OBJECT) -> *mut PDEVICE_OBJECT {
    // SAFETY: the machine's driver object lives as long as the simulation; no reference is made.
    unsafe { &raw mut (*driver).DeviceObject }
}

fn next_device(device: PDEVICE_OBJECT) -> *mut PDEVICE_OBJECT {
    // SAFETY: the machine's device object is alive because it is in its driver's list; no reference
    // is made.
    unsafe { &raw mut (*device).NextDevice }
}

fn load(place: *mut PDEVICE_OBJECT) -> PDEVICE_OBJECT {
    // SAFETY: `place` comes from `first_device` or `next_device` and points into a live object.
    unsafe { place.read() }
}

fn store(place: *mut PDEVICE_OBJECT, device: PDEVICE_OBJECT) {
    // SAFETY: `place` comes from `first_device` or `next_device` and points into a live object.
    unsafe { place.write(device) }
}

/// Applies `change` to every device of the driver.
pub(crate) fn update_all(machine: &Machine, change: impl Fn(&mut DEVICE_OBJECT)) {
    let mut device = load(first_device(driver_object::address(machine)));
    while !device.is_null() {
        // SAFETY: the machine's device object is alive because it is in its driver's list.
        let mut value = unsafe { device.read() };
        change(&mut value);
        // SAFETY: the machine's device object is alive because it is in its driver's list.
        unsafe { device.write(value) };
        device = value.NextDevice;
    }
}

/// Returns whether an address is that of a device or of the driver.
pub(crate) fn is_io_object(machine: &Machine, address: usize) -> bool {
    address == driver_object::address(machine) as usize
        || machine.kernel.borrow().devices.get(address).is_some()
}

/// Adds a reference to a device and returns the new count. References to the driver are not
/// counted.
pub(crate) fn reference(machine: &Machine, address: usize) -> Checked<usize> {
    if address == driver_object::address(machine) as usize {
        return Ok(1);
    }
    let device = machine.kernel.borrow_mut().devices.update(address, |device| device.references += 1);
    match device {
        Some(device) => Ok(device.references),
        None => Err(violated::no_object(Change::Reference, address, machine.name(address))),
    }
}

/// Removes a reference from a device and returns the new count. The device is freed with its
/// last reference.
pub(crate) fn dereference(machine: &Machine, address: usize) -> Checked<usize> {
    if address == driver_object::address(machine) as usize {
        return Ok(1);
    }
    let Some(before) = machine.kernel.borrow().devices.get(address) else {
        return Err(violated::no_object(Change::Dereference, address, machine.name(address)));
    };
    if before.references == 1 && !before.deleted {
        return Err(violated::device_dereferenced_too_often(address, machine.name(address)));
    }
    machine.kernel.borrow_mut().devices.update(address, |device| device.references -= 1);
    if before.references == 1 {
        pool::free_kernel(machine, address)?;
    }
    Ok(before.references - 1)
}

/// The properties of a new device, as IoCreateDevice gets them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    /// The size of the device extension in bytes.
    pub(crate) extension: ULONG,
    pub(crate) kind: ULONG,
    pub(crate) characteristics: ULONG,
    pub(crate) exclusive: bool,
}

/// Ends the run unless the driver object is the machine's.
pub(crate) fn refuse_driver(machine: &Machine, driver: PDRIVER_OBJECT) {
    if driver != driver_object::address(machine) {
        let message = "IoCreateDevice with a driver object other than ntsim::driver_object()";
        machine.fail("not supported", alloc::string::String::from(message));
    }
}

/// Creates a device of the driver, with a name unless that is null or empty. Returns the status if
/// the name is refused, and null if memory is low.
pub(crate) fn create(
    machine: &Machine,
    name: PUNICODE_STRING,
    description: &Description,
) -> Checked<Result<PDEVICE_OBJECT, NTSTATUS>> {
    let name = if name.is_null() { Vec::new() } else { characters(&string::load(name)) };
    let name: Vec<u16> = name.into_iter().map(upcase).collect();
    let status = if name.is_empty() { STATUS_SUCCESS } else { check_name(machine, &name) };
    if status != STATUS_SUCCESS {
        return Ok(Err(status));
    }
    let exclusive = if description.exclusive { DO_EXCLUSIVE } else { 0 };
    let flags = exclusive | if name.is_empty() { 0 } else { DO_DEVICE_HAS_NAME };
    let device = create_unnamed(machine, description, flags)?;
    if !device.is_null() && !name.is_empty() {
        machine.kernel.borrow_mut().devices.set_name(device as usize, &name);
    }
    Ok(Ok(device))
}

fn create_unnamed(machine: &Machine, description: &Description, flags: ULONG) -> Checked<PDEVICE_OBJECT> {
    let Description { extension, kind, characteristics, .. } = *description;
    let driver = driver_object::address(machine);
    let size = size_of::<DEVICE_OBJECT>() + extension as usize;
    let device: PDEVICE_OBJECT = pool::allocate(machine, Request::kernel(size, TAG))?.cast();
    if device.is_null() {
        return Ok(null_mut());
    }
    let first = first_device(driver);
    let fresh = DEVICE_OBJECT {
        Size: u16::try_from(size).unwrap_or(u16::MAX),
        DriverObject: driver,
        NextDevice: load(first),
        Flags: DO_DEVICE_INITIALIZING | flags,
        Characteristics: characteristics,
        DeviceExtension: if extension == 0 { null_mut() } else { device.wrapping_add(1).cast() },
        DeviceType: kind,
        DeviceQueue: device_queue(device),
        DeviceLock: device_lock(device),
        DeviceObjectExtension: machine.kernel.borrow_mut().devices.extension(device),
        ..DEVICE_OBJECT::default()
    };
    // SAFETY: the block was just allocated with room for the device object and its extension.
    unsafe { device.write(fresh) };
    store(first, device);
    machine.kernel.borrow_mut().devices.add(objects::address(device));
    Ok(device)
}

/// Checks the name of a new device. It must be a full path in an existing object directory, and
/// no other device may have it.
fn check_name(machine: &Machine, name: &[u16]) -> NTSTATUS {
    let name = alloc::string::String::from_utf16_lossy(name);
    let Some((directory, last)) = name.rsplit_once('\\').filter(|_| name.starts_with('\\')) else {
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    };
    if last.is_empty() || !DIRECTORIES.contains(&directory) {
        return STATUS_OBJECT_PATH_NOT_FOUND;
    }
    let taken = machine.kernel.borrow().devices.has_name(&name);
    if taken { STATUS_OBJECT_NAME_COLLISION } else { STATUS_SUCCESS }
}

/// Deletes a device, which is freed with its last reference.
pub(crate) fn delete(machine: &Machine, device: PDEVICE_OBJECT) -> Checked<()> {
    let address = device as usize;
    let found = machine.kernel.borrow().devices.get(address).filter(|device| !device.deleted);
    if found.is_none() {
        return Err(violated::deleted_no_device(address, machine.name(address)));
    }
    let mut place = first_device(driver_object::address(machine));
    while !load(place).is_null() && load(place) != device {
        place = next_device(load(place));
    }
    if load(place) == device {
        store(place, load(next_device(device)));
    }
    let mut kernel = machine.kernel.borrow_mut();
    kernel.devices.update(address, |device| device.deleted = true);
    kernel.devices.forget_name(address);
    drop(kernel);
    dereference(machine, address)?;
    Ok(())
}
