//! Devices and the driver (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-iocreatedevice`, `nf-wdm-iodeletedevice`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use alloc::vec::Vec;
use core::{mem::offset_of, ptr::null_mut};

use super::{
    dispatcher::{EVENT_OBJECT, empty_list},
    objects,
    string::{self, characters, upcase},
};
use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::pool::Request,
    trace::Value,
    types::{
        BOOLEAN, DEVICE_OBJECT, DISPATCHER_HEADER, DO_DEVICE_HAS_NAME, DO_DEVICE_INITIALIZING, DO_EXCLUSIVE,
        KEVENT, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PUNICODE_STRING, STATUS_INSUFFICIENT_RESOURCES,
        STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_PATH_NOT_FOUND, STATUS_OBJECT_PATH_SYNTAX_BAD,
        STATUS_SUCCESS, ULONG,
    },
    verifier::{
        Checked,
        bugcheck::driver_verifier::objects::{self as violated, Change},
        irql::Ddi,
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

impl Machine {
    /// Applies `change` to every device of the driver.
    pub(crate) fn update_devices(&self, change: impl Fn(&mut DEVICE_OBJECT)) {
        let mut device = load(first_device(self.driver_object()));
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
    pub(crate) fn is_io_object(&self, address: usize) -> bool {
        address == self.driver_object() as usize || self.kernel.borrow().devices.get(address).is_some()
    }

    /// Adds a reference to a device and returns the new count. References to the driver are not
    /// counted.
    pub(crate) fn reference_io_object(&self, address: usize) -> Checked<usize> {
        if address == self.driver_object() as usize {
            return Ok(1);
        }
        let device = self.kernel.borrow_mut().devices.update(address, |device| device.references += 1);
        match device {
            Some(device) => Ok(device.references),
            None => Err(violated::no_object(Change::Reference, address, self.name(address))),
        }
    }

    /// Removes a reference from a device and returns the new count. The device is freed with its
    /// last reference.
    pub(crate) fn dereference_io_object(&self, address: usize) -> Checked<usize> {
        if address == self.driver_object() as usize {
            return Ok(1);
        }
        let Some(before) = self.kernel.borrow().devices.get(address) else {
            return Err(violated::no_object(Change::Dereference, address, self.name(address)));
        };
        if before.references == 1 && !before.deleted {
            return Err(violated::device_dereferenced_too_often(address, self.name(address)));
        }
        self.kernel.borrow_mut().devices.update(address, |device| device.references -= 1);
        if before.references == 1 {
            self.free_kernel(address)?;
        }
        Ok(before.references - 1)
    }

    fn create_device(
        &self,
        driver: PDRIVER_OBJECT,
        extension: ULONG,
        kind: ULONG,
        bits: ULONG,
        flags: ULONG,
    ) -> Checked<PDEVICE_OBJECT> {
        let size = size_of::<DEVICE_OBJECT>() + extension as usize;
        let device: PDEVICE_OBJECT = self.allocate(Request::kernel(size, TAG))?.cast();
        if device.is_null() {
            return Ok(null_mut());
        }
        let first = first_device(driver);
        let fresh = DEVICE_OBJECT {
            Size: u16::try_from(size).unwrap_or(u16::MAX),
            DriverObject: driver,
            NextDevice: load(first),
            Flags: DO_DEVICE_INITIALIZING | flags,
            Characteristics: bits,
            DeviceExtension: if extension == 0 { null_mut() } else { device.wrapping_add(1).cast() },
            DeviceType: kind,
            DeviceQueue: device_queue(device),
            DeviceLock: device_lock(device),
            DeviceObjectExtension: self.kernel.borrow_mut().devices.extension(device),
            ..DEVICE_OBJECT::default()
        };
        // SAFETY: the block was just allocated with room for the device object and its extension.
        unsafe { device.write(fresh) };
        store(first, device);
        self.kernel.borrow_mut().devices.add(objects::address(device));
        Ok(device)
    }

    /// Checks the name of a new device. It must be a full path in an existing object directory, and
    /// no other device may have it.
    fn check_name(&self, name: &[u16]) -> NTSTATUS {
        let name = alloc::string::String::from_utf16_lossy(name);
        let Some((directory, last)) = name.rsplit_once('\\').filter(|_| name.starts_with('\\')) else {
            return STATUS_OBJECT_PATH_SYNTAX_BAD;
        };
        if last.is_empty() || !DIRECTORIES.contains(&directory) {
            return STATUS_OBJECT_PATH_NOT_FOUND;
        }
        let taken = self.kernel.borrow().devices.has_name(&name);
        if taken { STATUS_OBJECT_NAME_COLLISION } else { STATUS_SUCCESS }
    }

    fn delete_device(&self, device: PDEVICE_OBJECT) -> Checked<()> {
        let address = device as usize;
        let found = self.kernel.borrow().devices.get(address).filter(|device| !device.deleted);
        if found.is_none() {
            return Err(violated::deleted_no_device(address, self.name(address)));
        }
        let mut place = first_device(self.driver_object());
        while !load(place).is_null() && load(place) != device {
            place = next_device(load(place));
        }
        if load(place) == device {
            store(place, load(next_device(device)));
        }
        let mut kernel = self.kernel.borrow_mut();
        kernel.devices.update(address, |device| device.deleted = true);
        kernel.devices.forget_name(address);
        drop(kernel);
        self.dereference_io_object(address)?;
        Ok(())
    }
}

/// Creates a device of the driver, with a device extension of `DeviceExtensionSize` zeroed bytes.
///
/// Returns STATUS_INSUFFICIENT_RESOURCES if memory is low. A name is a full path in a directory
/// that a system has (`\Device`, `\??`, `\DosDevices`, `\GLOBAL??`, the root), and no other
/// device's. Otherwise the status is STATUS_OBJECT_PATH_SYNTAX_BAD, STATUS_OBJECT_PATH_NOT_FOUND or
/// STATUS_OBJECT_NAME_COLLISION. The name is free again after [`IoDeleteDevice`]. Devices are not
/// opened by name here, so `Exclusive` only sets a flag.
///
/// IRQL ≤ APC_LEVEL. A device left at unload is a leak of pool (bug check 0xC4/0x62). A driver
/// other than [`driver_object`](crate::driver_object) ends the run as not supported
/// (`nf-wdm-iocreatedevice`).
///
/// # Safety
/// `DeviceObject` is valid for a write; `DeviceName` is null or a string with a valid buffer.
pub unsafe extern "C" fn IoCreateDevice(
    DriverObject: PDRIVER_OBJECT,
    DeviceExtensionSize: ULONG,
    DeviceName: PUNICODE_STRING,
    DeviceType: ULONG,
    DeviceCharacteristics: ULONG,
    Exclusive: BOOLEAN,
    DeviceObject: *mut PDEVICE_OBJECT,
) -> NTSTATUS {
    let machine = &*enter(Ddi::IoCreateDevice);
    if DriverObject != machine.driver_object() {
        let message = "IoCreateDevice with a driver object other than ntsim::driver_object()";
        machine.fail("not supported", alloc::string::String::from(message));
    }
    let name = if DeviceName.is_null() { Vec::new() } else { characters(&string::load(DeviceName)) };
    let name: Vec<u16> = name.into_iter().map(upcase).collect();
    let named = if name.is_empty() { STATUS_SUCCESS } else { machine.check_name(&name) };
    if named != STATUS_SUCCESS {
        machine.called(Ddi::IoCreateDevice, |machine| {
            let driver = machine.pointer(DriverObject as usize);
            (
                [driver, Value::Number(DeviceExtensionSize.into())],
                Some(Value::Bits(named.cast_unsigned().into())),
            )
        });
        return named;
    }
    let exclusive = if Exclusive != 0 { DO_EXCLUSIVE } else { 0 };
    let flags = exclusive | if name.is_empty() { 0 } else { DO_DEVICE_HAS_NAME };
    let created =
        machine.create_device(DriverObject, DeviceExtensionSize, DeviceType, DeviceCharacteristics, flags);
    let device = machine.checked(created);
    if !device.is_null() && !name.is_empty() {
        machine.kernel.borrow_mut().devices.set_name(device as usize, &name);
    }
    machine.called(Ddi::IoCreateDevice, |machine| {
        let arguments = [machine.pointer(DriverObject as usize), Value::Number(DeviceExtensionSize.into())];
        (arguments, Some(machine.pointer(device as usize)))
    });
    if device.is_null() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // SAFETY: the caller promises that `DeviceObject` is valid for a write.
    unsafe { DeviceObject.write_unaligned(device) };
    STATUS_SUCCESS
}

/// Deletes a device. It is freed with its last reference, such as that of a queued work item. IRQL
/// ≤ APC_LEVEL. Bug check 0xC4/0x3F if `DeviceObject` is not a device, or was deleted before
/// (`nf-wdm-iodeletedevice`).
///
/// # Safety
/// The device is not used without a reference any more.
pub unsafe extern "C" fn IoDeleteDevice(DeviceObject: PDEVICE_OBJECT) {
    let machine = &*enter(Ddi::IoDeleteDevice);
    machine.called(Ddi::IoDeleteDevice, |machine| ([machine.pointer(DeviceObject as usize)], None));
    machine.checked(machine.delete_device(DeviceObject));
}
