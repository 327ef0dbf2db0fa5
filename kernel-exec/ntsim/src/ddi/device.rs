//! Devices and the driver (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-iocreatedevice`, `nf-wdm-iodeletedevice`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::{entry::enter, machine::Machine},
    subsystem::device::{self, Description},
    trace::Value,
    types::{
        BOOLEAN, NTSTATUS, PDEVICE_OBJECT, PDRIVER_OBJECT, PUNICODE_STRING, STATUS_INSUFFICIENT_RESOURCES,
        STATUS_SUCCESS, ULONG,
    },
    verifier::irql::Ddi,
};

/// The result of IoCreateDevice as the trace shows it.
fn device_or_status(machine: &Machine, created: Result<PDEVICE_OBJECT, NTSTATUS>) -> Value {
    match created {
        Ok(device) => machine.pointer(device as usize),
        Err(status) => Value::Bits(status.cast_unsigned().into()),
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
    device::refuse_driver(machine, DriverObject);
    let description = Description {
        extension: DeviceExtensionSize,
        kind: DeviceType,
        characteristics: DeviceCharacteristics,
        exclusive: Exclusive != 0,
    };
    let created = machine.checked(device::create(machine, DeviceName, &description));
    machine.called(Ddi::IoCreateDevice, |machine| {
        let arguments = [machine.pointer(DriverObject as usize), Value::Number(DeviceExtensionSize.into())];
        (arguments, Some(device_or_status(machine, created)))
    });
    match created {
        Ok(device) if device.is_null() => return STATUS_INSUFFICIENT_RESOURCES,
        // SAFETY: the caller promises that `DeviceObject` is valid for a write.
        Ok(device) => unsafe { DeviceObject.write_unaligned(device) },
        Err(status) => return status,
    }
    STATUS_SUCCESS
}

/// Deletes a device.
///
/// It is freed with its last reference, such as that of a queued work item. IRQL ≤ APC_LEVEL. Bug
/// check 0xC4/0x3F if `DeviceObject` is not a device, or was deleted before
/// (`nf-wdm-iodeletedevice`).
///
/// # Safety
/// The device is not used without a reference any more.
pub unsafe extern "C" fn IoDeleteDevice(DeviceObject: PDEVICE_OBJECT) {
    let machine = &*enter(Ddi::IoDeleteDevice);
    machine.called(Ddi::IoDeleteDevice, |machine| ([machine.pointer(DeviceObject as usize)], None));
    machine.checked(device::delete(machine, DeviceObject));
}
